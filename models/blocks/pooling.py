"""Pools a sequence of vectors into one vector: [batch, time, features] -> [batch, features].

Each pooling is a Keras layer called with `mask`, bool [batch, time]. A row without a real step gives zeros.
"""

from typing import Any

import keras
import tensorflow as tf

from .masked_softmax import masked_softmax


class _Pooling(keras.layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        """Returns None: the output has no time axis to mask."""

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape[0], shape[-1]


@keras.saving.register_keras_serializable("unroll")
class LastPooling(_Pooling):
    """The vector at the last real step."""

    def call(self, sequences: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        positions = tf.range(1, tf.shape(mask)[1] + 1)
        last = tf.reduce_max(tf.where(mask, positions, 0), axis=1)
        vectors = tf.gather(sequences, tf.maximum(last - 1, 0), axis=1, batch_dims=1)
        return tf.where(last[:, None] > 0, vectors, tf.zeros_like(vectors))


@keras.saving.register_keras_serializable("unroll")
class MeanPooling(_Pooling):
    """The mean over the real steps."""

    def call(self, sequences: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(mask, sequences.dtype)[..., None]
        total = tf.reduce_sum(sequences * weights, axis=1)
        return total / tf.maximum(tf.reduce_sum(weights, axis=1), 1)


@keras.saving.register_keras_serializable("unroll")
class MaxPooling(_Pooling):
    """The largest value of each feature over the real steps."""

    def call(self, sequences: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        largest = tf.reduce_max(tf.where(mask[..., None], sequences, sequences.dtype.min), axis=1)
        return tf.where(tf.reduce_any(mask, axis=1, keepdims=True), largest, tf.zeros_like(largest))


@keras.saving.register_keras_serializable("unroll")
class AttentionPooling(_Pooling):
    """The mean over the real steps weighted by softmax(v . tanh(W x_t + b)) (Yang et al., 2016, Hierarchical attention
    networks)."""

    def build(self, shape: tuple) -> None:
        self.hidden = keras.layers.Dense(shape[-1], activation="tanh", dtype=self.dtype_policy, name="hidden")
        self.hidden.build(shape)
        self.query = self.add_weight(name="query", shape=(shape[-1], 1), initializer="glorot_uniform")

    def call(self, sequences: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        scores = tf.matmul(self.hidden(sequences), tf.convert_to_tensor(self.query))
        weights = masked_softmax(scores[..., 0], mask)
        return tf.reduce_sum(weights[..., None] * sequences, axis=1)


POOLINGS: dict[str, type[keras.layers.Layer]] = {
    "last": LastPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}
