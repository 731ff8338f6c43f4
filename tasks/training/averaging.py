"""Averages of the weights, for evaluation and export."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf


class Average(tf.Module):
    """An average of a model's weights over time; a subclass moves it after each step, or at the end of each epoch.

    Args:
        variables: Weights to average.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        super().__init__()
        self._weights = list(variables)
        self.averages = [tf.Variable(w.value, trainable=False) for w in variables]

    def reset(self) -> None:
        """Sets the averages to the weights."""
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign(weight)

    def update(self, step: tf.Tensor) -> None:
        """Follows the weights after a step, inside a graph.

        Args:
            step: Number of steps made, float32 scalar.
        """

    def end_epoch(self) -> None:
        """Follows the weights after an epoch."""

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


class WeightAverage(Average):
    """The exponential moving average of a model's weights (Polyak and Juditsky, 1992).

    The decay grows with the number of steps, as min(decay, (1 + step) / (10 + step)), so that the average soon forgets
    the first weights.

    Args:
        variables: Weights to average.
        decay: Share of the average that is kept at a step, in [0, 1).
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        super().__init__(variables)
        self.decay = decay

    def update(self, step: tf.Tensor) -> None:
        decay = tf.minimum(self.decay, (1 + step) / (10 + step))
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign_sub((1 - decay) * (average - weight.value))


class EpochAverage(Average):
    """The mean of the weights at the ends of the last epochs.

    Args:
        variables: Weights to average.
        epochs: Largest number of epochs.
    """

    def __init__(self, variables: Sequence[keras.Variable], epochs: int) -> None:
        super().__init__(variables)
        self._ended = tf.Variable(0, trainable=False)
        # Each epoch takes the place of the oldest one.
        self._kept = [[tf.Variable(w.value, trainable=False) for w in variables] for _ in range(epochs)]

    def end_epoch(self) -> None:
        ended = int(self._ended)
        for kept, weight in zip(self._kept[ended % len(self._kept)], self._weights, strict=True):
            kept.assign(weight)
        self._ended.assign_add(1)
        for average, *kept in zip(self.averages, *self._kept[: ended + 1], strict=True):
            average.assign(tf.add_n([tf.convert_to_tensor(one) for one in kept]) / len(kept))
