"""The run directory: one training, with all that later commands need."""

import dataclasses
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unroll.export.errors import UserError
from unroll.tasks.applications import APPLICATIONS, config_class
from unroll.tasks.training.config import TrainingConfig

# Temporary names begin with it.
_PARTIAL = ".partial-"
_LOCK = ".lock"


class RunDirectory:
    """Paths and files of a run.

        config.json      application and options
        vocabulary/      what was learnt from the training data before the first step
        data/            the training data as shuffled shards
        checkpoints/     everything needed to go on
        best/            weights of the best epoch, and its metrics
        logs/            TensorBoard
        metrics.jsonl    a line every few steps and each epoch
        gradient_flow.jsonl    a line every --inspect_every steps
        inspect/         what `unroll inspect` finds

    Every file appears under a temporary name and is renamed when it is complete.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.vocabulary = self.path / "vocabulary"
        self.data = self.path / "data"
        self.checkpoints = self.path / "checkpoints"
        self.best_weights = self.path / "best" / "model.weights.h5"
        self.best_metrics = self.path / "best" / "metrics.json"
        self.logs = self.path / "logs"
        self.metrics = self.path / "metrics.jsonl"
        self.gradient_flow = self.path / "gradient_flow.jsonl"
        self.inspection = self.path / "inspect"
        self._config = self.path / "config.json"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self._config.exists()

    def create(self, application: str, config: TrainingConfig) -> None:
        """Begins a run.

        Raises:
            UserError: if the path is taken by something else.
        """
        if self.path.exists() and (not self.path.is_dir() or self._has_foreign_files()):
            raise UserError(f"{self.path} exists and is not a run directory; give another --workdir.")
        self.save_config(application, config)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training here while the block runs.

        Raises:
            UserError: if another process does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another process is training in {self.path}; wait for it or stop it."
                ) from error
            yield

    def read_config(self) -> tuple[str, TrainingConfig]:
        """The application and the options of the run.

        Raises:
            UserError: if this is no run directory, or one of another version.
        """
        if not self.exists():
            raise UserError(
                f"{self.path} is not a run directory (it has no config.json); `unroll train` makes one."
            )
        try:
            saved = json.loads(self._config.read_text(encoding="utf-8", errors="surrogateescape"))
            application, values = saved["application"], saved["config"]
            return application, config_class(application)(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._config} cannot be used ({error}); it was changed by hand or made by another version. Known "
                f"tasks: {', '.join(APPLICATIONS)}."
            ) from error

    def save_config(self, application: str, config: TrainingConfig) -> None:
        """Writes the options of the run."""
        write_json(self._config, {"application": application, "config": dataclasses.asdict(config)})

    def _has_foreign_files(self) -> bool:
        """Whether there is more than a process leaves that is killed while it begins a run."""
        return any(not name.startswith((_PARTIAL, _LOCK)) for name in os.listdir(self.path))


def write_json(path: Path, content: Any) -> None:
    """Writes readable JSON, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(content, ensure_ascii=False, indent=1) + "\n",
            encoding="utf-8",
            errors="surrogateescape",
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path, file or directory, that takes the place of `path` when the block ends well.

    A file replaces a file at once; an existing directory is removed first.

    Raises:
        IsADirectoryError: if a file would take the place of a directory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose their format by it.
    temporary = path.with_name(_PARTIAL + path.name)
    _remove(temporary)
    yield temporary
    if path.is_dir():
        if not temporary.is_dir():
            _remove(temporary)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        shutil.rmtree(path)
    os.replace(temporary, path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
