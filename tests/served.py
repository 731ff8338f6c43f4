"""A running server with exported models, for tests: `unroll serve` in this process, or another one."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

import unroll.serving
from unroll.serving.model import Model
from unroll.serving.server.limits import Limits
from unroll.serving.server.main import Server
from unroll.serving.server.options import ServerOptions

# Small enough for tests to exceed.
LIMITS = Limits(request_bytes=2**20, rows=200, seconds=20, body_seconds=0.5)


class Served(NamedTuple):
    """A running server.

    Attributes:
        rest, grpc: Its URLs.
        models: The models that it serves, loaded in this process, by name.
        is_ours: Whether it is `unroll serve`.
        client: A client for its REST interface.
    """

    rest: str
    grpc: str
    models: Mapping[str, Model]
    is_ours: bool
    client: httpx2.Client

    def get(self, path: str) -> tuple[int, Any]:
        """Returns status and JSON of an answer."""
        answer = self.client.get(path)
        return answer.status_code, answer.json()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Returns status and JSON of an answer. `body`: bytes, or a value to send as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.client.post(path, content=content)
        return answer.status_code, answer.json()

    def connected(self, name: str, scheme: str) -> Model:
        """Returns a model of the server. `scheme`: rest or grpc."""
        if not getattr(self, scheme):
            pytest.skip(f"--target names no {scheme} address.")
        return unroll.serving.connect(getattr(self, scheme), name)


def targeted(target: str, models: str | None) -> Served:
    """Returns the server of --target."""
    urls = {url.partition(":")[0]: url for url in target.split(",")}
    if "http" not in urls or models is None:
        raise pytest.UsageError("--target needs an http:// URL and --target_models=DIRECTORY.")
    loaded = {name: unroll.serving.load(Path(models) / name) for name in ("sentiment", "translation")}
    client = httpx2.Client(base_url=urls["http"], timeout=60)
    return Served(urls["http"], urls.get("grpc", ""), loaded, False, client)


def write_models_config(directories: Mapping[str, Path], folder: Path) -> Path:
    """Writes a file for --model_config_file; version 1 of each model has the label "stable"."""
    entries = [
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 1 } }'
        for name, path in directories.items()
    ]
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return folder / "models.config"


@contextmanager
def serving(
    directories: Mapping[str, Path],
    folder: Path,
    limits: Limits = LIMITS,
    batching: str = "",
    **options: Any,
) -> Generator[Served]:
    """Runs `unroll serve` in this process.

    Args:
        directories: Directory of each model by name.
        folder: For the configuration files.
        limits: Limits of requests.
        batching: Text of a file for --batching_parameters_file; empty: no batching.
        options: Further flags.
    """
    config = write_models_config(directories, folder)
    if batching:
        (folder / "batching.config").write_text(batching)
        options |= {"enable_batching": True, "batching_parameters_file": str(folder / "batching.config")}
    defaults = {
        "enable_model_warmup": False,
        "file_system_poll_wait_seconds": 0,
        "rest_api_port": 0,
        "port": 0,
    }
    server = Server(ServerOptions(model_config_file=str(config), **(defaults | options)), limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{server.rest_port}"
    client = httpx2.Client(base_url=url, timeout=60)
    try:
        loaded = {name: unroll.serving.load(path / "1") for name, path in directories.items()}
        unroll.serving.connect(url, next(iter(directories)))
        yield Served(url, f"grpc://127.0.0.1:{server.grpc_port}", loaded, True, client)
    finally:
        client.close()
        server.stop()
        thread.join()
