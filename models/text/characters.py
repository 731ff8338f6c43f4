"""Text for language models: every character or byte, unchanged."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import ClassVar

import numpy as np
import tensorflow as tf

from ..decoding.grammar import Grammar, utf8
from .codec import Codec, Tokenizer, most_frequent
from .ids import PADDING, UNKNOWN

# The id before the first character of a text and after its last. Padding may share the id: neither is a character.
BOUNDARY = PADDING


def _by_code_point(counts: Mapping[str, int], size: int | None, min_count: int) -> list[str]:
    """Returns the most frequent characters, in the order of their code points."""
    return sorted(most_frequent(counts, size, min_count))


def _all_bytes(counts: Mapping[str, int], size: int | None, min_count: int) -> list[str]:
    """Returns all 256 bytes as characters of Latin-1."""
    return [chr(byte) for byte in range(256)]


class CharacterCodec(Codec):
    """Characters or bytes, from which the text comes back unchanged.

    Ids: 0 is the boundary of a text, 1 an unknown character; the vocabulary follows in ascending order.

    Args:
        tokenizer: "characters" (Unicode code points; bytes that are not UTF-8 are read as U+FFFD) or "bytes".
        vocabulary: Known characters in ascending order. A byte is represented by the character with its number.
        max_length: As for `Codec`.
    """

    tokenizers: ClassVar[Mapping[str, Tokenizer]] = {
        "characters": Tokenizer(
            partial(tf.strings.unicode_split, input_encoding="UTF-8", errors="replace"), _by_code_point
        ),
        "bytes": Tokenizer(tf.strings.bytes_split, _all_bytes, charset="latin-1"),
    }

    def __init__(self, tokenizer: str, vocabulary: Iterable[str], max_length: int | None = None) -> None:
        super().__init__(tokenizer, vocabulary, max_length)
        self.symbols = np.array([ord(character) for character in self.vocabulary], np.int32)

    @property
    def grammar(self) -> Grammar | None:
        """The rules by which bytes make characters; None for a codec of characters."""
        return utf8(len(self.special)) if self.tokenizer == "bytes" else None

    # Each token is one unit of a stop string.
    spelling = None

    @property
    def names(self) -> list[bytes]:
        """The token of each id in UTF-8, with an escape for a byte that is not a character."""
        return [token.decode("utf-8", "backslashreplace").encode() for token in self.tokens]

    def encode_pieces(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Encodes a text of any length outside of a graph: pieces of its code points or bytes -> pieces of its ids."""
        return map(self.encode_symbols, pieces)

    def encode_symbols(self, symbols: np.ndarray) -> np.ndarray:
        """Does the work of `encode` outside of a graph, for pieces of a text of any length.

        Args:
            symbols: Code points or byte values, integers of any shape.

        Returns:
            Ids, int32 of the same shape.
        """
        indices = np.minimum(np.searchsorted(self.symbols, symbols), len(self.symbols) - 1)
        known = self.symbols[indices] == symbols
        return np.where(known, indices + len(self.special), UNKNOWN).astype(np.int32)
