"""Cuts long sequences into segments that layers read side by side, and joins their outputs (Johnson and Zhang, 2016,
Supervised and semi-supervised text categorization using LSTM for region embeddings, https://arxiv.org/abs/1602.02373)."""

import tensorflow as tf


def cut(sequences: tf.Tensor, mask: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the segments of sequences as rows.

    Args:
        sequences: [batch, time, features].
        mask: bool [batch, time], False for padding at the right.
        length: Steps of a segment; only the last segment of a sequence may be shorter.

    Returns:
        The segments, [batch * segments, steps, features], and their mask.
    """
    batch, time = tf.shape(mask)[0], tf.shape(mask)[1]
    # Sequences that fit into a segment are not made longer.
    steps = tf.clip_by_value(time, 1, length)
    missing = -time % steps
    sequences = tf.pad(sequences, [[0, 0], [0, missing], [0, 0]])
    mask = tf.pad(mask, [[0, 0], [0, missing]])
    rows = batch * ((time + missing) // steps)
    return tf.reshape(sequences, [rows, steps, sequences.shape[2]]), tf.reshape(mask, [rows, steps])


def joined(outputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the outputs of the segments of `cut` in the order of the sequences.

    Args:
        outputs: [batch * segments, steps, features].
        mask: The mask of the sequences, bool [batch, time].

    Returns:
        [batch, time, features].
    """
    batch, time = tf.shape(mask)[0], tf.shape(mask)[1]
    padded = time + -time % tf.shape(outputs)[1]
    return tf.reshape(outputs, [batch, padded, outputs.shape[2]])[:, :time]
