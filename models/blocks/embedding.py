"""Vectors of tokens."""

import keras
import tensorflow as tf

from ..text import PADDING, UNKNOWN


def embedding(ids: int, size: int, name: str) -> keras.layers.Embedding:
    """Returns an embedding with small initial values, since its table may also be the kernel of logits."""
    initializer = keras.initializers.RandomNormal(stddev=size**-0.5)
    # Keras' hints know the initializer's name alone.
    return keras.layers.Embedding(ids, size, initializer, name=name)  # pyright: ignore[reportArgumentType]


def embedded(layer: keras.layers.Embedding, ids: tf.Tensor) -> tf.Tensor:
    """Returns the vectors of ids, of variance 1 at the start: int32 [...] -> [..., size]."""
    # Only these are cast; the layer would cast its whole table at each step of a loop.
    vectors = tf.cast(tf.gather(tf.convert_to_tensor(layer.embeddings), ids), layer.compute_dtype)
    return vectors * layer.output_dim**0.5


def drop_words(ids: tf.Tensor, rate: float, seed: keras.random.SeedGenerator) -> tf.Tensor:
    """Replaces a share of the tokens by the unknown one, but no padding; keeps the shape and dtype of the ids."""
    hidden = keras.random.uniform(tf.shape(ids), seed=seed) < rate
    return tf.where(hidden & (ids != PADDING), tf.cast(UNKNOWN, ids.dtype), ids)
