"""Transposes integers and booleans without a message of TensorFlow's."""

from collections.abc import Sequence

import tensorflow as tf


def transpose_discrete(tensor: tf.Tensor, permutation: Sequence[int] | None = None) -> tf.Tensor:
    """Returns `tf.transpose` of booleans or of integers below 2 ** 24.

    It goes by way of float32: on CPUs without AVX-512, TensorFlow prints an error the first time that it transposes
    another type.

    Args:
        tensor: Booleans or integers.
        permutation: Order of the axes; None reverses them.
    """
    return tf.cast(tf.transpose(tf.cast(tensor, tf.float32), permutation), tensor.dtype)
