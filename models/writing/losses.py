"""Cross entropy with label smoothing."""

from collections.abc import Callable

import tensorflow as tf


def smoothed_cross_entropy(logits: tf.Tensor, targets: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Returns the cross entropy with smoothed labels (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).

        loss = -(1 - smoothing) log p(target) - smoothing * (mean of log p over all ids)

    The gradient is written by hand: autodiff would accumulate the gradient of the gathered targets in a tensor as large
    as the logits, which took an eighth of the time of a training step.

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

    return losses_of(logits)
