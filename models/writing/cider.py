"""CIDEr-D of drawn texts, inside the graph: n-grams that few training texts hold count more."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from ..text import PADDING

# N-grams of up to this many ids are compared; the standard deviation of the penalty for a difference in length, and the
# scale of the score.
_LARGEST, _SIGMA, _SCALE = 4, 6.0, 10.0


class NgramRarities:
    """How rare n-grams are: log(documents) - log(documents that hold it), with at least one for any n-gram.

    An n-gram is the number whose digits are its ids, in the base of the vocabulary's size.

    Args:
        base: Number of ids, at most 55,000, so that four fit an int64.
        keys: int64 [n-grams], ascending.
        counts: Number of documents that hold each.
        documents: Number of all documents.
    """

    def __init__(self, base: int, keys: np.ndarray, counts: np.ndarray, documents: int) -> None:
        if base**_LARGEST > np.iinfo(np.int64).max:
            raise ValueError(f"A vocabulary of {base} ids is too large to number n-grams.")
        self._base = base
        self._most = float(np.log(max(documents, 1)))
        # An end beyond all n-grams, so that a search always finds a neighbour.
        self._keys = tf.constant(np.append(keys, np.iinfo(np.int64).max), tf.int64)
        self._rarities = tf.constant(self._most - np.log(np.append(counts, 1)), tf.float32)

    @classmethod
    def of(cls, documents: Iterable[Sequence[np.ndarray]], base: int) -> Self:
        """Counts the n-grams of documents, each of which consists of texts as ids without padding."""
        nothing = np.zeros(0, np.int64)
        # The n-grams of each document, once each.
        held = [
            np.unique(
                np.concatenate(
                    [nothing, *(_keys_of(ids.astype(np.int64), n, base) for ids in texts for n in _lengths())]
                )
            )
            for texts in documents
        ]
        keys, counts = np.unique(np.concatenate([nothing, *held]), return_counts=True)
        return cls(base, keys, counts, len(held))

    def keys(self, ids: tf.Tensor, n: int) -> tf.Tensor:
        """Returns the n-gram at each position: int32 [..., time] -> int64 [..., time - n + 1]; 0 for no n-gram."""
        keys = _keys_of(tf.cast(ids, tf.int64), n, self._base)
        # Padding comes last.
        return tf.where(ids[..., n - 1 :] != PADDING, keys, 0)

    def __call__(self, keys: tf.Tensor) -> tf.Tensor:
        """Returns the rarity of n-grams: int64 [...] -> float32 [...], 0 for key 0."""
        places = tf.reshape(tf.searchsorted(self._keys, tf.reshape(keys, [-1])), tf.shape(keys))
        known = tf.gather(self._keys, places) == keys
        return tf.where(keys == 0, 0.0, tf.where(known, tf.gather(self._rarities, places), self._most))


def cider_d(hypotheses: tf.Tensor, references: tf.Tensor, rarities: NgramRarities) -> tf.Tensor:
    """Returns CIDEr-D of each text (Vedantam et al., 2015, https://arxiv.org/abs/1411.5726).

    Args:
        hypotheses: int32 [groups, texts, time], zeros for padding.
        references: int32 [groups, references, time], shared by all texts of a group. Empty references are ignored; at
            least one is not empty.
        rarities: Weights of n-grams.

    Returns:
        float32 [groups, texts], 0 to 10.
    """
    lengths, wanted = (
        tf.math.count_nonzero(ids, axis=2, dtype=tf.float32) for ids in (hypotheses, references)
    )
    similarity = tf.zeros([])
    for n in _lengths():
        own, their = rarities.keys(hypotheses, n), rarities.keys(references, n)
        weights, norms = _weighted(own, rarities)
        _, reference_norms = _weighted(their, rarities)
        # How often each n-gram of a text occurs in each reference, [groups, texts, references, positions].
        common = tf.equal(own[:, :, None, :, None], their[:, None, :, None])
        there = tf.math.count_nonzero(common, axis=4, dtype=tf.float32) * rarities(own)[:, :, None]
        products = tf.reduce_sum(tf.minimum(weights[:, :, None], there) * there, axis=3)
        similarity += tf.math.divide_no_nan(products, norms[..., None] * reference_norms[:, None])
    # The length in CIDEr-D is the number of bigrams.
    bigrams, wanted_bigrams = (tf.maximum(length - 1, 0) for length in (lengths, wanted))
    apart = bigrams[..., None] - wanted_bigrams[:, None]
    similarity *= tf.exp(-tf.square(apart) / (2 * _SIGMA**2)) / _LARGEST
    real = tf.cast(wanted > 0, tf.float32)[:, None]
    return _SCALE * tf.reduce_sum(similarity * real, axis=2) / tf.reduce_sum(real, axis=2)


def _weighted(keys: tf.Tensor, rarities: NgramRarities) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns count times rarity of each n-gram where it occurs first, and zero elsewhere, float32 [..., positions];
    and their norm, float32 [...]."""
    same = tf.equal(keys[..., None], keys[..., None, :])
    positions = tf.range(tf.shape(keys)[-1])
    first = ~tf.reduce_any(same & (positions < positions[:, None]), axis=-1)
    counts = tf.math.count_nonzero(same, axis=-1, dtype=tf.float32)
    weights = tf.where(first, counts * rarities(keys), 0.0)
    return weights, tf.norm(weights, axis=-1)


def _lengths() -> range:
    return range(1, _LARGEST + 1)


def _keys_of(ids: Any, n: int, base: int) -> Any:
    """Returns the numbers of all n-grams, [..., time] -> [..., time - n + 1], of a tensor or an array."""
    keys = 0
    for begin in range(n):
        end = None if begin == n - 1 else begin - n + 1
        keys = keys * base + ids[..., begin:end]
    return keys
