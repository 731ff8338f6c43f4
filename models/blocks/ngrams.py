"""Logits from hashed n-grams (NB-SVM: Wang and Manning, 2012, Baselines and bigrams, https://aclanthology.org/P12-2018;
feature hashing: Weinberger et al., 2009, https://arxiv.org/abs/0902.2206)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..text import UNKNOWN

# Pace of the factors, relative to that of other weights. Twice as much or half as much makes no difference.
_PACE = 300.0
# Odd, so that a product keeps all information: 2 ** 64 / the golden ratio, as a signed number.
_MULTIPLIER = -7046029254386353131
_POSITIVE = 2**63 - 1


def ngram_buckets(ids: tf.Tensor, longest: int, buckets: int) -> tf.Tensor:
    """Returns the buckets of the n-grams that begin at each token. That of an n-gram is the same in every process.

    Args:
        ids: int32 [batch, time], zeros for padding at the right.
        longest: Largest n.
        buckets: Number of buckets.

    Returns:
        int64 [batch, longest, time], from n = 1; -1 where fewer than n known tokens follow.
    """
    hashed, known = tf.ones_like(ids, tf.int64), tf.ones_like(ids, tf.bool)
    found = []
    for ahead in range(longest):
        token = _shifted(ids, -ahead)
        hashed = (hashed ^ tf.cast(token, tf.int64)) * _MULTIPLIER
        # The high bits depend on all tokens, the low ones on few.
        hashed ^= tf.bitwise.right_shift(hashed, tf.constant(32, tf.int64))
        known &= token > UNKNOWN
        found.append(tf.where(known, (hashed & _POSITIVE) % buckets, -1))
    return tf.stack(found, axis=1)


def _pairs(found: tf.Tensor, buckets: int) -> tf.Tensor:
    """Returns a number for each pair of row and bucket: [batch, longest, time] -> int64 [batch * longest * time]."""
    rows = tf.range(tf.shape(found, tf.int64)[0])[:, None, None]
    return tf.reshape(rows * (buckets + 1) + found + 1, [-1])


class NGramCounts:
    """Counts the texts of each class that hold an n-gram of each bucket.

    Args:
        classes, longest, buckets: As for `NGrams`.

    Attributes:
        counts: int32 [buckets, classes].
    """

    def __init__(self, classes: int, longest: int, buckets: int) -> None:
        self._buckets = buckets
        self.counts = np.zeros([buckets, classes], np.int32)
        self._different = tf.function(
            lambda ids: tf.unique(_pairs(ngram_buckets(ids, longest, buckets), buckets))[0],
            input_signature=[tf.TensorSpec([None, None], tf.int32)],
            autograph=False,
        )

    def add(self, ids: tf.Tensor, classes: Sequence[int]) -> None:
        """Counts some texts.

        Args:
            ids: int32 [texts, time], zeros for padding at the right.
            classes: The class of each text.
        """
        rows, found = np.divmod(self._different(ids).numpy(), self._buckets + 1)
        is_ngram = found > 0
        np.add.at(self.counts, (found[is_ngram] - 1, np.asarray(classes)[rows[is_ngram]]), 1)


def log_count_ratios(counts: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Returns how much more frequent each bucket is in a class than in the others, as the logarithm of a ratio.

    With two classes of the same size it is log(p + 1) - log(q + 1), where p counts the texts of the class with the
    bucket, and q the others. In general the counts are divided by the numbers of texts.

    Args:
        counts: [buckets, classes], the number of texts of each class with a bucket.
        texts: [classes], the number of texts of each class.

    Returns:
        float32 [buckets, classes]; zero for buckets that do not occur.
    """
    total = texts.sum()
    others = counts.sum(axis=1, keepdims=True, dtype=np.int64) - counts
    ratios = np.log(counts / texts + 2 / total) - np.log(others / np.maximum(total - texts, 1) + 2 / total)
    return ratios.astype(np.float32)


@keras.saving.register_keras_serializable("unroll")
class NGrams(keras.layers.Layer):
    """Adds up, for each class, a weight for each different n-gram of a text, without regard to how often it occurs.

    N-grams with an unknown token have no weight. All arithmetic is float32.

    Args:
        classes: Number of classes.
        longest: Largest n; the n-grams of 1 to `longest` tokens count.
        buckets: Number of buckets; n-grams that hash to the same bucket share their weights.

    Call arguments:
        ids: int32 [batch, time], zeros for padding at the right.

    Returns:
        Logits, float32 [batch, classes]; a text without a known token gets the biases.
    """

    def __init__(self, classes: int, longest: int, buckets: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.classes, self.longest, self.buckets = classes, longest, buckets

    def build(self, ids_shape: tuple) -> None:
        del ids_shape
        shape = (self.buckets, self.classes)
        self.ratios = self.add_weight(name="ratios", shape=shape, initializer="ones", trainable=False)
        self.factors = self.add_weight(name="factors", shape=shape, initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(self.classes,), initializer="zeros")

    def start(self, counts: np.ndarray, texts: np.ndarray) -> None:
        """Sets the ratios to the log-count ratios of a training set; arguments as for `log_count_ratios`."""
        # An adaptive optimiser moves all factors at about the same pace, however rare their n-grams. The square root of
        # the frequency makes the chance pairs of rare n-grams and classes weigh little, as in a test of significance.
        frequencies = counts.sum(axis=1, keepdims=True) / texts.sum()
        self.ratios.assign(_PACE * log_count_ratios(counts, texts) * np.sqrt(frequencies))

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self._by_ngram(ids), axis=[1, 2]) + self.bias

    def by_token(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the logits without the biases, shared out: the part of an n-gram to its tokens, that of an n-gram
        that occurs again to its occurrences.

        Args:
            ids: int32 [batch, time], zeros for padding at the right.

        Returns:
            float32 [batch, time, classes].
        """
        by_ngram = self._by_ngram(ids)
        parts = [
            _shifted(by_ngram[:, size], behind) / (size + 1)
            for size in range(self.longest)
            for behind in range(size + 1)
        ]
        return tf.add_n(parts)

    def _by_ngram(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the n-grams that begin at each token, float32 [batch, longest, time, classes]."""
        found = ngram_buckets(ids, self.longest, self.buckets)
        _, kinds = tf.unique(_pairs(found, self.buckets))
        counts = tf.math.unsorted_segment_sum(tf.ones_like(kinds, tf.float32), kinds, tf.size(kinds))
        shares = tf.where(found < 0, 0.0, tf.reshape(1 / tf.gather(counts, kinds), tf.shape(found)))
        shares *= tf.math.rsqrt(tf.maximum(tf.reduce_sum(shares, axis=[1, 2], keepdims=True), 1))
        ratios, factors = (
            tf.gather(tf.convert_to_tensor(weight), tf.maximum(found, 0))
            for weight in (self.ratios, self.factors)
        )
        return ratios * factors * shares[..., None]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "classes": self.classes,
            "longest": self.longest,
            "buckets": self.buckets,
        }


def _shifted(sequences: tf.Tensor, steps: int) -> tf.Tensor:
    """Moves sequences by some steps, to the left if negative, and fills with zeros: [batch, time, ...] -> the same."""
    if not steps:
        return sequences
    before, after = max(steps, 0), max(-steps, 0)
    padded = tf.pad(sequences, [[0, 0], [before, after], *[[0, 0]] * (sequences.shape.rank - 2)])
    return padded[:, after:] if after else padded[:, :-before]
