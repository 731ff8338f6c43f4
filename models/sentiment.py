"""The many-to-one model: a sequence of words in, one label out."""

from typing import Any

import keras
import tensorflow as tf

from .blocks.configured import Configured
from .blocks.embedding import drop_words
from .blocks.pooling import POOLINGS
from .blocks.random import ReplicaSeedGenerator
from .options import RecurrentOptions, SentimentOptions
from .recurrent import RecurrentStack
from .text import PADDING


@keras.saving.register_keras_serializable("unroll")
class SentimentClassifier(Configured[SentimentOptions], keras.Model):
    """Embedding, stacked recurrent layers, pooling over time, and a softmax layer.

    Args:
        vocabulary_size: Number of ids, including padding and the unknown token.
        classes: Number of classes.
        options: Options of the model. `dropout` acts on the features that each layer reads, the same at all steps of a
            text, and on the pooled vector; `word_dropout` replaces tokens with the unknown token.
        seed: Seed of dropout.

    Call arguments:
        ids: int32 [batch, time], zeros for padding, in any pattern.
        training: Whether to apply dropout.

    Returns:
        Logits, float32 [batch, classes].
    """

    options_class = SentimentOptions

    def __init__(
        self, vocabulary_size: int, classes: int, options: SentimentOptions, *, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.arguments = {"vocabulary_size": vocabulary_size, "classes": classes, "seed": seed}
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.embedding = keras.layers.Embedding(vocabulary_size, options.embedding_size, name="embedding")
        self.recurrent = RecurrentStack(
            RecurrentOptions.of(options), bidirectional=options.bidirectional, seed=seed, name="recurrent"
        )
        self.pooling = POOLINGS[options.pooling](name="pooling")
        self.logits = keras.layers.Dense(classes, dtype="float32", name="logits")

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        mask = tf.not_equal(ids, PADDING)
        if training and self.options.word_dropout:
            ids = drop_words(ids, self.options.word_dropout, self.seed_generator)
        sequences, _ = self.recurrent(self.embedding(ids), mask=mask, training=training)
        pooled = self.pooling(sequences, mask=mask)
        if training and self.options.dropout:
            pooled = keras.random.dropout(pooled, self.options.dropout, seed=self.seed_generator)
        return self.logits(pooled)
