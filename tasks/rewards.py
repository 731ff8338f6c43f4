"""Rewarded epochs of translation and captioning: they train on texts that the model draws itself."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from ..models.blocks.losses import shifted
from ..models.text import END, PADDING
from ..models.text_options import RewardOptions
from ..models.writing.cider import NgramRarities, cider_d
from ..models.writing.rewards import rewarded, sentence_bleu
from .training.objective import Batch, Loss, Objective
from .training.phases import Phase
from .training.schedules import linear_decay

# Texts drawn for each input.
_DRAWN = 5


class RewardedTexts(Objective):
    """1 - reward of texts drawn from the model, whose gradient raises the rewards, and a share of the references' loss.

    Args:
        parts: Takes the input and its references, int32 [rows, references, 1 + time], out of a batch.
        options: Options of the rewards.
        label_smoothing: Share of the references' probability to spread evenly over all tokens.
    """

    def __init__(
        self,
        parts: Callable[[Batch], tuple[tf.Tensor, tf.Tensor]],
        options: RewardOptions,
        label_smoothing: float,
    ) -> None:
        self._parts = parts
        self._options = options
        self._label_smoothing = label_smoothing
        self._rarities: NgramRarities | None = None

    def prepare(self, data: Any) -> None:
        if self._options.rewarded_cider:
            self._rarities = NgramRarities.of(data.references(), data.reference_tokens)

    def loss(self, model: keras.Model, batch: Batch, training: bool, carry: Any = ()) -> tuple[Loss, Any]:
        source, references = self._parts(batch)
        drawn = model.draw_texts(model.encode(source), _DRAWN, tf.shape(references)[2] - 1)
        encoded = model.encode(source, training)
        inputs, targets = shifted(drawn)
        losses = model.token_losses(model.decode_texts(inputs, encoded, training)[0], targets)
        by_text = rewarded(
            self._rewards(targets, references[..., 1:]), tf.reduce_sum(losses.by_position(), axis=2)
        )
        by_row, share = tf.reduce_mean(by_text, axis=1), self._options.rewarded_likelihood
        if share:
            inputs, targets = shifted(references)
            outputs = model.decode_texts(inputs, encoded, training)[0]
            likelihood = model.token_losses(outputs, targets, self._label_smoothing).by_position()
            # By text, as the gradient of a drawn one: by token it would weigh less by the length of a text.
            texts = tf.math.count_nonzero(targets[..., 0], axis=1, dtype=tf.float32)
            by_row = (1 - share) * by_row + share * tf.reduce_sum(likelihood, axis=[1, 2]) / texts
        tokens = tf.cast(tf.size(losses.losses), tf.float32)
        return Loss(tf.reduce_sum(by_row), tf.cast(tf.size(by_row), tf.float32), tokens), carry

    def _rewards(self, drawn: tf.Tensor, references: tf.Tensor) -> tf.Tensor:
        """Returns the rewards of texts, float32 [rows, texts]."""
        drawn, references = (tf.where(ids == END, PADDING, ids) for ids in (drawn, references))
        share, rewards = self._options.rewarded_cider, tf.zeros([])
        if share < 1:
            rewards += (1 - share) * sentence_bleu(drawn, references)
        if self._rarities is not None:
            rewards += share * cider_d(drawn, references, self._rarities)
        return rewards


def rewarded_phase(options: RewardOptions, objective: RewardedTexts) -> Phase:
    """Returns the phase of the rewarded epochs, the last ones."""
    decay = partial(linear_decay, options.rewarded_learning_rate)
    # XLA cannot compile the loop that draws texts.
    return Phase(options.rewarded_epochs, objective, decay, resets_moments=True, compilable=False)
