"""Text as pieces from which it can be put together again: subwords, words or characters.

A space is part of the piece that follows it, as a mark:

    "The dog's here."   ->   words        ▁The ▁dog ' s ▁here .
                        ->   subwords     ▁The ▁do g ' s ▁he re .
                        ->   characters   ▁ T h e ▁ d o g ' s ▁ h e r e .
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from .vocabulary import PADDING, UNKNOWN

START = 2
END = 3
_RESERVED = 4
SPACE = "\u2581"
# In place of a piece that is not known.
_REPLACEMENT = "\ufffd"
# The longest subword, in characters: longer ones are names and numbers, and each step would have to try them.
_LONGEST = 16

TOKENIZERS = ("subwords", "words", "characters")


def marked_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """string [batch] -> ragged string [batch, (words)]: words and single punctuation marks, with the mark for a space.

    Bytes that are not UTF-8, control characters and runs of white space become single spaces.
    """
    texts = tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replacement_char=ord(" "), replace_control_characters=True
    )
    texts = tf.strings.regex_replace(texts, SPACE, "_")
    texts = tf.strings.strip(tf.strings.regex_replace(texts, r"[\pZ\p{Cc}]+", " "))
    marked = tf.strings.regex_replace(tf.strings.join([" ", texts]), " ", f" {SPACE}")
    # Digits one by one: numbers are not words.
    apart = tf.strings.regex_replace(marked, rf"({SPACE}?(?:[^\pL\pM\pN {SPACE}]|\pN))", r" \1 ")
    words = tf.strings.split(apart)
    # A mark stands by itself where there is no text.
    return tf.ragged.boolean_mask(words, words != SPACE)


def between_edges(ids: tf.RaggedTensor) -> tf.Tensor:
    """int32 [batch, (pieces)] -> [batch, time], each row between start and end, zero-padded."""
    edge = tf.ones([ids.nrows(), 1], tf.int32)
    return tf.concat([START * edge, ids, END * edge], axis=1).to_tensor(PADDING)


class PieceEncoder(tf.Module):
    """string [batch] -> ids and back, inside the graph, with TensorFlow's core ops alone.

    Ids: 0 is padding, 1 what is not known, 2 the start and 3 the end of a text, and the pieces follow.

    Args:
        tokenizer: subwords, words or characters. A word that is not a piece itself is split, from its start on, into
            the longest pieces that fit, but for the tokenizer "words".
        pieces: the pieces known, each once.
        max_length: longer texts are cut after so many pieces.
    """

    def __init__(self, tokenizer: str, pieces: Iterable[str], max_length: int) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.pieces = tuple(pieces)
        self.max_length = max_length
        self._longest = max(map(len, self.pieces), default=1)
        with tf.init_scope():
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    # A table needs an entry, also with no piece known; the empty string is never a piece.
                    tf.constant(["", *self.pieces]),
                    tf.range(_RESERVED - 1, len(self), dtype=tf.int32),
                    key_dtype=tf.string,
                    value_dtype=tf.int32,
                ),
                default_value=UNKNOWN,
            )

    @classmethod
    def learn(
        cls,
        batches: Iterable[Sequence[bytes]],
        tokenizer: str,
        max_size: int,
        max_length: int,
        min_count: int = 1,
    ) -> "PieceEncoder":
        """An encoder with the most useful pieces of some texts.

        Subwords are learnt by byte-pair encoding (Sennrich et al., 2016, https://arxiv.org/abs/1508.07909).

        Args:
            batches: of UTF-8 texts.
            tokenizer, max_length: as for the class.
            max_size: number of ids at most.
            min_count: a piece must occur this often.
        """
        counts: Counter[str] = Counter()
        split = tf.function(
            lambda texts: tf.unique_with_counts(marked_words(texts).flat_values),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )
        for batch in batches:
            words, _, numbers = split(tf.constant(batch))
            counts.update(dict(zip(map(bytes.decode, words.numpy()), numbers.numpy().tolist(), strict=True)))
        size = max(0, max_size - _RESERVED)
        if tokenizer == "subwords":
            return cls(tokenizer, _byte_pairs(counts, size, min_count), max_length)
        if tokenizer == "characters":
            counts = _of_characters(counts)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(tokenizer, [piece for piece, count in ranked[:size] if count >= min_count], max_length)

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.pieces) + _RESERVED

    @property
    def tokens(self) -> list[str]:
        """What each id is, to be looked at."""
        return ["", _REPLACEMENT, "<s>", "</s>", *self.pieces]

    def ragged(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> ragged int32 [batch, (pieces)], without start and end."""
        words = marked_words(texts)
        # Each different word is split once.
        different, places = tf.unique(words.flat_values)
        if self.tokenizer == "words":
            return words.with_flat_values(tf.gather(self._table.lookup(different), places))[
                :, : self.max_length
            ]
        pieces = tf.gather(self._split(different), places)
        return words.with_flat_values(pieces).merge_dims(1, 2)[:, : self.max_length]

    def text(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 [..., time] -> string [...]; padding, start and end vanish."""
        strings = tf.constant(["", _REPLACEMENT, "", "", *self.pieces])
        joined = tf.strings.reduce_join(tf.gather(strings, ids), axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(joined, SPACE, " "))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes the same encoder of; JSON."""
        return {"tokenizer": self.tokenizer, "pieces": list(self.pieces), "max_length": self.max_length}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PieceEncoder":
        return cls(**config)

    def _split(self, words: tf.Tensor) -> tf.RaggedTensor:
        """string [words] -> ragged int32 [words, (pieces)], the longest piece that fits, again and again."""
        lengths = tf.strings.length(words, "UTF8_CHAR")
        sizes = tf.range(self._longest, 0, -1)

        def take(number: tf.Tensor, position: tf.Tensor, pieces: tf.TensorArray) -> tuple:
            left = lengths - position
            # A word that is done is looked at once more, and what is found there is dropped.
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
            first = tf.argmax(ids != UNKNOWN, axis=1, output_type=tf.int32)
            found = tf.gather(ids, first, batch_dims=1)
            size = tf.where(found == UNKNOWN, 1, tf.minimum(tf.gather(sizes, first), left))
            pieces = pieces.write(number, tf.where(left > 0, found, PADDING))
            return number + 1, position + tf.maximum(size, 0), pieces

        _, _, pieces = tf.while_loop(
            # At least once, or there is nothing to stack.
            lambda number, position, pieces: (number < 1) | tf.reduce_any(position < lengths),
            take,
            (0, tf.zeros_like(lengths), tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=[None])),
        )
        stacked = tf.transpose(tf.ensure_shape(pieces.stack(), [None, None]))
        return tf.RaggedTensor.from_tensor(stacked, padding=PADDING)


def _of_characters(words: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts


def _byte_pairs(words: Counter[str], size: int, min_count: int) -> list[str]:
    """All characters, and the merges of byte-pair encoding in their order."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    characters = [c for c, count in _of_characters(words).items() if count >= min_count]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=max(2, min_count),
        initial_alphabet=sorted(characters),
        limit_alphabet=len(characters),
        max_token_length=_LONGEST,
        show_progress=False,
    )

    def repeated() -> Iterator[str]:
        for word, count in sorted(words.items()):
            # Lines of bounded length, however frequent a word is.
            for first in range(0, count, 1000):
                yield " ".join([word] * min(1000, count - first))

    tokenizer.train_from_iterator(repeated(), trainer)
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)
