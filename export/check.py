"""`unroll check`: reads an exported model again, answers its requests, and measures it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from ..common.checksums import MANIFEST
from ..common.errors import FailedError, UserError
from ..serving.c_api import TensorFlowError
from ..serving.saved_model import SavedModel
from ..serving.server.batching import BatchingParameters
from ..serving.server.config import metrics_path, model_configs
from ..serving.server.options import ServerOptions
from ..serving.versions import check_files, describe
from ..serving.warmup import read_warmup_requests
from .examples import from_json, replay
from .verify import check_graph

# Rows in a call whose time is measured.
_BATCH_SIZES = (1, 8, 32)
# A measurement ends after so many calls, or seconds, but has the smallest number of calls.
_MOST_CALLS, _SECONDS, _FEWEST_CALLS = 100, 1.0, 5


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        subject: Part of the export.
        text: What was found.
        good: Whether that is in order.
    """

    subject: str
    text: str
    good: bool = True


def check(version: Path) -> Iterator[Finding]:
    """Yields the findings about a version of an exported model, one after the other.

    Args:
        version: The version directory; the files for servers lie above it.
    """
    before = _resident()
    yield _finding("files", lambda: _files(version))
    yield _finding("configuration", lambda: _configuration(version.parent))
    yield _finding("graph", lambda: f"{len(check_graph(version))} kinds of op, all of them TensorFlow's own")
    try:
        loaded = SavedModel(version)
    except (UserError, MemoryError) as error:
        yield Finding("requests", str(error), good=False)
        return
    requests = _finding("requests", lambda: _requests(version, loaded))
    yield requests
    if before is not None and (after := _resident()):
        yield Finding("memory", f"{(after - before) / 1e6:.0f} MB for the model and its requests")
    for signature, inputs in _examples(version).items() if requests.good else ():
        yield _finding(signature, lambda s=signature, i=inputs: _latency(loaded, s, i))


def _finding(subject: str, checked: Callable[[], str]) -> Finding:
    """Runs a check, which returns what it found, or raises an error that says what is wrong."""
    try:
        return Finding(subject, checked())
    except (
        UserError,
        FailedError,
        AssertionError,
        OSError,
        ValueError,
        MemoryError,
        TensorFlowError,
    ) as error:
        return Finding(subject, " ".join(str(error).split()), good=False)


def _files(version: Path) -> str:
    if not (version / "assets.extra" / MANIFEST).exists():
        raise UserError(f"{version} has no checksums, and was not compared; export the model again.")
    check_files(version)
    sizes = [path.stat().st_size for path in version.rglob("*") if path.is_file()]
    return f"{len(sizes)} files of {sum(sizes) / 1e6:.1f} MB, as they were exported"


def _configuration(directory: Path) -> str:
    """Reads the files for servers by the parsers of whoever reads them."""
    readers: Mapping[str, Callable[[Path], object]] = {
        "models.config": lambda path: model_configs(ServerOptions(model_config_file=str(path))),
        "batching.config": BatchingParameters.read,
        "monitoring.config": lambda path: metrics_path(ServerOptions(monitoring_config_file=str(path))),
        "compose.yaml": _read_yaml,
        "kubernetes.yaml": _read_yaml,
    }
    found = {name: reader for name, reader in readers.items() if (directory / name).exists()}
    for name, reader in found.items():
        reader(directory / name)
    return f"{', '.join(found)} can be read" if found else "no files for servers beside the version"


def _read_yaml(path: Path) -> None:
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML ({error}).") from error
    if not all(isinstance(document, dict) for document in documents):
        raise UserError(f"{path} holds no mapping.")


def _requests(version: Path, loaded: SavedModel) -> str:
    replay(version, loaded.call)
    warm_up = list(read_warmup_requests(version / "assets.extra"))
    for signature, inputs in warm_up:
        loaded.call(signature, inputs)
    examples = sum(map(len, describe(version)["examples"].values()))
    return f"{examples} examples answered as at the export, {len(warm_up)} warm-up requests run"


def _examples(version: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns the first example request of each signature."""
    return {
        signature: {name: from_json(value) for name, value in examples[0]["inputs"].items()}
        for signature, examples in describe(version)["examples"].items()
    }


def _latency(loaded: SavedModel, signature: str, inputs: Mapping[str, np.ndarray]) -> str:
    """Measures calls of a signature, for several batch sizes."""
    measured = []
    for size in _BATCH_SIZES:
        rows = {name: np.resize(array, (size, *array.shape[1:])) for name, array in inputs.items()}
        loaded.call(signature, rows)
        times: list[float] = []
        begin = time.monotonic()
        while len(times) < _FEWEST_CALLS or (
            len(times) < _MOST_CALLS and time.monotonic() - begin < _SECONDS
        ):
            started = time.perf_counter()
            loaded.call(signature, rows)
            times.append(1000 * (time.perf_counter() - started))
        median, high = np.percentile(times, (50, 99))
        measured.append(f"batch {size}: {median:.1f} / {high:.1f}")
    return f"{', '.join(measured)} ms (p50 / p99)"


def _resident() -> int | None:
    """Returns the memory of this process in bytes; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
