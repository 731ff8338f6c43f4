"""The many-to-one model: a sequence of words in, one label out."""

from typing import Any

import keras
import tensorflow as tf

from .blocks.configured import Configured
from .blocks.embedding import drop_words
from .blocks.integrated_gradients import integrated_gradients
from .blocks.pooling import POOLINGS
from .blocks.random import ReplicaSeedGenerator
from .options import RecurrentOptions, SentimentOptions
from .recurrent import RecurrentStack
from .recurrent.tracing import whole_gradients
from .text import PADDING, UNKNOWN, at_least_one_step

# Points on the path of the integrated gradients.
_POINTS = 17


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

    def build(self, ids_shape: tuple | None = None) -> None:
        """Makes all weights; no size depends on the shape."""
        self.embedding.build()
        self.recurrent.build((None, None, self.options.embedding_size))
        features = self.options.units * (2 if self.options.bidirectional else 1)
        self.pooling.build((None, None, features))
        self.logits.build((None, features))

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        mask = tf.not_equal(ids, PADDING)
        if training and self.options.word_dropout:
            ids = drop_words(ids, self.options.word_dropout, self.seed_generator)
        return self._classified(self.embedding(ids), mask, training)

    def explain(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the logits, and how much each token adds to the log odds of the most probable class.

        By integrated gradients of the log odds with respect to the embeddings, from a text of unknown tokens. So the
        contributions of a text sum to its log odds less those of as many unknown tokens, and an unknown token adds
        nothing.

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
        shapes = (tf.TensorSpec([self.logits.units], tf.float32), tf.TensorSpec([None], tf.float32))
        logits, contributions = tf.map_fn(
            explain_row, rows, fn_output_signature=shapes, parallel_iterations=1
        )
        return logits[:batch], contributions[:batch]

    def _explain_row(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Does the work of `explain` for one text without padding: int32 [time] -> [classes], [max(time, 1)]."""
        ids = at_least_one_step(ids[None])[0]
        real = ids != PADDING

        def log_odds(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = self._classified(tf.cast(path, self.compute_dtype), tf.tile(real[None], [_POINTS, 1]))
            label = tf.argmax(logits[-1], output_type=tf.int32)
            others = tf.where(tf.range(self.logits.units) == label, logits.dtype.min, logits)
            return tf.gather(logits, label, axis=1) - tf.reduce_logsumexp(others, axis=1), logits[-1]

        with whole_gradients():
            unknown = self.embedding(tf.constant([UNKNOWN]))
            contributions, logits = integrated_gradients(log_odds, self.embedding(ids), unknown, _POINTS)
        return logits, tf.where(real, contributions, 0.0)

    def _classified(self, embedded: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        sequences, _ = self.recurrent(embedded, mask=mask, training=training)
        pooled = self.pooling(sequences, mask=mask)
        if training and self.options.dropout:
            pooled = keras.random.dropout(pooled, self.options.dropout, seed=self.seed_generator)
        return self.logits(pooled)
