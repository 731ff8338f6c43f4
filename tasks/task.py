"""What an application tells the trainer, the evaluator and the exporter about itself."""

import abc
from collections.abc import Container, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import keras
import tensorflow as tf

from ..export.bundle import Bundle
from .training.config import TrainingConfig
from .training.phases import Phase
from .training.run_directory import RunDirectory


class Evaluation(NamedTuple):
    """What `unroll evaluate` says of a split.

    Attributes:
        metrics: by name; `--monitor` chooses one.
        details: whatever else belongs into the JSON file.
        report: the same for people, several lines.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    report: str


class Truncation(NamedTuple):
    """How far back through time the gradients of an application reach.

    Attributes:
        option: Name of the option that limits it.
        steps: Number of steps that a gradient reaches back at most; None: all.
    """

    option: str
    steps: int | None


class Task(abc.ABC):
    """One application on one run directory.

    Args:
        config: of the run.
        run: where the vocabulary and the prepared data are.
    """

    # What `evaluate` measures, and `--monitor` may name; whether the smallest or the largest value is the best.
    metrics: ClassVar[Mapping[str, Literal["min", "max"]]]

    def __init__(self, config: TrainingConfig, run: RunDirectory) -> None:
        self.config = config
        self.run = run

    @abc.abstractmethod
    def prepare(self) -> None:
        """Reads the data once: learns the vocabulary and writes the training shards. Does nothing if that is done."""

    @property
    @abc.abstractmethod
    def splits(self) -> Container[str]:
        """The parts of the data set, which knows whether it contains one."""

    @property
    def has_validation(self) -> bool:
        """Whether there is a validation part; without one the weights of the last epoch are the best."""
        return "validation" in self.splits

    @property
    @abc.abstractmethod
    def train_examples(self) -> int:
        """Number of training examples."""

    @abc.abstractmethod
    def build_model(self) -> keras.Model:
        """The model, with all its weights made."""

    @abc.abstractmethod
    def batches(self, epoch: int, fixed_shapes: bool) -> tf.data.Dataset:
        """The training batches of an epoch, in an order given by the seed and the epoch; an iterator over them can be
        checkpointed.

        Args:
            epoch: from 0.
            fixed_shapes: keep the number of different shapes small, for a compiler.
        """

    @property
    @abc.abstractmethod
    def truncation(self) -> Truncation:
        """How far back through time gradients reach."""

    def sequences(self) -> tf.data.Dataset:
        """Returns batches for the objective, without a carry, to see how far gradients would reach: the training's own,
        unless these are cut where the gradient is."""
        return self.batches(0, fixed_shapes=False)

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of the training; together they have all its epochs."""

    @abc.abstractmethod
    def evaluate(self, model: keras.Model, split: str) -> Evaluation:
        """Measures a model on the validation or test part, as often as each epoch."""

    def report(self, model: keras.Model, split: str) -> Evaluation:
        """What `unroll evaluate` tells; it may take longer than `evaluate`."""
        return self.evaluate(model, split)

    @abc.abstractmethod
    def bundle(self, model: keras.Model) -> Bundle:
        """What is exported: signatures with their example requests."""
