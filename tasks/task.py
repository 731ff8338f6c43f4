"""The interface of an application to the commands, the trainer and the inspection."""

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
        details: Further entries of the JSON file of `unroll evaluate`.
        report: The same as text for people, several lines.
        warning: What is wrong with the model, such as the same answer to every input; "" if nothing is.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    report: str
    warning: str = ""


class Truncation(NamedTuple):
    """How far back through time the gradients of a training reach.

    Attributes:
        option: Name of the option that limits it.
        steps: Maximum number of steps; None: all.
    """

    option: str
    steps: int | None


def layer_truncation(config: Any) -> Truncation:
    """Returns how far gradients reach where the recurrent layers cut them: `truncate_gradient`."""
    return Truncation("truncate_gradient", config.truncate_gradient)


@dataclasses.dataclass(frozen=True)
class Task:
    """An application: its data, its model and its objectives.

    `config` stands for the application's options, `sizes` for the sizes that its data determines
    (`PreparedData.sizes`).

    Attributes:
        metrics: Names of the metrics of `evaluate`, each with the direction of the best value.
        data: (config, run directory) -> the data.
        build_model: (config, sizes) -> the model, with all its weights made.
        initialize: (model, data) -> gives the model of a new run weights that follow from the training part.
        phases: (config, sizes) -> the phases of the training; together they have all its epochs.
        calibrate: (model, data) -> fits what a model keeps of the validation part, before each `evaluate` on it.
        evaluate: (model, data, split) -> the quality of a model, as the trainer measures it after each epoch.
        report: (model, data, split) -> the evaluation for `unroll evaluate`; it may take longer than `evaluate`.
        bundle: (model, data) -> the signatures to export, with their example requests.
        limits: (data) -> sentences about what the model cannot do, for its card.
        mean: (models of several runs) -> one model, the mean of their probabilities.
        truncation: (config) -> how far gradients reach.
    """

    metrics: Mapping[str, Literal["min", "max"]]
    data: Callable[[Any, RunDirectory], PreparedData]
    build_model: Callable[[Any, Any], keras.Model]
    phases: Callable[[Any, Any], Sequence[Phase]]
    evaluate: Callable[[keras.Model, Any, str], Evaluation]
    report: Callable[[keras.Model, Any, str], Evaluation]
    bundle: Callable[[keras.Model, Any], Bundle]
    limits: Callable[[Any], Sequence[str]]
    mean: Callable[[Sequence[Any]], keras.Model]
    truncation: Callable[[Any], Truncation] = layer_truncation
    initialize: Callable[[Any, Any], None] = lambda model, data: None
    calibrate: Callable[[Any, Any], None] = lambda model, data: None
