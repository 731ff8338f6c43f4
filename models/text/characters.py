"""Text as the characters or bytes it is made of: nothing is cleaned away, and ids go back to text."""

from typing import Any

import numpy as np
import tensorflow as tf

from .vocabulary import PADDING, UNKNOWN

# What stands between two texts: the id before the first character of a text, and the one after its last. It is the
# padding's, too, which says the same: there is no character here.
BOUNDARY = PADDING
UNITS = ("characters", "bytes")
_RESERVED = 2
# In place of a character that is not known.
_REPLACEMENT = "\ufffd".encode()


class CharacterEncoder(tf.Module):
    """string [batch] -> ids and back, inside the graph, and the same in NumPy for text that is prepared.

    Ids: 0 is the boundary of a text, 1 any character not known, and the known ones follow in the order of their code
    points.

    Args:
        unit: "characters" (Unicode code points, of UTF-8 text) or "bytes".
        symbols: the code points or byte values known, ascending.
    """

    def __init__(self, unit: str, symbols: np.ndarray) -> None:
        super().__init__()
        self.unit = unit
        self.symbols = np.asarray(symbols, np.int32)

    @classmethod
    def of_counts(cls, unit: str, counts: np.ndarray, min_count: int) -> "CharacterEncoder":
        """An encoder that knows all bytes, or the characters that occur often enough.

        Args:
            unit: characters or bytes.
            counts: how often each symbol occurs, by its number.
            min_count: a character must occur this often.
        """
        return cls(unit, np.arange(256) if unit == "bytes" else np.flatnonzero(counts >= min_count))

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.symbols) + _RESERVED

    @property
    def strings(self) -> list[bytes]:
        """What each id stands for, in UTF-8; nothing for the boundary, U+FFFD for the unknown character."""
        if self.unit == "bytes":
            return [b"", _REPLACEMENT, *(bytes([symbol]) for symbol in self.symbols.tolist())]
        return [b"", _REPLACEMENT, *(chr(symbol).encode("utf-8", "replace") for symbol in self.symbols)]

    def ids(self, symbols: np.ndarray) -> np.ndarray:
        """Symbols (code points or byte values), integers of any shape -> int32 ids, outside a graph."""
        places = np.minimum(np.searchsorted(self.symbols, symbols), len(self.symbols) - 1)
        known = self.symbols[places] == symbols
        return np.where(known, places + _RESERVED, UNKNOWN).astype(np.int32)

    def ragged(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> ragged int32 [batch, (time)], without boundaries.

        Bytes that are not UTF-8 are read as U+FFFD where the unit is the character.
        """
        if self.unit == "bytes":
            lengths = tf.strings.length(texts)
            longest = tf.maximum(1, tf.reduce_max(tf.concat([lengths, [0]], axis=0)))
            padded = tf.io.decode_raw(texts, tf.uint8, fixed_length=longest)
            symbols = tf.RaggedTensor.from_tensor(tf.cast(padded, tf.int32), lengths)
        else:
            symbols = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        known = tf.constant(self.symbols)
        places = tf.searchsorted(known, symbols.flat_values)
        places = tf.minimum(places, len(self.symbols) - 1)
        found = tf.equal(tf.gather(known, places), symbols.flat_values)
        return symbols.with_flat_values(tf.where(found, places + _RESERVED, UNKNOWN))

    def text(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 [batch, time] -> string [batch]; boundaries, and padding with them, vanish."""
        return tf.strings.reduce_join(tf.gather(tf.constant(self.strings), ids), axis=1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes the same encoder of; JSON."""
        return {"unit": self.unit, "symbols": self.symbols.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CharacterEncoder":
        return cls(**config)
