"""Losses of target tokens."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ..blocks.gradient_registry import release_with_graph
from ..text import PADDING


class TokenLosses(NamedTuple):
    """The losses of the real tokens of a batch.

    Attributes:
        losses: float32 [tokens], in nats.
        real: bool [..., time], True at these tokens.
    """

    losses: tf.Tensor
    real: tf.Tensor

    def by_position(self) -> tf.Tensor:
        """Returns the losses as float32 [..., time], with zeros for padding."""
        return tf.scatter_nd(tf.where(self.real), self.losses, tf.shape(self.real, tf.int64))


def token_losses(
    logits_of: Callable[[tf.Tensor], tf.Tensor],
    outputs: tf.Tensor,
    targets: tf.Tensor,
    smoothing: float = 0.0,
) -> TokenLosses:
    """Returns the cross-entropy of all targets but padding.

    Args:
        logits_of: Function from outputs to logits, [tokens, size] -> float32 [tokens, ids].
        outputs: Outputs of the decoder, [..., time, size].
        targets: int32 [..., time].
        smoothing: Share of the target probability that is spread evenly over all ids.
    """
    real = targets != PADDING
    # Logits of real tokens only: they are the largest part of the work.
    logits = logits_of(tf.boolean_mask(outputs, real))
    return TokenLosses(smoothed_cross_entropy(logits, tf.boolean_mask(targets, real), smoothing), real)


def smoothed_cross_entropy(logits: tf.Tensor, targets: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Returns the cross-entropy with smoothed labels (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).

        loss = -(1 - smoothing) log p(target) - smoothing * (mean of log p over all ids)

    The gradient is written by hand: autodiff accumulates the gradient of the gathered targets in a tensor as large as
    the logits, which took an eighth of the time of a training step.

    Args:
        logits: float32 [rows, ids].
        targets: int32 [rows].
        smoothing: Share of the target probability that is spread evenly over all ids.

    Returns:
        float32 [rows], in nats.
    """

    @tf.custom_gradient
    def losses_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        log_probabilities = tf.nn.log_softmax(logits)
        chosen = tf.gather(log_probabilities, targets, batch_dims=1)
        losses = -(1 - smoothing) * chosen
        if smoothing:
            losses -= smoothing * tf.reduce_mean(log_probabilities, axis=1)

        def gradient(d_losses: tf.Tensor) -> tf.Tensor:
            d_logits = tf.exp(log_probabilities)
            if smoothing:
                d_logits -= smoothing / logits.shape[1]
            indices = tf.stack([tf.range(tf.size(targets)), targets], axis=1)
            at_targets = tf.fill([tf.size(targets)], tf.cast(1 - smoothing, logits.dtype))
            return tf.tensor_scatter_nd_sub(d_logits, indices, at_targets) * d_losses[:, None]

        return losses, gradient

    losses = losses_of(logits)
    if not tf.executing_eagerly():
        release_with_graph(losses.op)
    return losses
