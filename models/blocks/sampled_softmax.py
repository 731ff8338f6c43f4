"""The loss of a softmax over many ids, estimated from a few of them."""

import math
from typing import Any

import keras
import tensorflow as tf

from .logits import Logits


def sampled_cross_entropy(
    layer: Logits,
    table: Any,
    hidden: tf.Tensor,
    targets: tf.Tensor,
    samples: int,
    seed: keras.random.SeedGenerator,
) -> tf.Tensor:
    """Returns the cross-entropy of targets in nats, whose sum over the other ids is estimated from a sample of them by
    importance sampling (Bengio and Senecal, 2008; Jean et al., 2015, https://arxiv.org/abs/1412.2007).

    The sample is the same for all positions. It is drawn with replacement, and an id k with a probability proportional
    to log(1 + 1 / (k + 1)), as words whose ids are ranks of frequency occur (Zipf, 1949).

    Args:
        layer: Layer of the logits, built.
        table: [ids, features], the embeddings if the logits are tied.
        hidden: [..., features].
        targets: int32 [...].
        samples: Number of ids to draw.
        seed: Seed of the draws.

    Returns:
        float32 [...].
    """
    ids, shape = layer.ids, tf.shape(targets)
    hidden, targets = tf.reshape(hidden, [-1, hidden.shape[-1]]), tf.reshape(targets, [-1])
    uniform = keras.random.uniform([samples], seed=seed)
    drawn = tf.minimum(tf.cast(tf.exp(uniform * math.log(ids + 1)), tf.int32) - 1, ids - 1)

    def correction(of: tf.Tensor) -> tf.Tensor:
        """Returns the logarithm of the expected number of draws of ids."""
        rank = tf.cast(of, tf.float32) + 1
        return tf.math.log(samples * tf.math.log1p(1 / rank) / math.log(ids + 1))

    kernel, bias = layer.rows(targets, table)
    right = tf.reduce_sum(tf.cast(hidden * kernel, tf.float32), axis=1) + bias
    kernel, bias = layer.rows(drawn, table)
    wrong = tf.cast(tf.matmul(hidden, kernel, transpose_b=True), tf.float32) + bias - correction(drawn)
    # A drawn target is not wrong.
    wrong = tf.where(tf.equal(targets[:, None], drawn), wrong.dtype.min, wrong)
    losses = tf.reduce_logsumexp(tf.concat([right[:, None], wrong], axis=1), axis=1) - right
    return tf.reshape(losses, shape)
