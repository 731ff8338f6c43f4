"""The largest of many values."""

import tensorflow as tf

# Values whose largest is found in one pass, at most.
_GROUP = 32


def largest(values: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`tf.math.top_k` of rows as long as a vocabulary, in about half of its time where the length has a divisor.

    A row is looked through in groups: the k largest values lie in the k groups with the largest maxima.

    Args:
        values: [..., length], whose length is known when the graph is made.
        k: at most the length.

    Returns:
        The k largest values, largest first, the first of equal ones first, and their indices, int32, both [..., k].
    """
    length = values.shape[-1]
    size = max(n for n in range(1, _GROUP + 1) if length % n == 0)
    if size == 1 or length // size <= k:
        return tf.math.top_k(values, k)
    rows = tf.shape(values)[:-1]
    groups = tf.reshape(values, [-1, length // size, size])
    _, chosen = tf.math.top_k(tf.reduce_max(groups, axis=2), k)
    # In the order of the row, so that of equal values the first is found first.
    chosen = -tf.math.top_k(-chosen, k).values
    candidates = tf.reshape(tf.gather(groups, chosen, batch_dims=1), [-1, k * size])
    found, places = tf.math.top_k(candidates, k)
    indices = tf.gather(chosen, places // size, batch_dims=1) * size + places % size
    shape = tf.concat([rows, [k]], axis=0)
    return tf.reshape(found, shape), tf.reshape(indices, shape)
