"""The run directory: all files of one training."""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...common.errors import UserError
from ...common.files import PARTIAL, write_json
from .config import TrainingConfig

_LOCK = ".lock"


class RunDirectory:
    """Paths and files of a run.

        config.json      application and options
        vocabulary/      vocabulary or labels, learnt from the training part
        data/            the prepared training and validation data
        checkpoints/     everything needed to resume
        best/            weights of the best epoch, and its metrics
        logs/            TensorBoard
        metrics.jsonl    a line every few steps and each epoch
        gradient_flow.jsonl    a line every --inspect_every steps
        inspect/         the report of `unroll inspect`

    Every file is written under a temporary name and renamed when complete.
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
        self.config = self.path / "config.json"

    def exists(self) -> bool:
        """Returns whether the directory holds a run."""
        return self.config.exists()

    def create(self, application: str, config: TrainingConfig) -> None:
        """Starts a run.

        Raises:
            UserError: If the path exists and is not a run directory.
        """
        if self.path.exists() and (not self.path.is_dir() or self._has_foreign_files()):
            raise UserError(f"{self.path} exists and is not a run directory; give another --workdir.")
        self.save_config(application, config)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training here, within a `with` block.

        Raises:
            UserError: If another process trains here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / _LOCK, blocking=False):
                yield
        except Timeout as error:
            raise UserError(f"Another process is training in {self.path}; wait for it or stop it.") from error

    def read_config(self) -> tuple[str, dict[str, Any]]:
        """Returns the name of the application, and the options of the run by name.

        Raises:
            UserError: If the directory holds no run, or its config.json is damaged.
        """
        if not self.exists():
            raise UserError(
                f"{self.path} is not a run directory (it has no config.json); `unroll train` makes one."
            )
        try:
            saved = json.loads(self.config.read_text(encoding="utf-8", errors="surrogateescape"))
            return saved["application"], dict(saved["config"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.config} cannot be used ({error}); it was changed by hand.") from error

    def save_config(self, application: str, config: TrainingConfig) -> None:
        """Writes the options of the run."""
        write_json(self.config, {"application": application, "config": dataclasses.asdict(config)})

    def _has_foreign_files(self) -> bool:
        """Whether the directory holds files that starting a run does not leave behind, even when killed."""
        return any(not name.startswith((PARTIAL, _LOCK)) for name in os.listdir(self.path))
