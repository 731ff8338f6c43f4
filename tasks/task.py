"""What an application tells the trainer, the evaluator and the exporter about itself."""

import abc
from collections.abc import Container, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import keras
import tensorflow as tf

from ..export.bundle import Bundle
from .training.config import TrainingConfig
from .training.run_directory import RunDirectory

Batch = Mapping[str, tf.Tensor]


class Loss(NamedTuple):
    """The loss of a batch as sums, so that parts of a batch add up.

    Attributes:
        total: float32 scalar, the sum of the losses of all that is predicted (labels, say, or tokens).
        weight: float32 scalar, how many are predicted; total / weight is the loss which is minimised.
        tokens: float32 scalar, number of real tokens read, for the speed.
    """

    total: tf.Tensor
    weight: tf.Tensor
    tokens: tf.Tensor


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
    def truncation(self) -> int | None:
        """Number of steps that a gradient reaches back at most; None: all that there are."""
        return getattr(self.config, "truncate_gradient", None)

    def sequences(self) -> tf.data.Dataset:
        """Batches for `loss`, without a carry, to see how far gradients would reach: the training's own, unless these
        are cut where the gradient is."""
        return self.batches(0, fixed_shapes=False)

    def initial_carry(self, model: keras.Model) -> Any:
        """What goes from batch to batch, in the order of the rows: a nest of tensors [rows, ...], nothing by default.

        It is saved with each checkpoint, and no gradient flows through it.
        """
        del model
        return ()

    @abc.abstractmethod
    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        """The loss of a batch, or of some of its rows.

        Args:
            model: of `build_model`.
            batch: of `batches`, or some of its rows.
            training: whether to drop.
            carry: of the same rows, what the batch before returned.

        Returns:
            The loss, and the carry for the next batch.
        """

    @property
    def rewarded_epochs(self) -> int:
        """How many of the last epochs train by `rewarded_loss`."""
        return getattr(self.config, "rewarded_epochs", 0)

    def is_rewarded(self, epoch: float) -> bool:
        """Whether one of these has begun after so many epochs."""
        return self.rewarded_epochs > 0 and epoch >= self.config.epochs - self.rewarded_epochs

    def rewarded_loss(self, model: keras.Model, batch: Batch) -> Loss:
        """The loss of what the model writes itself when it is given a batch: 1 - reward, and what raises rewards as its
        gradient. Only for applications with rewarded epochs."""
        raise NotImplementedError

    @abc.abstractmethod
    def evaluate(self, model: keras.Model, split: str) -> Evaluation:
        """Measures a model on the validation or test part, as often as each epoch."""

    def report(self, model: keras.Model, split: str) -> Evaluation:
        """What `unroll evaluate` tells; it may take longer than `evaluate`."""
        return self.evaluate(model, split)

    @abc.abstractmethod
    def bundle(self, model: keras.Model) -> Bundle:
        """What is exported: signatures with their example requests."""
