"""An application as the commands, the trainer and the inspection know it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import keras

from ..export.bundle import Bundle
from .data import PreparedData
from .training.phases import Phase
from .training.run_directory import RunDirectory


class Evaluation(NamedTuple):
    """The quality of a model on a part of the data.

    Attributes:
        metrics: Figures by name; `--monitor` chooses one.
        details: What else belongs into the JSON file of `unroll evaluate`.
        report: The same for people, several lines.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    report: str


class Truncation(NamedTuple):
    """How far back through time the gradients of a training reach.

    Attributes:
        option: Name of the option that limits it.
        steps: Maximum number of steps; None: all.
    """

    option: str
    steps: int | None


@dataclasses.dataclass(frozen=True)
class Task:
    """An application: its data, its model, and what the model is trained for.

    `config` stands for the application's options, `sizes` for those that its data decides (`PreparedData.sizes`).

    Attributes:
        metrics: Names of what `evaluate` measures, and whether the smallest or the largest value is the best.
        data: (config, run directory) -> the data, on which all depends that is not an option.
        build_model: (config, sizes) -> the model, with all its weights made.
        phases: (config, sizes) -> the phases of the training; together they have all its epochs.
        truncation: (config) -> how far gradients reach.
        evaluate: (model, data, split) -> the quality of a model, as the trainer measures it after each epoch.
        report: (model, data, split) -> what `unroll evaluate` prints; it may take longer than `evaluate`.
        bundle: (model, data) -> the signatures to export, with their example requests.
    """

    metrics: Mapping[str, Literal["min", "max"]]
    data: Callable[[Any, RunDirectory], PreparedData]
    build_model: Callable[[Any, Any], keras.Model]
    phases: Callable[[Any, Any], Sequence[Phase]]
    truncation: Callable[[Any], Truncation]
    evaluate: Callable[[keras.Model, Any, str], Evaluation]
    report: Callable[[keras.Model, Any, str], Evaluation]
    bundle: Callable[[keras.Model, Any], Bundle]
