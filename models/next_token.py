"""Models that read tokens and give the distribution of the next one, and what can be done with any of them."""

import abc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from .blocks.losses import masked_cross_entropy
from .recurrent import States
from .recurrent.layer import RecurrentLayer

# Steps of a window, and logits of a row in it, so that a text of any length fits into memory.
_WINDOW, _LOGITS = 1024, 1 << 20


class Reading(NamedTuple):
    """The result of reading a batch of texts.

    Attributes:
        log_probability: float32 [batch], sum of log p(id | preceding ids) over all ids but the first.
        logits: float32 [batch, ids], logits of the next id.
        states: States after the last id.
    """

    log_probability: tf.Tensor
    logits: tf.Tensor
    states: States


class NextTokenModel(keras.Model, abc.ABC):
    """A model that is called with ids, int32 [batch, time], `states` and a `mask`, and returns the logits of the next
    id after each step, float32 [batch, time, ids], and the states after the last.

    Attributes:
        vocabulary_size: Number of ids.
    """

    vocabulary_size: int

    @property
    @abc.abstractmethod
    def state_layers(self) -> Sequence[RecurrentLayer]:
        """The layers that have the states, in their order."""

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """The model in a few words, for a report."""

    @abc.abstractmethod
    def stepper(self) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        """Prepares a loop, and returns the function for one step: from ids, int32 [batch], and states to the logits of
        the next id, float32 [batch, ids], and the new states."""

    def initial_states(self, batch_size: int | tf.Tensor) -> States:
        """Returns zeros: for each layer a tensor [batch, units] for each of its states."""
        return tuple(layer.get_initial_state(batch_size) for layer in self.state_layers)

    def read(self, ids: tf.Tensor, lengths: tf.Tensor, states: States | None = None) -> Reading:
        """Reads texts of any length, a window at a time, without a gradient.

        Args:
            ids: int32 [batch, time], at least one step.
            lengths: int32 [batch], number of ids to read in each row, at least 1.
            states: Initial states; None for zeros.
        """
        batch, time = tf.unstack(tf.shape(ids))
        window = tf.minimum(time, max(1, min(_WINDOW, _LOGITS // self.vocabulary_size)))
        windows = -(-time // window)
        # One more id, as the target of the last window.
        ids = tf.pad(ids, [[0, 0], [0, windows * window + 1 - time]])
        positions = tf.range(window)

        def read_window(number: tf.Tensor, total: tf.Tensor, last: tf.Tensor, states: States) -> tuple:
            first = number * window
            inputs, targets = ids[:, first : first + window], ids[:, first + 1 : first + window + 1]
            left = (lengths - first)[:, None]
            is_read, is_scored = positions < left, positions + 1 < left
            logits, states = self(inputs, states=states, mask=is_read)
            total -= tf.reduce_sum(masked_cross_entropy(logits, targets, is_scored), axis=1)
            # A masked step repeats the output of the last real one.
            last = tf.where(is_read[:, :1], logits[:, -1], last)
            return number + 1, total, last, states

        initial = (
            0,
            tf.zeros([batch]),
            tf.zeros([batch, self.vocabulary_size]),
            states or self.initial_states(batch),
        )
        _, total, last, final = tf.while_loop(lambda number, *_: number < windows, read_window, initial)
        return Reading(total, last, final)
