"""Transposes integers, booleans and pixels without a message of TensorFlow's.

On many CPUs TensorFlow prints an error the first time that it transposes another type than float32.
"""

from collections.abc import Sequence

import tensorflow as tf


def transpose_discrete(tensor: tf.Tensor, permutation: Sequence[int] | None = None) -> tf.Tensor:
    """Returns `tf.transpose` of booleans or of integers below 2 ** 24.

    It goes by way of float32. Booleans become numbers by `tf.where` and `>`, since the graph optimiser moves a cast of
    them to the other side of the transpose.

    Args:
        tensor: Booleans or integers.
        permutation: Order of the axes; None reverses them.
    """
    if tensor.dtype == tf.bool:
        return tf.transpose(tf.where(tensor, 1.0, 0.0), permutation) > 0.5
    return tf.cast(tf.transpose(tf.cast(tensor, tf.float32), permutation), tensor.dtype)


def transpose_pixels(pixels: tf.Tensor) -> tf.Tensor:
    """Swaps rows and columns of RGB, uint8 [rows, columns, 3].

    The bytes of a pixel travel as the bits of a float32, since the graph optimiser moves a cast of bytes, too.
    """
    bits = tf.bitcast(tf.pad(pixels, [[0, 0], [0, 0], [0, 1]]), tf.float32)
    return tf.bitcast(tf.transpose(bits), tf.uint8)[..., :3]
