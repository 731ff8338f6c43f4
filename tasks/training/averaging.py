"""A moving average of the weights, for evaluation and export."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf


class WeightAverage(tf.Module):
    """The exponential moving average of a model's weights (Polyak and Juditsky, 1992).

    The decay grows with the number of steps, as min(decay, (1 + step) / (10 + step)), so that the average soon forgets
    the first weights.

    Args:
        variables: Weights to average.
        decay: Share of the average that is kept at a step, in [0, 1).
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._weights = list(variables)
        self.averages = [tf.Variable(w.value, trainable=False) for w in variables]

    def reset(self) -> None:
        """Sets the averages to the weights."""
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign(weight)

    def update(self, step: tf.Tensor) -> None:
        """Moves the averages towards the weights, inside a graph.

        Args:
            step: Number of steps made, float32 scalar.
        """
        decay = tf.minimum(self.decay, (1 + step) / (10 + step))
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign_sub((1 - decay) * (average - weight.value))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Gives the model the averages as its weights, within a `with` block."""
        own = [tf.identity(w.value) for w in self._weights]
        for weight, average in zip(self._weights, self.averages, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own, strict=True):
                weight.assign(value)
