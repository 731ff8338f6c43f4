"""The layer of logits over a vocabulary."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("unroll")
class Logits(keras.layers.Layer):
    """Scores of all ids, h W + b, where W is a separate kernel or a transposed table of embeddings (Press and Wolf,
    2017, https://arxiv.org/abs/1608.05859).

    The product has the compute dtype: it is the largest part of the work of a model, and a product of bfloat16 adds up
    in float32 anyway. The logits are float32, and so is all that follows: softmax, loss, search.

    Args:
        ids: Number of ids.
        tied: Whether W is a table of embeddings.

    Call arguments:
        hidden: [..., features].
        table: [ids, features], the embeddings if the logits are tied.

    Returns:
        float32 [..., ids].
    """

    def __init__(self, ids: int, *, tied: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.ids = ids
        self.tied = tied
        self._initializer = None if tied else keras.initializers.GlorotUniform()
        self.kernel = None

    def build(self, hidden_shape: tuple, table_shape: tuple | None = None) -> None:
        if not self.tied:
            shape = (hidden_shape[-1], self.ids)
            self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self._initializer)
        self.bias = self.add_weight(name="bias", shape=(self.ids,), initializer="zeros")

    def function(self, table: Any = None, ids: tf.Tensor | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the call, [rows, features] -> float32 [rows, ids], for a loop: weights are prepared once.

        Args:
            table: As for the call.
            ids: int32 [n], the ids whose logits are wanted; None: all.
        """
        weights = tf.convert_to_tensor(table if self.tied else self.kernel)
        biases = tf.convert_to_tensor(self.bias)
        if ids is not None:
            weights = tf.gather(weights, ids, axis=0 if self.tied else 1)
            biases = tf.gather(biases, ids)
        kernel, bias = (tf.cast(tensor, self.compute_dtype) for tensor in (weights, biases))
        if self.tied:
            # On a CPU a small product with `transpose_b=True` runs at half the speed.
            kernel = tf.transpose(kernel)
        return lambda hidden: tf.cast(tf.nn.bias_add(tf.matmul(hidden, kernel), bias), tf.float32)

    def rows(self, ids: tf.Tensor, table: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the weights of some ids: int32 [n] -> [n, features] in the compute dtype, and biases, float32 [n]."""
        weights = tf.convert_to_tensor(table if self.tied else self.kernel)
        kernel = tf.gather(weights, ids) if self.tied else tf.transpose(tf.gather(weights, ids, axis=1))
        return tf.cast(kernel, self.compute_dtype), tf.gather(tf.convert_to_tensor(self.bias), ids)

    def call(self, hidden: tf.Tensor, table: Any = None) -> tf.Tensor:
        flat = tf.reshape(tf.cast(hidden, self.compute_dtype), [-1, hidden.shape[-1]])
        logits = self.function(table)(flat)
        shape = tf.concat([tf.shape(hidden)[:-1], [self.ids]], axis=0)
        return tf.ensure_shape(tf.reshape(logits, shape), [*hidden.shape[:-1], self.ids])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"ids": self.ids, "tied": self.tied}
