"""Text for language models: words or subwords with the white space before them.

A space is part of the token that follows it, and a line break is a token, so that the tokens of a text are its pieces:

    "The dog's\\nhere."   ->   words        "The", " dog's", "\\n", "here", "."
                         ->   subwords     "The", " do", "g", "'", "s", "\\n", "he", "re", "."
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
import tensorflow as tf

from ..decoding.grammar import Grammar
from .byte_pairs import byte_pairs
from .codec import REPLACEMENT, SPACE, Codec, Tokenizer, most_frequent
from .scripts import JOINERS, UNSPACED
from .subwords import SubwordCodec

# Between tokens while a text is split; it occurs in no text.
_SEPARATOR = "\x1f"
# Characters of the longest word: longer ones are no words.
_LONGEST = 64
# Characters that are encoded at a time.
_CHUNK = 1 << 16


def split_running_text(texts: tf.Tensor, apart: str = "", apostrophes: str = "") -> tf.RaggedTensor:
    """Splits text into words, punctuation marks, digits and white space, with the space before each: string [batch] ->
    string [batch, (tokens)]. Joined, the tokens are the text; bytes that are not UTF-8 become U+FFFD.

    Args:
        texts: string [batch].
        apart: Classes of letters that are words by themselves, with the combining marks after them.
        apostrophes: Characters that belong to a word between letters.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _SEPARATOR, REPLACEMENT)
    word = rf"(?:[^\PL{apart}]|[\pM{JOINERS}])+"
    if apostrophes:
        word = rf"{word}(?:[{apostrophes}]{word})*"
    # Digits one by one: numbers are not words.
    kinds = [rf" ?{word}", r" ?\pN", r" ?[^\pL\pM\pN\s]", r" +", r"(?s:.)"]
    if apart:
        kinds.insert(0, rf" ?[{apart}]\pM*")
    parts = tf.strings.regex_replace(texts, f"({'|'.join(kinds)})", rf"{_SEPARATOR}\1")
    tokens = tf.strings.split(parts, _SEPARATOR)
    # Each part begins with a separator.
    return tf.ragged.boolean_mask(tokens, tokens != "")


def _words(counts: Mapping[str, int], size: int | None, min_count: int) -> list[str]:
    """Returns the most frequent words, without long ones."""
    return most_frequent({w: n for w, n in counts.items() if len(w) <= _LONGEST}, size, min_count)


def _subwords(counts: Mapping[str, int], size: int | None, min_count: int) -> list[str]:
    """Returns the subwords of byte-pair encoding, after characters that are never merged."""
    # The trainer splits at white space, and a mark stands for the space.
    apart = sorted({c for token in counts for c in token if c == SPACE or (c.isspace() and c != " ")})[:size]
    words = {token.replace(" ", SPACE): count for token, count in counts.items() if not {*apart} & {*token}}
    pieces = byte_pairs(words, None if size is None else size - len(apart), min_count)
    return [*apart, *(piece.replace(SPACE, " ") for piece in pieces)]


class RunningTextCodec(SubwordCodec):
    """Words or subwords, from which the text comes back unchanged, but for unknown ones.

    Ids: 0 is the boundary of a text, 1 an unknown token; the vocabulary follows, with the most frequent words first.

    Args:
        tokenizer: "words" or "subwords". The subwords of a word are, from its start on, the longest that fit.
        vocabulary, max_length: As for `Codec`.
    """

    tokenizers: ClassVar[Mapping[str, Tokenizer]] = {
        "words": Tokenizer(partial(split_running_text, apart=UNSPACED, apostrophes="'\u2019"), _words),
        "subwords": Tokenizer(split_running_text, _subwords, pieces=True),
    }
    special = Codec.special
    # Any token may follow any other.
    grammar: Grammar | None = None

    @property
    def names(self) -> list[bytes]:
        """The token of each id."""
        return self.tokens

    @cached_property
    def spelling(self) -> np.ndarray:
        """The code points of each token, int32 [ids, longest], padded with -1."""
        tokens = [token.decode() for token in self.tokens]
        spelling = np.full([len(tokens), max(1, *map(len, tokens))], -1, np.int32)
        for number, token in enumerate(tokens):
            spelling[number, : len(token)] = [*map(ord, token)]
        return spelling

    def encode_pieces(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Encodes a text of any length outside of a graph: pieces of its code points -> pieces of its ids, int32."""
        for text in chunks_of_text(pieces):
            yield self._encode_chunk(tf.constant([text])).numpy()

    @cached_property
    def _encode_chunk(self) -> tf.types.experimental.PolymorphicFunction:
        string = tf.TensorSpec([1], tf.string)
        return tf.function(
            lambda texts: self.encode(texts).flat_values, input_signature=[string], autograph=False
        )

    def _join(self, tokens: tf.Tensor) -> tf.Tensor:
        return tf.strings.reduce_join(tokens, axis=-1)


def chunks_of_text(pieces: Iterable[np.ndarray]) -> Iterator[bytes]:
    """Cuts a text between two tokens into strings that can be split one by one: pieces of code points -> UTF-8."""
    rest = ""
    for piece in pieces:
        rest += piece.astype("<i4").tobytes().decode("utf-32-le", "replace")
        while len(rest) > _CHUNK:
            # A line break is a token, and a space begins one unless another comes before it.
            end = rest.rfind("\n", 1, _CHUNK) + 1 or rest.rfind(" ", 1, _CHUNK)
            while 0 < end < len(rest) and rest[end - 1] == rest[end] == " ":
                end -= 1
            end = end if end > 0 else _CHUNK
            yield rest[:end].encode()
            rest = rest[end:]
    if rest:
        yield rest.encode()
