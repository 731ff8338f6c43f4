"""Lexical shortlists: for each sentence, the target tokens that it may be translated with (Jean et al., 2015,
https://arxiv.org/abs/1412.2007; L'Hostis et al., 2016, https://arxiv.org/abs/1610.00072).

A step of decoding multiplies with a row of the kernel for each token of the vocabulary; with a shortlist, for some
hundreds.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ..text import END, PADDING, START, UNKNOWN

_SPECIAL = (PADDING, UNKNOWN, START, END)


class Allowed(NamedTuple):
    """The tokens that a batch may be written with.

    Attributes:
        ids: int32 [ids], ascending; the special ones keep their numbers as their positions.
        by_row: bool [batch, ids], which of them each row may be written with.
        smallest: The smallest number of ids.
    """

    ids: tf.Tensor
    by_row: tf.Tensor
    smallest: int


class Shortlist(tf.Module):
    """The likely translations of each source token, and the tokens that any sentence may need.

    Args:
        translations: int32 [source ids, n], target ids for each source id; zeros where there are fewer.
        frequent: Target ids that are always allowed, beside the special ones.
        target_ids: Number of target ids.
    """

    def __init__(self, translations: np.ndarray, frequent: np.ndarray, target_ids: int) -> None:
        super().__init__()
        always = np.union1d(frequent, _SPECIAL)
        # Padding says nothing.
        translations = np.where(np.arange(len(translations))[:, None] == PADDING, PADDING, translations)
        # Outside of any graph, since signatures share them.
        with tf.init_scope():
            self._translations = tf.Variable(translations, trainable=False, dtype=tf.int32)
            self._always = tf.Variable(always, trainable=False, dtype=tf.int32)
        self._target_ids = target_ids
        self._smallest = len(always)

    def __call__(self, source: tf.Tensor) -> Allowed:
        """Returns what sentences may be translated with: int32 [batch, positions], zeros for padding."""
        batch, always = tf.shape(source)[0], tf.convert_to_tensor(self._always)
        likely = tf.reshape(tf.gather(self._translations, source), [batch, -1])
        ids = tf.sort(tf.unique(tf.concat([always, tf.reshape(likely, [-1])], axis=0))[0])
        size = tf.size(ids)
        positions = tf.scatter_nd(ids[:, None], tf.range(size), [self._target_ids])
        in_all = tf.scatter_nd(tf.gather(positions, always)[:, None], tf.ones_like(always), [size])
        rows = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(likely))
        pairs = tf.stack([rows, tf.gather(positions, likely)], axis=2)
        in_row = tf.scatter_nd(pairs, tf.ones_like(likely), [batch, size])
        return Allowed(ids, (in_row + in_all) > 0, self._smallest)
