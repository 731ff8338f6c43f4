"""The special ids, and padding of rows of ids."""

import tensorflow as tf

PADDING = 0
UNKNOWN = 1
# Only in codecs for texts with a start and an end.
START = 2
END = 3


def pad(ids: tf.RaggedTensor) -> tf.Tensor:
    """Pads rows with zeros at the right: int32 [batch, (time)] -> int32 [batch, time], where time is at least 1."""
    return at_least_one_step(ids.to_tensor(PADDING))


def at_least_one_step(rows: tf.Tensor) -> tf.Tensor:
    """Pads [batch, 0], a batch of empty texts, with zeros (or "") to [batch, 1]; returns other batches unchanged."""
    return tf.pad(
        rows, [[0, 0], [0, tf.maximum(0, 1 - tf.shape(rows)[1])]], constant_values=tf.zeros([], rows.dtype)
    )


def left_aligned(ids: tf.Tensor) -> tf.Tensor:
    """Moves the padding of each row to its right end: int32 [batch, time] -> the same."""
    real = ids != PADDING
    columns = tf.maximum(tf.cumsum(tf.cast(real, tf.int32), axis=1) - 1, 0)
    rows = tf.range(tf.shape(ids)[0])[:, None] * tf.ones_like(columns)
    # Padding adds zeros to places of its row.
    return tf.scatter_nd(tf.stack([rows, columns], axis=-1), ids, tf.shape(ids))


def with_start_and_end(ids: tf.RaggedTensor) -> tf.Tensor:
    """Puts each row between start and end: int32 [batch, (time)] -> int32 [batch, time + 2], zero-padded."""
    # Not by concatenation: that of ragged tensors transposes integers; see `transpose_discrete`.
    padded = tf.pad(ids.to_tensor(PADDING), [[0, 0], [1, 1]])
    positions, ends = tf.range(tf.shape(padded)[1]), ids.row_lengths()[:, None] + 1
    return tf.where(positions == 0, START, tf.where(tf.cast(positions, ends.dtype) == ends, END, padded))
