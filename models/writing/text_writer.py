"""Models that write a text for an input, and what can be done with any of them."""

import abc
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ..decoding import Beams, Hypotheses, beam_search
from ..text import END, PADDING, START, UNKNOWN
from .losses import TokenLosses, token_losses

# Ids that are never written.
FORBIDDEN = (PADDING, UNKNOWN, START)

# A step of decoding: from ids, int32 [rows], and states to logits, float32 [rows, ids], new states, and attention
# weights, float32 [rows, positions].
WritingStep = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any, tf.Tensor]]


class TextWriter(keras.Model, abc.ABC):
    """A model that is called with an input and texts, and returns outputs from which come the logits of all tokens.

    Attributes:
        target_vocabulary_size: Number of ids.
    """

    target_vocabulary_size: int

    @abc.abstractmethod
    def encode(self, inputs: tf.Tensor, training: bool = False) -> Any:
        """Encodes a batch of inputs, for `start`."""

    @abc.abstractmethod
    def start(self, encoded: Any) -> tuple[WritingStep, Any]:
        """Prepares a loop, and returns the function for one step of decoding and the states before the first, a nest of
        tensors [batch, ...]. Each row of the input may serve several successive rows of a step."""

    @abc.abstractmethod
    def logits(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits of outputs: [..., size] -> float32 [..., ids]."""

    def token_losses(
        self, outputs: tf.Tensor, targets: tf.Tensor, smoothing: float = 0.0, r_drop: float = 0.0
    ) -> TokenLosses:
        """Returns the losses of all targets but padding, int32 [..., time]; see `losses.token_losses`."""
        return token_losses(self.logits, outputs, targets, smoothing, r_drop)

    def search(self, encoded: Any, max_length: tf.Tensor, beams: Beams, unknown: bool = False) -> Hypotheses:
        """Searches the best texts, without a gradient.

        Args:
            encoded: Result of `encode`.
            max_length: int32 [batch], maximum numbers of tokens.
            beams: Options of the search.
            unknown: Whether the unknown token may be written.
        """
        step, states = self.start(encoded)
        size = self.target_vocabulary_size
        forbidden = [number for number in FORBIDDEN if number != UNKNOWN or not unknown]
        return beam_search(step, states, START, END, max_length, beams, size, forbidden)
