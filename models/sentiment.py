"""The many-to-one model: a text in, one label out; recurrent layers beside weights of n-grams."""

from typing import Any

import keras
import tensorflow as tf

from .blocks.configured import Configured
from .blocks.embedding import drop_words
from .blocks.integrated_gradients import integrated_gradients
from .blocks.ngrams import NGrams
from .blocks.pooling import POOLINGS
from .blocks.random import ReplicaSeedGenerator
from .blocks.segments import cut, joined
from .options import RecurrentOptions, SentimentOptions
from .recurrent import RecurrentStack
from .recurrent.tracing import whole_gradients
from .text import PADDING, UNKNOWN, at_least_one_step, left_aligned

# Points on the path of the integrated gradients.
_POINTS = 17
# Buckets of n-grams, unless the options say how many.
_BUCKETS = 2**18


@keras.saving.register_keras_serializable("unroll")
class SentimentClassifier(Configured[SentimentOptions], keras.Model):
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
        return self._combined(self.sides(ids, training))

    def sides(self, ids: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Returns the logits of the wide side and of the deep one, those that the model has, [batch, classes] each;
        arguments as for the model."""
        ids = left_aligned(ids)
        found = [self.ngrams(ids)] if self.ngrams else []
        if self.is_deep:
            found += [self.deep_logits(self.embedded(ids, training), ids != PADDING, training)]
        return found

    def _combined(self, sides: list[tf.Tensor]) -> tf.Tensor:
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

    def explain(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the logits, and how much each token adds to the log odds of the most probable class.

        By integrated gradients of the log odds, from a text of unknown tokens: with respect to the embeddings, and to
        the logits of the n-grams, each of which its tokens share. So the contributions of a text sum to its log odds
        less those of as many unknown tokens, and an unknown token adds nothing.

        Args:
            ids: int32 [batch, time], zeros for padding at the right.

        Returns:
            Logits, float32 [batch, classes], and contributions, float32 [batch, time], zero at padding.
        """
        time, batch = tf.shape(ids)[1], tf.shape(ids)[0]

        def explain_row(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits, contributions = self._explain_row(row[: tf.math.count_nonzero(row, dtype=tf.int32)])
            return logits, tf.pad(contributions, [[0, time - tf.shape(contributions)[0]]])

        # Row by row, so that the memory is that of one text. Without a row, the loop would not know its shapes.
        rows = tf.pad(ids, [[0, tf.maximum(0, 1 - batch)], [0, 0]])
        shapes = (tf.TensorSpec([self.classes], tf.float32), tf.TensorSpec([None], tf.float32))
        logits, contributions = tf.map_fn(
            explain_row, rows, fn_output_signature=shapes, parallel_iterations=1
        )
        return logits[:batch], contributions[:batch]

    def _explain_row(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Does the work of `explain` for one text without padding: int32 [time] -> [classes], [max(time, 1)]."""
        ids = at_least_one_step(ids[None])
        # The path goes through the features of each token: its part of the logits of its n-grams, and its embedding.
        text, baseline = [], []
        if self.ngrams:
            text += [self.ngrams.by_token(ids)]
            baseline += [tf.zeros([1, 1, self.classes])]
        if self.is_deep:
            text += [tf.cast(self.embedding(ids), tf.float32)]
            baseline += [tf.cast(self.embedding(tf.constant([[UNKNOWN]])), tf.float32)]
        sizes = [part.shape[2] for part in text]
        real = tf.tile(ids != PADDING, [_POINTS, 1])

        def log_odds(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            parts, sides = tf.split(path, sizes, axis=2), []
            if self.ngrams:
                sides += [tf.reduce_sum(parts[0], axis=1) + self.ngrams.bias]
            if self.is_deep:
                sides += [self.deep_logits(tf.cast(parts[-1], self.compute_dtype), real)]
            logits = self._combined(sides)
            label = tf.argmax(logits[-1], output_type=tf.int32)
            others = tf.where(tf.range(self.classes) == label, logits.dtype.min, logits)
            return tf.gather(logits, label, axis=1) - tf.reduce_logsumexp(others, axis=1), logits[-1]

        with whole_gradients():
            contributions, logits = integrated_gradients(
                log_odds, tf.concat(text, axis=2)[0], tf.concat(baseline, axis=2)[0], _POINTS
            )
        return logits, tf.where(ids[0] != PADDING, contributions, 0.0)
