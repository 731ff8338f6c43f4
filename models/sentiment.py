"""The many-to-one model: a sequence of words in, one label out."""

from typing import Any

import keras
import tensorflow as tf

from .blocks.pooling import POOLINGS
from .blocks.random import ReplicaSeedGenerator
from .recurrent import RecurrentStack
from .text import PADDING, UNKNOWN


@keras.saving.register_keras_serializable("unroll")
class SentimentClassifier(keras.Model):
    """Embedding, stacked recurrent layers, pooling over time, and a softmax layer.

    Args:
        vocabulary_size: number of ids, padding and the unknown word among them.
        classes: number of classes.
        cell: lstm, gru or simple_rnn.
        layers: number of recurrent layers.
        units: of each direction of a layer.
        embedding_size: of a word's vector.
        bidirectional: read the text from both ends.
        pooling: last, mean, max or attention.
        word_dropout: share of the words replaced by the unknown word in training.
        dropout: share dropped of the features of the embedding, of each layer's input, the same at all steps of a
            text, and of the pooled vector.
        recurrent_dropout: share of h dropped on its way through the recurrent kernel.
        truncate_gradient: steps that the gradient reaches back, or None for all.
        seed: of dropout.

    Call arguments:
        ids: int32 [batch, time], zeros for padding, of any pattern.
        training: whether to drop.

    Returns:
        logits, float32 [batch, classes].
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        *,
        cell: str = "lstm",
        layers: int = 1,
        units: int = 128,
        embedding_size: int = 128,
        bidirectional: bool = True,
        pooling: str = "max",
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        truncate_gradient: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = {
            "vocabulary_size": vocabulary_size,
            "classes": classes,
            "cell": cell,
            "layers": layers,
            "units": units,
            "embedding_size": embedding_size,
            "bidirectional": bidirectional,
            "pooling": pooling,
            "word_dropout": word_dropout,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "truncate_gradient": truncate_gradient,
            "seed": seed,
        }
        self.word_dropout = word_dropout
        self.dropout = dropout
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.embedding = keras.layers.Embedding(vocabulary_size, embedding_size, name="embedding")
        self.recurrent = RecurrentStack(
            cell,
            layers,
            units,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            truncate_gradient=truncate_gradient,
            seed=seed,
            name="recurrent",
        )
        self.pooling = POOLINGS[pooling](name="pooling")
        self.logits = keras.layers.Dense(classes, dtype="float32", name="logits")

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        mask = tf.not_equal(ids, PADDING)
        if training and self.word_dropout:
            kept = keras.random.uniform(tf.shape(ids), seed=self.seed_generator) >= self.word_dropout
            ids = tf.where(kept, ids, UNKNOWN)
        sequences, _ = self.recurrent(self.embedding(ids), mask=mask, training=training)
        pooled = self.pooling(sequences, mask=mask)
        if training and self.dropout:
            pooled = keras.random.dropout(pooled, self.dropout, seed=self.seed_generator)
        return self.logits(pooled)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.config
