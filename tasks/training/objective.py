"""The loss of a batch, which training minimises."""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

Batch = Mapping[str, tf.Tensor]


class Loss(NamedTuple):
    """The loss of a batch as sums, so that the parts of a batch add up.

    Attributes:
        total: float32 scalar, sum of the losses of all predictions (labels, tokens ...).
        weight: float32 scalar, number of predictions; total / weight is minimised.
        tokens: float32 scalar, number of real tokens read, for the speed.
    """

    total: tf.Tensor
    weight: tf.Tensor
    tokens: tf.Tensor


class Objective(abc.ABC):
    """The objective of a phase of training."""

    def initial_carry(self, model: keras.Model) -> Any:
        """Returns the carry for the first batch, a nest of tensors [rows, ...]; empty by default.

        The carry goes from batch to batch in the order of the rows. It is saved with each checkpoint, and no gradient
        flows through it.
        """
        del model
        return ()

    def prepare(self, data: Any) -> None:
        """Reads what the losses need of the application's data beside its batches, before the first one; by default
        nothing."""
        del data

    @abc.abstractmethod
    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        """Returns the loss of a batch, or of some of its rows, and the carry for the next batch.

        Args:
            model: The application's model.
            batch: A batch of the application's data, or some of its rows.
            training: Whether to apply dropout.
            carry: Carry returned for the same rows of the previous batch.
        """
