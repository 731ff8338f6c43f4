"""Losses of next-token prediction."""

import tensorflow as tf


def shifted(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits sequences into inputs and targets: [..., time + 1] -> two of [..., time]."""
    return ids[..., :-1], ids[..., 1:]


def twice(rows: tf.Tensor) -> tf.Tensor:
    """Returns all rows, and then all of them again, for two passes with different dropout."""
    return tf.concat([rows, rows], axis=0)


def masked_cross_entropy(logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy at each position, in nats, and zero where the mask is False.

    Args:
        logits: float32 [..., ids].
        targets: int32 [...].
        mask: bool [...].
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    return tf.where(mask, losses, tf.zeros_like(losses))
