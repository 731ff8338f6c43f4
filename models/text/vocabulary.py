"""The tokens a model knows, and their ids."""

from collections import Counter
from collections.abc import Iterable

import tensorflow as tf

PADDING = 0
UNKNOWN = 1
_RESERVED = 2


class Vocabulary:
    """Tokens and their ids: 0 is padding, 1 any token not known, and the tokens follow.

    Args:
        tokens: the tokens in the order of their ids, each once.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(tokens)
        self._table: tf.lookup.StaticHashTable | None = None

    @classmethod
    def learn(cls, counts: Counter[str], max_size: int, min_count: int = 1) -> "Vocabulary":
        """The most frequent tokens, those of equal frequency in alphabetical order.

        Args:
            counts: how often each token occurs.
            max_size: number of ids at most, padding and the unknown token counted.
            min_count: a token must occur this often.
        """
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(token for token, count in ranked[: max(0, max_size - _RESERVED)] if count >= min_count)

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.tokens) + _RESERVED

    @property
    def table(self) -> tf.lookup.StaticHashTable:
        """The table from tokens to ids; who exports a graph that uses it must hold it as an attribute."""
        if self._table is None:
            with tf.init_scope():
                initializer = tf.lookup.KeyValueTensorInitializer(
                    # A table needs an entry, also with no token known; the empty string is never a token.
                    tf.constant(["", *self.tokens]),
                    tf.range(UNKNOWN, len(self), dtype=tf.int32),
                    key_dtype=tf.string,
                    value_dtype=tf.int32,
                )
                self._table = tf.lookup.StaticHashTable(initializer, default_value=UNKNOWN)
        return self._table

    def ids(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """string [batch, (tokens)] -> int32 [batch, (tokens)]."""
        return tokens.with_flat_values(self.table.lookup(tokens.flat_values))
