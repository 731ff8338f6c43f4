"""Losses of target tokens: cross-entropy, and the divergence between two passes (R-Drop)."""

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
    r_drop: float = 0.0,
) -> TokenLosses:
    """Returns the cross-entropy of all targets but padding.

    Args:
        logits_of: Function from outputs to logits, [tokens, size] -> float32 [tokens, ids].
        outputs: Outputs of the decoder, [..., time, size].
        targets: int32 [..., time].
        smoothing: Share of the target probability that is spread evenly over all ids.
        r_drop: Weight alpha of R-Drop (Liang et al., 2021, https://arxiv.org/abs/2106.14448). Unless it is zero, the
            outputs have twice as many rows as the targets: those of a first pass, and then those of a second one with
            other dropout. A loss is the mean of both passes' cross-entropies and of alpha times their divergence.
    """
    real = targets != PADDING
    targets = tf.boolean_mask(targets, real)

    def logits(outputs: tf.Tensor) -> tf.Tensor:
        # Of real tokens only: they are the largest part of the work.
        return logits_of(tf.boolean_mask(outputs, real))

    if not r_drop:
        return TokenLosses(smoothed_cross_entropy(logits(outputs), targets, smoothing), real)
    first, second = (logits(passed) for passed in tf.split(outputs, 2))
    losses = smoothed_cross_entropy(first, targets, smoothing)
    losses += smoothed_cross_entropy(second, targets, smoothing)
    return TokenLosses((losses + r_drop * symmetric_divergence(first, second)) / 2, real)


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

    return _released(losses_of(logits))


def symmetric_divergence(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the divergence between two distributions p and q, (KL(p || q) + KL(q || p)) / 2.

    The gradient is written by hand here, too: autodiff would keep more tensors as large as the logits.

    Args:
        first, second: Logits of p and of q, float32 [rows, ids].

    Returns:
        float32 [rows], in nats.
    """

    @tf.custom_gradient
    def divergence_of(
        first: tf.Tensor, second: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        log_p, log_q = tf.nn.log_softmax(first), tf.nn.log_softmax(second)
        p, q, ratios = tf.exp(log_p), tf.exp(log_q), log_p - log_q
        of_p, of_q = (tf.reduce_sum(these * ratios, axis=1, keepdims=True) for these in (p, q))

        def gradient(d_divergences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            half, apart = d_divergences[:, None] / 2, p - q
            return half * (p * (ratios - of_p) + apart), half * (q * (of_q - ratios) - apart)

        return tf.squeeze(of_p - of_q, axis=1) / 2, gradient

    return _released(divergence_of(first, second))


def _released(result: tf.Tensor) -> tf.Tensor:
    if not tf.executing_eagerly():
        release_with_graph(result.op)
    return result
