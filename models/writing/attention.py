"""Attention: where a decoder looks."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ..blocks.masked_softmax import masked_softmax


class Memory(NamedTuple):
    """What is looked at.

    Attributes:
        values: [batch, places, features].
        mask: bool [batch, places], True where there is something.
        keys: what queries are compared with, [batch, places, features].
    """

    values: tf.Tensor
    mask: tf.Tensor
    keys: tf.Tensor


def at_each_step(layer: keras.layers.Dense, sequences: tf.Tensor) -> tf.Tensor:
    """A dense layer over [batch, time, features] as a plain matrix product; the way Keras takes for three dimensions
    is slower, and its gradient in a loop cannot be compiled by XLA."""
    flat = layer(tf.reshape(sequences, [-1, sequences.shape[-1]]))
    return tf.reshape(flat, [*tf.unstack(tf.shape(sequences)[:2]), layer.units])


ATTENTIONS = ("dot", "scaled", "general", "additive")


@keras.saving.register_keras_serializable("unroll")
class Attention(keras.layers.Layer):
    """Compares queries with the keys of a memory, and returns the mean of its values weighted by the softmax.

    With q a query and k a key, the score is

        dot        q . k                      scaled      q . k / sqrt(features)
        general    q . W k                    additive    v . tanh(U q + W k)

    dot and general after Luong et al. (2015, https://arxiv.org/abs/1508.04025), scaled after Vaswani et al. (2017,
    https://arxiv.org/abs/1706.03762), additive after Bahdanau et al. (2015, https://arxiv.org/abs/1409.0473).

    Args:
        kind: dot, scaled, general or additive. For dot and scaled, queries and values must be of the same size.
        units: features of a query.

    Call arguments:
        queries: [batch, queries, units].
        memory: of `remember`.

    Returns:
        The weighted means, [batch, queries, features], and the weights, [batch, queries, places]; where a memory is
        empty, both are zero.
    """

    def __init__(self, kind: str, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in ATTENTIONS:
            raise ValueError(f"kind is {kind!r}; choose one of {', '.join(ATTENTIONS)}.")
        self.supports_masking = True
        self.kind = kind
        self.units = units
        self.key = self.query = None
        if kind in ("general", "additive"):
            self.key = keras.layers.Dense(units, use_bias=False, name="key")
        if kind == "additive":
            self.query = keras.layers.Dense(units, name="query")

    def build(self, queries_shape: Any, memory_shape: Memory) -> None:
        # A memory was remembered already, unless the weights are made for a file of them.
        if self.key is not None and not self.key.built:
            self.key.build(memory_shape[0])
        if self.kind == "additive":
            self.query.build((None, None, self.units))
            self.energy = self.add_weight(name="energy", shape=(self.units,), initializer="glorot_uniform")

    def remember(self, values: tf.Tensor, mask: tf.Tensor) -> Memory:
        """A memory, whose keys are computed once for all queries.

        Args:
            values: [batch, places, features].
            mask: bool [batch, places].
        """
        return Memory(values, mask, values if self.key is None else self.key(values))

    def call(self, queries: tf.Tensor, memory: Memory) -> tuple[tf.Tensor, tf.Tensor]:
        if self.kind == "additive":
            hidden = tf.tanh(at_each_step(self.query, queries)[:, :, None] + memory.keys[:, None])
            scores = tf.reduce_sum(hidden * tf.cast(tf.convert_to_tensor(self.energy), hidden.dtype), axis=-1)
        else:
            scores = tf.matmul(queries, memory.keys, transpose_b=True)
            if self.kind == "scaled":
                scores *= self.units**-0.5
        weights = masked_softmax(scores, memory.mask[:, None])
        return tf.matmul(weights, memory.values), weights

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"kind": self.kind, "units": self.units}
