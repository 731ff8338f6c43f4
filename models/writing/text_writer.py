"""Models that write a text for an input, and what can be done with any of them."""

import abc
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ..decoding import IMPOSSIBLE, Beams, Hypotheses, beam_search
from ..text import END, PADDING, START, UNKNOWN
from .losses import TokenLosses, token_losses
from .shortlist import Allowed

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
    def start(self, encoded: Any, allowed: tf.Tensor | None = None) -> tuple[WritingStep, Any]:
        """Prepares a loop, and returns the function for one step of decoding and the states before the first, a nest of
        tensors [batch, ...]. Each row of the input may serve several successive rows of a step.

        Args:
            encoded: Result of `encode`.
            allowed: int32 [n], the tokens to choose from; the step then reads and scores positions in it. None: all.
        """

    @abc.abstractmethod
    def logits(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits of outputs: [..., size] -> float32 [..., ids]."""

    def token_losses(
        self, outputs: tf.Tensor, targets: tf.Tensor, smoothing: float = 0.0, r_drop: float = 0.0
    ) -> TokenLosses:
        """Returns the losses of all targets but padding, int32 [..., time]; see `losses.token_losses`."""
        return token_losses(self.logits, outputs, targets, smoothing, r_drop)

    def search(
        self,
        encoded: Any,
        max_length: tf.Tensor,
        beams: Beams,
        unknown: bool = False,
        allowed: Allowed | None = None,
    ) -> Hypotheses:
        """Searches the best texts, without a gradient.

        Args:
            encoded: Result of `encode`.
            max_length: int32 [batch], maximum numbers of tokens.
            beams: Options of the search.
            unknown: Whether the unknown token may be written.
            allowed: The tokens that each row may be written with; None: all.
        """
        size = self.target_vocabulary_size
        forbidden = [number for number in FORBIDDEN if number != UNKNOWN or not unknown]
        if allowed is None:
            plain, states = self.start(encoded)
            return beam_search(plain, states, START, END, max_length, beams, size, forbidden)
        score, states = self.start(encoded, allowed.ids)
        by_hypothesis = tf.repeat(allowed.by_row, beams.width, axis=0)

        def step(ids: tf.Tensor, states: Any) -> tuple[tf.Tensor, Any, tf.Tensor]:
            logits, states, weights = score(ids, states)
            return tf.where(by_hypothesis, logits, IMPOSSIBLE), states, weights

        found = beam_search(step, states, START, END, max_length, beams, allowed.smallest, forbidden)
        return found._replace(ids=tf.gather(allowed.ids, found.ids))
