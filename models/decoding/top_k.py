"""A faster `tf.math.top_k` for rows as long as a vocabulary."""

import tensorflow as tf

# Largest size of a group.
_GROUP = 32


def top_k(values: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Same as `tf.math.top_k`, in about half of its time if the length of the rows has a suitable divisor.

    Rows are searched in groups: the k largest values lie in the k groups with the largest maxima.

    Args:
        values: [..., length]; the length should be known when the graph is built.
        k: Number of values, at most the length.

    Returns:
        The k largest values, largest first, the first of equal ones first, and their indices, int32, both [..., k].
    """
    length = values.shape[-1]
    if length is None:
        return tf.math.top_k(values, k)
    size = max(n for n in range(1, _GROUP + 1) if length % n == 0)
    if size == 1 or length // size <= k:
        return tf.math.top_k(values, k)
    rows = tf.shape(values)[:-1]
    groups = tf.reshape(values, [-1, length // size, size])
    _, chosen = tf.math.top_k(tf.reduce_max(groups, axis=2), k)
    # In the order of the row, so that the first of equal values comes first.
    chosen = -tf.math.top_k(-chosen, k).values
    candidates = tf.reshape(tf.gather(groups, chosen, batch_dims=1), [-1, k * size])
    found, positions = tf.math.top_k(candidates, k)
    indices = tf.gather(chosen, positions // size, batch_dims=1) * size + positions % size
    shape = tf.concat([rows, [k]], axis=0)
    return tf.reshape(found, shape), tf.reshape(indices, shape)
