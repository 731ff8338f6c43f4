"""The applications. A new one needs a line here and a package beside `sentiment`."""

import importlib
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from .training.config import TrainingConfig
from .training.run_directory import RunDirectory

# Name on the command line -> package with the modules `config` (no TensorFlow) and `task`.
APPLICATIONS = {
    "sentiment": "unroll.tasks.sentiment",
    "language_modeling": "unroll.tasks.language_modeling",
    "translation": "unroll.tasks.translation",
    "captioning": "unroll.tasks.captioning",
}


def config_class(application: str) -> type[TrainingConfig]:
    """Returns the class of an application's options.

    Raises:
        UserError: If the application does not exist.
    """
    if application not in APPLICATIONS:
        raise UserError(f"There is no task {application!r}; choose one of {', '.join(APPLICATIONS)}.")
    return importlib.import_module(f"{APPLICATIONS[application]}.config").CONFIG


def predict_class(application: str) -> type:
    """Returns the class of an application's options of `unroll predict`."""
    return importlib.import_module(f"{APPLICATIONS[application]}.config").PREDICT


def read_config(run: RunDirectory) -> tuple[str, TrainingConfig]:
    """Returns the application and the options of a run.

    Raises:
        UserError: If the run does not exist, or comes from another version.
    """
    application, saved = run.read_config()
    # JSON has no tuples.
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in saved.items()}
    try:
        return application, config_class(application)(**values)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{run.config} cannot be used ({error}); it was changed by hand or made by another version. Known "
            f"tasks: {', '.join(APPLICATIONS)}."
        ) from error


def task_of(application: str) -> Any:
    """Returns the `Task` of an application; this imports TensorFlow."""
    return importlib.import_module(f"{APPLICATIONS[application]}.task").TASK


def presets(application: str) -> dict[str, Path]:
    """Returns the paths of an application's presets, by name."""
    folder = Path(importlib.import_module(APPLICATIONS[application]).__path__[0], "presets")
    return {path.stem: path for path in sorted(folder.glob("*.flags"))}
