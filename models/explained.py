"""Classifiers that say what each token of a text adds to its label."""

import abc

import keras
import tensorflow as tf

from .blocks.integrated_gradients import integrated_gradients
from .recurrent.tracing import whole_gradients
from .text import PADDING, at_least_one_step

# Points on the path of the integrated gradients.
_POINTS = 17


class ExplainedClassifier(keras.Model, abc.ABC):
    """A model that is called with ids, int32 [batch, time], and returns logits, float32 [batch, classes].

    Attributes:
        classes: Number of classes.
        feature_count: Number of features of a token.
    """

    classes: int
    feature_count: int

    @abc.abstractmethod
    def sides(self, ids: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Returns the logits of the model's parts, [batch, classes] each, from which its own follow; arguments as for
        the model."""

    @abc.abstractmethod
    def combined(self, sides: list[tf.Tensor]) -> tf.Tensor:
        """Returns the logits of the model from those of its parts, [batch, classes] each."""

    @abc.abstractmethod
    def features(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the features of each token of a text, from which `logits_of` follows, and those of an unknown token:
        int32 [1, time] -> float32 [1, time, features], float32 [1, 1, features]."""

    @abc.abstractmethod
    def logits_of(self, features: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the logits of texts by the features of their tokens, float32 [batch, classes].

        Args:
            features: float32 [batch, time, features].
            mask: bool [batch, time], False for padding at the right.
        """

    def explain(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the logits, and how much each token adds to the log odds of the most probable class.

        By integrated gradients of the log odds with respect to the features, from a text of unknown tokens. So the
        contributions of a text sum to its log odds
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
        text, unknown = self.features(ids)
        real = tf.tile(ids != PADDING, [_POINTS, 1])

        def log_odds(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = self.logits_of(path, real)
            label = tf.argmax(logits[-1], output_type=tf.int32)
            others = tf.where(tf.range(self.classes) == label, logits.dtype.min, logits)
            return tf.gather(logits, label, axis=1) - tf.reduce_logsumexp(others, axis=1), logits[-1]

        with whole_gradients():
            contributions, logits = integrated_gradients(log_odds, text[0], unknown[0], _POINTS)
        return logits, tf.where(ids[0] != PADDING, contributions, 0.0)
