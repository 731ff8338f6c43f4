"""Attention: at each step, a decoder reads a weighted mean of the positions of its memory."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ..blocks.masked_softmax import masked_softmax


class Memory(NamedTuple):
    """The positions that a decoder attends to, prepared once for all queries.

    Attributes:
        keys: The vectors that queries are compared with, [batch, positions, features].
        contributions: The vectors whose weighted mean is the result, [batch, positions, size].
        mask: bool [batch, positions], True for real positions.
    """

    keys: tf.Tensor
    contributions: tf.Tensor
    mask: tf.Tensor


def apply_dense(layer: keras.layers.Dense, sequences: tf.Tensor) -> tf.Tensor:
    """Applies a dense layer to [batch, time, features] as one matrix product.

    Keras' own product of three dimensions is slower, and XLA cannot compile its gradient in a loop.
    """
    flat = layer(tf.reshape(sequences, [-1, sequences.shape[-1]]))
    return tf.reshape(flat, [*tf.unstack(tf.shape(sequences)[:2]), layer.units])


class Attention(keras.layers.Layer):
    """Base class: the weights are the softmax of scores between queries and keys.

    A subclass defines `scores`, and with weights also `keys` and `build`; one with several heads, for example, defines
    `remember` and `call` instead. `ATTENTIONS` lists the subclasses.

    Args:
        units: Features of a query.

    Call arguments:
        queries: [batch, queries, units].
        memory: Result of `remember`.

    Returns:
        The weighted means of the contributions, [batch, queries, size], and the weights, [batch, queries, positions];
        both are zero where the memory is empty.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units

    def build(self, queries_shape: Any, memory_shape: Memory) -> None:
        """Makes the weights that `remember` has not made: none, by default."""

    def keys(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the keys of the values: [batch, positions, features] -> [batch, positions, any]."""
        return values

    def scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Returns the score of each query with each key, [batch, queries, positions]."""
        raise NotImplementedError

    def remember(self, values: tf.Tensor, mask: tf.Tensor, kernel: tf.Tensor | None = None) -> Memory:
        """Prepares a memory.

        Args:
            values: [batch, positions, features].
            mask: bool [batch, positions].
            kernel: [features, size], a matrix to multiply the results with. A result is a weighted mean, so the values
                are multiplied instead, once for all queries. None: the results are means of the values.
        """
        contributions = values
        if kernel is not None:
            flat = tf.matmul(tf.reshape(values, [-1, values.shape[2]]), kernel)
            contributions = tf.reshape(flat, [*tf.unstack(tf.shape(values)[:2]), kernel.shape[1]])
        return Memory(self.keys(values), contributions, mask)

    def call(self, queries: tf.Tensor, memory: Memory) -> tuple[tf.Tensor, tf.Tensor]:
        weights = masked_softmax(self.scores(queries, memory.keys), memory.mask[:, None])
        return tf.matmul(weights, memory.contributions), weights

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable("unroll")
class DotAttention(Attention):
    """score = q . k (Luong et al., 2015, https://arxiv.org/abs/1508.04025); queries and values have the same size."""

    def scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return tf.matmul(queries, keys, transpose_b=True)


@keras.saving.register_keras_serializable("unroll")
class ScaledAttention(DotAttention):
    """score = q . k / sqrt(features) (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762)."""

    def scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return super().scores(queries, keys) * self.units**-0.5


@keras.saving.register_keras_serializable("unroll")
class GeneralAttention(DotAttention):
    """score = q . W k (Luong et al., 2015, https://arxiv.org/abs/1508.04025)."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.key = keras.layers.Dense(units, use_bias=False, name="key")

    def build(self, queries_shape: Any, memory_shape: Memory) -> None:
        # `remember` has built it already, unless a model is built only to load its weights.
        if not self.key.built:
            self.key.build(memory_shape.keys)

    def keys(self, values: tf.Tensor) -> tf.Tensor:
        return self.key(values)


@keras.saving.register_keras_serializable("unroll")
class AdditiveAttention(GeneralAttention):
    """score = v . tanh(U q + b + W k) (Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473)."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.query = keras.layers.Dense(units, name="query")

    def build(self, queries_shape: Any, memory_shape: Memory) -> None:
        super().build(queries_shape, memory_shape)
        self.query.build((None, None, self.units))
        self.energy = self.add_weight(name="energy", shape=(self.units,), initializer="glorot_uniform")

    def scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        hidden = tf.tanh(apply_dense(self.query, queries)[:, :, None] + keys[:, None])
        return tf.reduce_sum(hidden * tf.cast(tf.convert_to_tensor(self.energy), hidden.dtype), axis=-1)


# The class of each `DecoderOptions.attention` but "none".
ATTENTIONS: dict[str, type[Attention]] = {
    "dot": DotAttention,
    "scaled": ScaledAttention,
    "general": GeneralAttention,
    "additive": AdditiveAttention,
}
