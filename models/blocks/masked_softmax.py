"""Softmax over the real positions of a mask."""

import tensorflow as tf


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns weights that sum to one over the real positions, or zeros for a row without one.

    Args:
        scores: [..., positions].
        mask: bool, of a shape that broadcasts with `scores`; True for real positions.
    """
    # TensorFlow's softmax takes at least a tenth of a millisecond, much of a decoding step.
    scores = tf.where(mask, scores, scores.dtype.min)
    powers = tf.exp(scores - tf.stop_gradient(tf.reduce_max(scores, axis=-1, keepdims=True)))
    powers *= tf.cast(mask, scores.dtype)
    return tf.math.divide_no_nan(powers, tf.reduce_sum(powers, axis=-1, keepdims=True))
