"""The many-to-one model: a text in, one label out; recurrent layers beside weights of n-grams."""

from typing import Any

import keras
import tensorflow as tf

from .blocks.configured import Configured
from .blocks.embedding import drop_words
from .blocks.ngrams import NGrams
from .blocks.pooling import POOLINGS
from .blocks.random import ReplicaSeedGenerator
from .blocks.segments import cut, joined
from .explained import ExplainedClassifier
from .options import RecurrentOptions, SentimentOptions
from .recurrent import RecurrentStack
from .text import PADDING, UNKNOWN, left_aligned

# Buckets of n-grams, unless the options say how many.
_BUCKETS = 2**18


@keras.saving.register_keras_serializable("unroll")
class SentimentClassifier(Configured[SentimentOptions], ExplainedClassifier):
    """The weighted sum of the logits of a wide side and of a deep one.

    Wide: a weight for each n-gram and class. Deep: embedding, stacked recurrent layers, pooling over time, and a dense
    layer. `factors`, [sides], hold the weight of each side, 1 / temperature, and are fitted to held-out texts.

    Args:
        vocabulary_size: Number of ids, including padding and the unknown token.
        classes: Number of classes.
        options: Options of the model. `cell` "none" leaves the deep side out, `ngrams` 0 the wide one. `dropout` acts
            on the features that each layer reads, the same at all steps of a segment, and on the pooled vector;
            `word_dropout` replaces tokens with the unknown token for the deep side.
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
        self.ngrams = None
        if options.ngrams:
            self.ngrams = NGrams(classes, options.ngrams, options.ngram_buckets or _BUCKETS, name="ngrams")
        self.classes = classes
        self.is_deep = options.cell != "none"
        self.feature_count = classes * bool(options.ngrams) + options.embedding_size * self.is_deep
        sides = bool(options.ngrams) + self.is_deep
        equal = keras.initializers.Constant(1 / sides)
        self.factors = self.add_weight(
            name="factors",
            shape=(sides,),
            initializer=equal,
            trainable=False,
            dtype="float32",
            autocast=False,
        )
        if self.is_deep:
            self.embedding = keras.layers.Embedding(vocabulary_size, options.embedding_size, name="embedding")
            self.recurrent = RecurrentStack(
                RecurrentOptions.of(options), bidirectional=options.bidirectional, seed=seed, name="recurrent"
            )
            self.pooling = POOLINGS[options.pooling](name="pooling")
            self.logits = keras.layers.Dense(classes, dtype="float32", name="logits")

    def build(self, ids_shape: tuple | None = None) -> None:
        """Makes all weights; no size depends on the shape."""
        if self.ngrams:
            self.ngrams.build((None, None))
        if not self.is_deep:
            return
        self.embedding.build()
        self.recurrent.build((None, None, self.options.embedding_size))
        features = self.options.units * (2 if self.options.bidirectional else 1)
        self.pooling.build((None, None, features))
        self.logits.build((None, features))

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.combined(self.sides(ids, training))

    def sides(self, ids: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Returns the logits of the wide side and of the deep one, those that the model has, [batch, classes] each;
        arguments as for the model."""
        ids = left_aligned(ids)
        found = [self.ngrams(ids)] if self.ngrams else []
        if self.is_deep:
            found += [self.deep_logits(self.embedded(ids, training), ids != PADDING, training)]
        return found

    def combined(self, sides: list[tf.Tensor]) -> tf.Tensor:
        """Returns the logits of the model from those of its sides, [batch, classes] each."""
        return tf.add_n(
            [factor * logits for factor, logits in zip(tf.unstack(self.factors), sides, strict=True)]
        )

    def embedded(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the embeddings of ids that the deep side reads: int32 [batch, time] -> [batch, time, features]."""
        if training and self.options.word_dropout:
            ids = drop_words(ids, self.options.word_dropout, self.seed_generator)
        return self.embedding(ids)

    def deep_logits(self, embedded: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the logits of the deep side, float32 [batch, classes].

        Args:
            embedded: Result of `embedded`.
            mask: bool [batch, time], False for padding at the right.
            training: Whether to apply dropout.
        """
        rows, real = embedded, mask
        if self.options.segment:
            rows, real = cut(embedded, mask, self.options.segment)
        sequences, _ = self.recurrent(rows, mask=real, training=training)
        if self.options.segment:
            sequences = joined(sequences, mask)
        pooled = self.pooling(sequences, mask=mask)
        if training and self.options.dropout:
            pooled = keras.random.dropout(pooled, self.options.dropout, seed=self.seed_generator)
        return self.logits(pooled)

    def features(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the part of each token in the logits of its n-grams, which share them evenly, and its embedding; and
        those of an unknown token."""
        text, unknown = [], []
        if self.ngrams:
            text += [self.ngrams.by_token(ids)]
            unknown += [tf.zeros([1, 1, self.classes])]
        if self.is_deep:
            text += [tf.cast(self.embedding(ids), tf.float32)]
            unknown += [tf.cast(self.embedding(tf.constant([[UNKNOWN]])), tf.float32)]
        return tf.concat(text, axis=2), tf.concat(unknown, axis=2)

    def logits_of(self, features: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        sides, wide = [], self.classes if self.ngrams else 0
        if self.ngrams:
            sides += [tf.reduce_sum(features[:, :, :wide], axis=1) + self.ngrams.bias]
        if self.is_deep:
            sides += [self.deep_logits(tf.cast(features[:, :, wide:], self.compute_dtype), mask)]
        return self.combined(sides)
