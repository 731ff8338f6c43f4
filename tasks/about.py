"""The facts about a trained model, for its card."""

from pathlib import Path
from typing import Any

import keras

from ..common import options
from ..common.files import read_json
from ..export.bundle import About
from .data import PreparedData
from .task import Task
from .training.run_directory import RESTORE

_SOURCES = ("train_data", "validation_data", "test_data", "images", "captions")


def about(task: Task, data: PreparedData, model: keras.Model) -> About:
    """Returns the facts about the model with the best weights of a run."""
    config = data.config
    sources = {name: getattr(config, name, None) for name in _SOURCES}
    facts = {"data set": config.dataset}
    facts |= {name.replace("_", " "): Path(path).name for name, path in sources.items() if path}
    facts["training examples"] = f"{data.train_examples:,}"
    if data.counts.left_out:
        facts["left out of the training"] = f"{data.counts.left_out:,}"
    split, metrics = _measured(data)
    return About(
        summary=(type(config).__doc__ or "").strip(),
        data=facts,
        split=split,
        metrics={name: metrics[name] for name in task.metrics if name in metrics},
        limits=task.limits(data),
        parameters=model.count_params(),
        flags=_flags(config),
    )


def _measured(data: PreparedData) -> tuple[str, dict[str, Any]]:
    """Returns the part that the best weights were measured on, and the figures: those of `unroll evaluate` if they
    are newer than the weights, and otherwise those of the training; none for several runs as one model."""
    run, evaluated = data.run, data.results.metrics("test")
    if evaluated.exists() and evaluated.stat().st_mtime >= run.best_weights.stat().st_mtime:
        metrics = read_json(evaluated, RESTORE)
        return metrics.get("split", "test"), metrics
    if data.results.runs > 1:
        return "", {}
    return "validation", read_json(run.intact(run.best_metrics), RESTORE)


def _flags(config: Any) -> list[str]:
    """Returns the options that are not at their defaults as flags; of paths the last part alone."""
    flags = []
    for field, _ in options.of(type(config)):
        value = getattr(config, field.name)
        if value != field.default and value is not None:
            shown = (
                Path(value).name if field.metadata["is_path"] or field.metadata["is_name_or_path"] else value
            )
            flags.append(f"--{field.name}={str(shown).lower() if isinstance(shown, bool) else shown}")
    return flags
