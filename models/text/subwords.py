"""Text for decoders: subwords, words or characters that can be joined to text again.

A space is part of the token that follows it, as a mark:

    "The dog's here."   ->   words        ▁The ▁dog ' s ▁here .
                        ->   subwords     ▁The ▁do g ' s ▁he re .
                        ->   characters   ▁ T h e ▁ d o g ' s ▁ h e r e .
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import ClassVar

import tensorflow as tf

from ..blocks.transpose import transpose_discrete
from .byte_pairs import byte_pairs
from .cleaning import clean, with_single_spaces
from .codec import SPACE, Codec, Tokenizer
from .ids import PADDING, UNKNOWN
from .scripts import JOINERS, UNSPACED


def marked_words(texts: tf.Tensor, apart: str = "") -> tf.RaggedTensor:
    """Splits text into words, punctuation marks and digits, with the mark for a space: string [batch] -> string [batch,
    (words)]. Runs of white space count as one space.

    Args:
        texts: string [batch].
        apart: Classes of other characters that are words by themselves, with the combining marks after them.
    """
    texts = with_single_spaces(tf.strings.regex_replace(clean(texts), SPACE, "_"))
    marked = tf.strings.regex_replace(tf.strings.join([" ", texts]), " ", f" {SPACE}")
    # An empty text leaves a mark by itself.
    marked = tf.strings.regex_replace(marked, f"^ {SPACE}$", "")
    # Digits one by one: numbers are not words.
    single = rf"[^\pL\pM\pN{JOINERS} {SPACE}]|\pN" + (rf"|[{apart}]\pM*" if apart else "")
    return tf.strings.split(tf.strings.regex_replace(marked, rf"({SPACE}?(?:{single}))", r" \1 "))


def marked_characters(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits text into characters, with the mark for a space: string [batch] -> string [batch, (characters)]."""
    return tf.strings.unicode_split(marked_words(texts), "UTF-8").merge_dims(1, 2)


class SubwordCodec(Codec):
    """Subwords, words or characters, which decode to the original text except for its white space.

    Ids: 0 is padding, 1 an unknown token, 2 the start and 3 the end of a text; the vocabulary follows. `encode` adds
    neither start nor end: `with_start_and_end` does.

    Args:
        tokenizer: "subwords", "words" or "characters". The subwords of a word are, from its start on, the longest that
            fit.
        vocabulary, max_length: As for `Codec`.
    """

    tokenizers: ClassVar[Mapping[str, Tokenizer]] = {
        "subwords": Tokenizer(marked_words, byte_pairs, pieces=True),
        # Subwords find the words of such a script by themselves.
        "words": Tokenizer(partial(marked_words, apart=UNSPACED)),
        "characters": Tokenizer(marked_characters),
    }
    special = (*Codec.special, "<s>", "</s>")

    def __init__(self, tokenizer: str, vocabulary: Iterable[str], max_length: int | None = None) -> None:
        super().__init__(tokenizer, vocabulary, max_length)
        self._longest = max(map(len, self.vocabulary), default=1)

    def resegment(
        self, ids: tf.RaggedTensor, dropout: float, seed: tf.Tensor, max_length: int
    ) -> tf.RaggedTensor:
        """Splits texts into other pieces that decode to the same texts, by MaxMatch-Dropout (Hiraoka, 2022,
        https://arxiv.org/abs/2209.04126): where the longest piece that fits is looked for, each piece longer than one
        character is passed over with some probability, independently at each place.

        A text stays as it is where it holds an unknown token, or where its new pieces are too many; with a tokenizer
        without pieces all do.

        Args:
            ids: Texts from `encode`, int32 [batch, (time)].
            dropout: Probability to pass over a piece; with 1 the pieces are single characters.
            seed: int64 [2]. The same seed and texts give the same pieces.
            max_length: Maximum number of pieces of a text that is split anew.

        Returns:
            int32 [batch, (time)].
        """
        if not dropout or not self.tokenizers[self.tokenizer].pieces:
            return ids
        words = super()._split(self.decode(ids.to_tensor(PADDING)))
        pieces = self._longest_pieces(words.flat_values, max_length + 1, dropout, seed)
        anew = words.with_flat_values(pieces).merge_dims(1, 2)
        # A character may be known in longer pieces alone.
        unknown = tf.reduce_any(ids == UNKNOWN, axis=1) | tf.reduce_any(anew == UNKNOWN, axis=1)
        rows = tf.range(ids.nrows())
        chosen = tf.where(unknown | (anew.row_lengths() > max_length), rows, rows + ids.nrows())
        return tf.gather(tf.concat([ids, anew], axis=0), chosen)

    def _ids(self, tokens: tf.RaggedTensor, max_length: int | None) -> tf.RaggedTensor:
        if not self.tokenizers[self.tokenizer].pieces:
            return super()._ids(tokens, max_length)
        # Each different word is split once.
        words, indices = tf.unique(tokens.flat_values)
        pieces = tf.gather(self._longest_pieces(words, max_length), indices)
        return tokens.with_flat_values(pieces).merge_dims(1, 2)[:, :max_length]

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        words = super()._split(texts)
        if not self.tokenizers[self.tokenizer].pieces:
            return words
        pieces = self._longest_pieces(words.flat_values, self.max_length)
        # A piece that is unknown is one character.
        sizes = tf.constant([1] * len(self.special) + [len(token) for token in self.vocabulary])
        sizes = tf.ragged.map_flat_values(tf.gather, sizes, pieces).to_tensor(0)
        whole = tf.broadcast_to(words.flat_values[:, None], tf.shape(sizes))
        strings = tf.strings.substr(whole, tf.cumsum(sizes, axis=1, exclusive=True), sizes, unit="UTF8_CHAR")
        return words.with_flat_values(tf.RaggedTensor.from_tensor(strings, padding="")).merge_dims(1, 2)

    def _join(self, tokens: tf.Tensor) -> tf.Tensor:
        return tf.strings.strip(tf.strings.regex_replace(super()._join(tokens), SPACE, " "))

    def _longest_pieces(
        self,
        words: tf.Tensor,
        max_pieces: int | None,
        dropout: float = 0.0,
        seed: tf.Tensor | None = None,
    ) -> tf.RaggedTensor:
        """Splits words from left to right into the longest pieces that fit.

        Args:
            words: string [words].
            max_pieces: Number of pieces after which a word is cut; without a limit, the time for a long word grows with
                the square of its length.
            dropout, seed: As for `resegment`.

        Returns:
            int32 [words, (pieces)].
        """
        lengths = tf.strings.length(words, "UTF8_CHAR")
        sizes = tf.range(self._longest, 0, -1)
        limit = tf.int32.max if max_pieces is None else max_pieces

        def take(number: tf.Tensor, position: tf.Tensor, pieces: tf.TensorArray) -> tuple:
            left = lengths - position
            # Finished words are looked up as well, and the result is dropped.
            begin = tf.broadcast_to(
                tf.minimum(position, lengths - 1)[:, None], [tf.shape(words)[0], self._longest]
            )
            prefixes = tf.strings.substr(
                tf.broadcast_to(words[:, None], tf.shape(begin)),
                begin,
                tf.broadcast_to(sizes, tf.shape(begin)),
                unit="UTF8_CHAR",
            )
            ids = self._table.lookup(prefixes)
            if dropout:
                draws = tf.random.stateless_uniform(
                    tf.shape(ids), tf.random.fold_in(seed, number), alg="philox"
                )
                # A size beyond the end of the word gives the rest of the word once more.
                passed = (sizes > 1) & ((sizes > left[:, None]) | (draws < dropout))
                ids = tf.where(passed, UNKNOWN, ids)
            first = tf.argmax(ids != UNKNOWN, axis=1, output_type=tf.int32)
            found = tf.gather(ids, first, batch_dims=1)
            size = tf.where(found == UNKNOWN, 1, tf.minimum(tf.gather(sizes, first), left))
            pieces = pieces.write(number, tf.where(left > 0, found, PADDING))
            return number + 1, position + tf.maximum(size, 0), pieces

        _, _, pieces = tf.while_loop(
            # At least once, since an empty array cannot be stacked.
            lambda number, position, pieces: (
                (number < 1) | (number < limit) & tf.reduce_any(position < lengths)
            ),
            take,
            (0, tf.zeros_like(lengths), tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=[None])),
        )
        stacked = transpose_discrete(tf.ensure_shape(pieces.stack(), [None, None]))
        return tf.RaggedTensor.from_tensor(stacked, padding=PADDING)
