"""Which models to serve, and the other files that flags name."""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from ...common.errors import UserError, first_line
from ..names import check_name
from ..versions import versions
from .metrics import DEFAULT_PATH
from .models import ModelConfig
from .options import ServerOptions

# TensorFlow Serving's message MonitoringConfig, which no Python package holds.
_MONITORING = """
name: "unroll/serving/monitoring.proto" package: "unroll.serving" syntax: "proto3"
message_type { name: "PrometheusConfig"
  field { name: "enable" number: 1 type: TYPE_BOOL } field { name: "path" number: 2 type: TYPE_STRING } }
message_type { name: "MonitoringConfig" field { name: "prometheus_config" number: 1 type_name: "PrometheusConfig" } }
"""


def model_configs(options: ServerOptions) -> list[ModelConfig]:
    """Returns the models to serve.

    Raises:
        UserError: If there are none, or a flag or a file is wrong.
    """
    if options.model_config_file and options.model_base_path:
        raise UserError(
            "serve was given --model_config_file and --model_base_path; give one of them, or none to serve all models "
            "in this directory."
        )
    if options.model_config_file:
        return _listed(Path(options.model_config_file))
    if options.model_base_path:
        path = Path(options.model_base_path)
        check_name(options.model_name, f"--model_name={options.model_name}")
        _check_versions(path, f"--model_base_path={path}")
        return [ModelConfig(options.model_name, path)]
    for directory in (Path(), Path("exports")):
        if found := _found(directory):
            return found
    raise UserError(
        f"{Path().absolute()} holds no exported models, nor does exports/ in it; change to the directory that "
        "`unroll export --output=DIRECTORY/NAME` wrote to, or give --model_base_path=DIRECTORY/NAME."
    )


def _found(directory: Path) -> list[ModelConfig]:
    """Returns the models in a directory, or the directory's own model."""
    if not directory.is_dir():
        return []
    absolute = directory.absolute()
    if _has_versions(absolute):
        return [ModelConfig(absolute.name, absolute)]
    models = (path for path in sorted(absolute.iterdir()) if not path.name.startswith(".") and path.is_dir())
    return [ModelConfig(path.name, path) for path in models if _has_versions(path)]


def _has_versions(directory: Path) -> bool:
    return any((directory / str(number) / "saved_model.pb").is_file() for number in versions(directory))


def _check_versions(directory: Path, given: str) -> None:
    if (directory / "saved_model.pb").is_file():
        raise UserError(f"{given} is a version; give the directory of the versions, {directory.parent}.")
    if not directory.is_dir() or not _has_versions(directory):
        raise UserError(
            f"{given} holds no version of a model; give the directory that `unroll export --output` wrote."
        )


def _listed(path: Path) -> list[ModelConfig]:
    """Returns the models in a file for --model_config_file."""
    config: Any = _parsed(path, model_server_config_pb2.ModelServerConfig(), "--model_config_file")
    found = [_listed_model(model, path) for model in config.model_config_list.config]
    if not found:
        raise UserError(f"--model_config_file={path} lists no model.")
    if len({model.name for model in found}) < len(found):
        raise UserError(f"--model_config_file={path} lists a name twice.")
    return found


def _listed_model(model: Any, path: Path) -> ModelConfig:
    if not model.name or not model.base_path:
        raise UserError(f"--model_config_file={path} lists a model without a name or a base_path.")
    check_name(model.name, f"--model_config_file={path}")
    base_path = path.parent / model.base_path
    # A file that `unroll export` wrote names the path inside a container, and lies beside the versions.
    if not base_path.exists() and path.parent.name == model.name:
        base_path = path.parent
    _check_versions(base_path, f"The base_path {model.base_path} of {model.name} in {path}")
    policy = model.model_version_policy
    chosen = policy.WhichOneof("policy_choice")
    return ModelConfig(
        model.name,
        base_path,
        newest=None if chosen == "all" else (policy.latest.num_versions or 1),
        specific=tuple(policy.specific.versions),
        labels=dict(model.version_labels),
    )


def metrics_path(options: ServerOptions) -> str | None:
    """Returns where to show metrics; None: nowhere.

    Raises:
        UserError: If --monitoring_config_file is wrong.
    """
    if options.monitoring_config_file is None:
        return DEFAULT_PATH
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_MONITORING, descriptor_pb2.FileDescriptorProto()))
    message_class = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("unroll.serving.MonitoringConfig")
    )
    path = Path(options.monitoring_config_file)
    config: Any = _parsed(path, message_class(), "--monitoring_config_file")
    if not config.prometheus_config.enable:
        return None
    shown: str = config.prometheus_config.path or DEFAULT_PATH
    if not shown.startswith("/") or shown.startswith("/v1/"):
        raise UserError(f"{path} gives the path {shown!r}; give one that begins with / and not with /v1/.")
    return shown


def _parsed(path: Path, message: Any, flag: str) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, ValueError, text_format.ParseError) as error:
        raise UserError(f"{flag}={path} cannot be read ({first_line(error)}).") from error
