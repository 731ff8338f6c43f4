"""The flags of `unroll serve`, most of them those of `tensorflow_model_server`."""

from dataclasses import dataclass

from ...common.options import OptionGroup, When, option


@dataclass(frozen=True)
class ServerOptions(OptionGroup):
    """Flags of `unroll serve`."""

    model_base_path: str | None = option(
        None,
        "directory of the versions of one model; without it and --model_config_file, all models in this directory, or "
        "in exports/, are served",
        is_path=True,
    )
    model_name: str = option("default", "name of the model", only=When("model_base_path", "!=", None))
    model_config_file: str | None = option(
        None, "file that lists models and which versions to serve, such as models.config", is_path=True
    )
    rest_api_port: int = option(8501, "port for HTTP; 0: any free one", minimum=0, maximum=65_535)
    port: int = option(8500, "port for gRPC; 0: any free one", minimum=0, maximum=65_535)
    host: str = option("127.0.0.1", "address to listen at; 0.0.0.0: every address of this machine")
    enable_batching: bool = option(False, "whether requests share batches")
    batching_parameters_file: str | None = option(
        None, "parameters of --enable_batching, such as batching.config", is_path=True
    )
    monitoring_config_file: str | None = option(
        None, "where to show metrics for Prometheus; default: at /monitoring/prometheus/metrics", is_path=True
    )
    file_system_poll_wait_seconds: int = option(
        1, "seconds between two looks for new versions; 0: never", minimum=0
    )
    enable_model_warmup: bool = option(True, "whether a version runs its warm-up requests before it answers")
    rest_api_num_threads: int | None = option(
        None,
        "requests that run at the same time; default: 4 for each processor, with batching twice the largest batch",
        minimum=1,
    )
    rest_api_timeout_in_ms: int = option(30_000, "milliseconds that an answer may take", minimum=1)
