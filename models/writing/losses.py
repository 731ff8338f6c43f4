"""Losses of what is predicted, one for each row of logits."""

from collections.abc import Callable

import tensorflow as tf


def smoothed_cross_entropy(logits: tf.Tensor, targets: tf.Tensor, smoothing: float) -> tf.Tensor:
    """The cross entropy with smoothed labels (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).

        loss = -(1 - smoothing) log p(target) - smoothing * (mean of log p over all ids)

    The gradient is written by hand: autodiff adds up that of the gathered targets in a tensor as large as the logits,
    which took an eighth of the time of a training step.

    Args:
        logits: float32 [rows, ids].
        targets: int32 [rows].
        smoothing: share of the probability that is to go to all ids alike.

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
            everywhere = tf.exp(log_probabilities)
            if smoothing:
                everywhere -= smoothing / logits.shape[1]
            places = tf.stack([tf.range(tf.size(targets)), targets], axis=1)
            at_targets = tf.fill([tf.size(targets)], tf.cast(1 - smoothing, logits.dtype))
            return tf.tensor_scatter_nd_sub(everywhere, places, at_targets) * d_losses[:, None]

        return losses, gradient

    return losses_of(logits)
