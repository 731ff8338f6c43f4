"""The served models: finds versions on the disk, loads new ones, and retires old ones."""

import logging
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from ..versions import versions
from .batching import BatchingParameters
from .errors import RequestError, invalid
from .version import State, Version

_log = logging.getLogger("unroll.serve")

# Sizes and times of change of a version's files, by which a version that is still being copied is recognised.
_Files = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
        name: Name of the model.
        base_path: Directory of its versions.
        newest: How many of the newest versions to serve; None: all.
        specific: Numbers of the versions to serve, in place of the newest.
        labels: Numbers of versions by label.
    """

    name: str
    base_path: Path
    newest: int | None = 1
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict[str, int])

    def aspired(self, found: Iterable[int]) -> set[int]:
        """Returns which of the versions on the disk to serve."""
        numbers = sorted(found, reverse=True)
        if self.specific:
            return {*numbers} & {*self.specific}
        return {*numbers[: self.newest]}


class Models:
    """The served models. Threads may share it.

    Args:
        configs: The models.
        batching: Parameters of the scheduler; None: no batches.
        warm_up: Whether a version runs its warm-up requests before it answers.
    """

    def __init__(
        self, configs: Sequence[ModelConfig], batching: BatchingParameters | None = None, warm_up: bool = True
    ) -> None:
        self._configs = {config.name: config for config in configs}
        self._batching, self._warm_up = batching, warm_up
        self._versions: dict[str, dict[int, Version]] = {name: {} for name in self._configs}
        # The files of each version at the last poll, and those of versions that could not be loaded.
        self._seen: dict[tuple[str, int], _Files] = {}
        self._failed: dict[tuple[str, int], _Files] = {}
        # Those whose directory could not be read at the last poll; each is told once.
        self._unreadable: set[str] = set()
        self._stopped = threading.Event()
        self._poller: threading.Thread | None = None

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return [*self._configs]

    def answers(self, name: str) -> bool:
        """Returns whether a version of a model is available."""
        return bool(self._available(name))

    def start(self, poll_seconds: float) -> None:
        """Loads the models, then looks for new versions from time to time.

        Args:
            poll_seconds: Seconds between two looks; 0: look once.
        """
        self.poll(first=True)
        if poll_seconds > 0:
            self._poller = threading.Thread(
                target=self._keep_polling, args=(poll_seconds,), name="versions", daemon=True
            )
            self._poller.start()

    def stop(self) -> None:
        """Ends the search for versions, and retires all."""
        self._stopped.set()
        if self._poller is not None:
            self._poller.join()
        for name in self._configs:
            for version in self._available(name):
                version.retire()

    def poll(self, first: bool = False) -> None:
        """Loads new versions and retires those that have gone or are superseded.

        Args:
            first: Whether to load a version whose files were not seen unchanged at an earlier look.
        """
        for config in self._configs.values():
            try:
                self._poll(config, first)
                self._unreadable.discard(config.name)
            except OSError as error:
                if config.name not in self._unreadable:
                    _log.warning("%s cannot be read: %s.", config.base_path, error.strerror or error)
                self._unreadable.add(config.name)

    def _keep_polling(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            self.poll()

    def _poll(self, config: ModelConfig, first: bool) -> None:
        name, found = config.name, dict[int, _Files]()
        for number in versions(config.base_path):
            if files := _files(config.base_path / str(number)):
                found[number] = files
        aspired = config.aspired(found)
        for number in sorted(aspired, reverse=True):
            key, files = (name, number), found[number]
            unchanged, self._seen[key] = self._seen.get(key) == files, files
            loaded = self._versions[name].get(number)
            if loaded is not None and loaded.state != State.END:
                continue
            if self._failed.get(key) != files and (first or unchanged):
                self._load(config, number, files)
        available = {version.number: version for version in self._available(name)}
        # The last version answers until another one does.
        if not aspired or aspired & available.keys():
            for number in available.keys() - aspired:
                available[number].retire()
                _log.info("%s: version %d is retired.", name, number)

    def _load(self, config: ModelConfig, number: int, files: _Files) -> None:
        version = Version(number, config.base_path / str(number), self._batching)
        self._versions[config.name] = self._versions[config.name] | {number: version}
        version.load(config.name, self._warm_up)
        if version.error is None:
            self._failed.pop((config.name, number), None)
            _log.info("%s: version %d answers.", config.name, number)
        else:
            self._failed[config.name, number] = files
            _log.warning("%s", version.error)

    def _available(self, name: str) -> list[Version]:
        return [version for version in self._versions[name].values() if version.state == State.AVAILABLE]

    @contextmanager
    def version(self, name: str, number: int | None = None, label: str | None = None) -> Generator[Version]:
        """Finds a version, which stays loaded until the request is answered.

        Args:
            name: Name of the model.
            number: Number of the version; None: the newest.
            label: Label of the version; None: no label.

        Raises:
            RequestError: If there is no such model or version, or none is available yet.
        """
        version = self._acquired(name, number, label)
        try:
            yield version
        finally:
            version.release()

    def _acquired(self, name: str, number: int | None, label: str | None) -> Version:
        self.states(name, None, None)
        number = self._numbered(name, number, label)
        while True:
            available = {version.number: version for version in self._available(name)}
            wanted = max(available, default=None) if number is None else number
            if wanted is None or wanted not in available:
                shown = ", ".join(map(str, sorted(available))) or "none"
                which = "no version" if number is None else f"no version {number}"
                raise RequestError(
                    grpc.StatusCode.NOT_FOUND, f"{name} has {which} that answers; those that do: {shown}."
                )
            # It may have been retired in the meantime; then another one answers.
            if available[wanted].acquire():
                return available[wanted]

    def states(self, name: str, number: int | None, label: str | None) -> list[Version]:
        """Returns the versions of a model in any state, newest first, or a certain one.

        Args:
            name, number, label: As for `version`.

        Raises:
            RequestError: If there is no such model or version.
        """
        if name not in self._configs:
            shown = ", ".join(sorted(self._configs)) or "none"
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"There is no model {name[:100]!r}; the models: {shown}."
            )
        number = self._numbered(name, number, label)
        known = self._versions[name]
        if number is not None and number not in known:
            raise RequestError(grpc.StatusCode.NOT_FOUND, f"{name} has no version {number}.")
        return [known[key] for key in sorted(known, reverse=True) if number in (None, key)]

    def _numbered(self, name: str, number: int | None, label: str | None) -> int | None:
        if label is None:
            return number
        labels = self._configs[name].labels
        if label not in labels:
            shown = ", ".join(sorted(labels)) or "none"
            raise invalid(f"{name} has no label {label[:100]!r}; the labels: {shown}.")
        return labels[label]


def _files(version: Path) -> _Files:
    """Returns the files of a version; none if they are not those of a SavedModel."""
    if not (version / "saved_model.pb").is_file():
        return ()
    try:
        found = [(path, path.stat()) for path in version.rglob("*")]
    except FileNotFoundError:
        # It is being removed.
        return ()
    return tuple(sorted((str(path), status.st_size, status.st_mtime_ns) for path, status in found))
