"""Transposes integers and booleans without a message of TensorFlow's."""

from collections.abc import Sequence

import tensorflow as tf


def transpose_discrete(tensor: tf.Tensor, permutation: Sequence[int] | None = None) -> tf.Tensor:
    """Returns `tf.transpose` of booleans or of integers below 2 ** 24.

    It goes by way of float32: on CPUs without AVX-512, TensorFlow prints an error the first time that it transposes
    another type. Booleans become numbers by `tf.where` and `>`, since the graph optimiser moves a cast of them to the
    other side of the transpose.

    Args:
        tensor: Booleans or integers.
        permutation: Order of the axes; None reverses them.
    """
    if tensor.dtype == tf.bool:
        return tf.transpose(tf.where(tensor, 1.0, 0.0), permutation) > 0.5
    return tf.cast(tf.transpose(tf.cast(tensor, tf.float32), permutation), tensor.dtype)
