"""The run directory: all files of one training."""

import dataclasses
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ...common.checksums import checksum_of_json, replacing_listed, verify
from ...common.errors import UserError, first_line
from ...common.files import read_json, write_json
from ...common.locks import LockedError, locked
from .config import TrainingConfig

# Files that the user's system, shell, scheduler and editor leave in a directory; hidden ones include those of a killed
# start. A new run may begin beside them.
_STRAY = (
    *(".*", "lost+found", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"),
    *("@eaDir", "__MACOSX", "nohup*", "screenlog*", "typescript"),
    *(
        "*.log",
        "*.log.*",
        "*.out",
        "*.err",
        "log",
        "logs",
        "*.pid",
        "*.lock",
        "*.swp",
        "*~",
        "core",
        "core.*",
    ),
    *("*.flags", "*.sh", "*.sbatch", "wandb", "mlruns"),
)
# What to do about a damaged file.
RESTORE = "restore it from a backup, or train again in another --workdir"


class _WeightsFile(io.BytesIO):
    """A weights file in memory: on a full disk HDF5 ends the process by a segmentation fault."""

    def __str__(self) -> str:
        # Keras takes a file by the end of its name.
        return "model.weights.h5"


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

    Every file is written under a temporary name and renamed when complete. Files that are read again have checksums in
    a `checksums.txt` beside them.
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
        # Files and folders whose checksums were compared.
        self._intact: set[Path] = set()

    def exists(self) -> bool:
        """Returns whether the directory holds a run."""
        return self.config.exists()

    @property
    def has_begun(self) -> bool:
        """Whether the data was prepared; until then, nothing depends on the options of an earlier attempt."""
        kept = (self.data, self.best_weights, *self.checkpoints.glob("step-*"))
        return any(path.exists() for path in kept)

    @property
    def has_best_weights(self) -> bool:
        """Whether an epoch has ended, and its weights were saved."""
        # The metrics are written after the weights, which may have been lost since.
        return self.best_weights.exists() or self.best_metrics.exists()

    def check_free(self) -> None:
        """Raises UserError if the path exists and neither a run is there nor may one begin there."""
        if self.exists() or not self.path.exists():
            return
        foreign = self._foreign_files() if self.path.is_dir() else ["a file"]
        if foreign:
            raise UserError(
                f"{self.path} exists and is not a run directory (it has no config.json, but {foreign[0]}); give "
                "another --workdir."
            )

    def create(self, application: str, config: TrainingConfig) -> None:
        """Starts a run.

        Raises:
            UserError: If the path exists and is not a run directory.
        """
        self.check_free()
        self.save_config(application, config)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training here, within a `with` block.

        Raises:
            UserError: If another process trains here.
        """
        try:
            with locked(self.path):
                yield
        except LockedError as error:
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
        saved = read_json(self.config, RESTORE)
        try:
            application, options = saved["application"], dict(saved["config"])
            checksum = saved.get("checksum")
        except (AttributeError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.config} cannot be used ({error}); it was changed by hand, or is damaged."
            ) from error
        # An earlier version wrote none.
        if checksum is not None and checksum != checksum_of_json([application, options]):
            raise UserError(
                f"{self.config} is damaged: its options do not fit its checksum; {RESTORE}, or, if you changed it "
                'yourself, remove "checksum" from it.'
            )
        return application, options

    def save_config(self, application: str, config: TrainingConfig) -> None:
        """Writes the options of the run."""
        options = dataclasses.asdict(config)
        checksum = checksum_of_json([application, options])
        write_json(self.config, {"application": application, "config": options, "checksum": checksum})

    def intact(self, path: Path) -> Path:
        """Returns the path of a file or folder of the run, after comparing its content with its checksums, once.

        Raises:
            UserError: If it is missing or damaged.
        """
        if path not in self._intact:
            # `vocabulary/`, `data/` and `best/` have a manifest each.
            top, *names = path.relative_to(self.path).parts
            if not path.exists():
                raise UserError(f"{path} is missing; {RESTORE}.")
            verify(self.path / top, *(["/".join(names)] if names else []), advice=RESTORE)
            self._intact.add(path)
        return path

    def save_best_weights(self, model: Any) -> None:
        """Writes the weights of a model, of a new best epoch."""
        content = _WeightsFile()
        model.save_weights(content)
        with replacing_listed(self.best_weights) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_best_weights(self, model: Any) -> None:
        """Gives a model the best weights.

        Raises:
            UserError: If they are missing or damaged.
        """
        path = self.intact(self.best_weights)
        try:
            model.load_weights(path)
        except MemoryError:
            raise
        # HDF5 and Keras raise anything for a file that they do not understand.
        except Exception as error:
            raise UserError(f"{path} cannot be loaded ({first_line(error)}); {RESTORE}.") from error

    def _foreign_files(self) -> list[str]:
        """Returns the names of files other than those that a killed start and other programs leave behind."""
        names = sorted(os.listdir(self.path))
        return [name for name in names if not any(fnmatch(name, pattern) for pattern in _STRAY)]
