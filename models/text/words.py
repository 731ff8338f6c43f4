"""Text for classifiers: without case, markup and layout."""

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from .cleaning import clean, with_single_spaces, without_markup
from .codec import Codec, Tokenizer
from .scripts import JOINERS, UNSPACED

_APOSTROPHE = "\u2019"


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits text into lower-cased words; every punctuation mark is a token, and so is every letter of a script
    without spaces, such as Chinese, Japanese and Thai.

        "It isn't bad -- <br />REALLY!"  ->  it isn't bad - - really !

    An apostrophe between letters belongs to its word, and combining marks belong to their letter.
    """
    texts = tf.strings.lower(without_markup(clean(texts)), encoding="utf-8")
    texts = tf.strings.regex_replace(texts, _APOSTROPHE, "'")
    # RE2 has no look-around: inner apostrophes are renamed while the others are set apart.
    # Twice, because matches do not overlap: rock'n'roll.
    for _ in range(2):
        texts = tf.strings.regex_replace(texts, r"([\pL\pM])'(\pL)", rf"\1{_APOSTROPHE}\2")
    texts = tf.strings.regex_replace(
        texts, rf"([^\pL\pN\pM{JOINERS}\s{_APOSTROPHE}]|[{UNSPACED}]\pM*)", r" \1 "
    )
    texts = tf.strings.regex_replace(texts, _APOSTROPHE, "'")
    # `tf.strings.split` knows ASCII spaces only.
    return tf.strings.split(with_single_spaces(texts))


def split_characters(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits text into Unicode code points, with case and spaces, but without markup."""
    return tf.strings.unicode_split(without_markup(clean(texts)), "UTF-8")


class WordCodec(Codec):
    """Words or characters of cleaned text. Ids decode to the words, not to the original text.

    Args:
        tokenizer: "words" or "characters".
        vocabulary, max_length: As for `Codec`.
    """

    tokenizers: ClassVar[Mapping[str, Tokenizer]] = {
        "words": Tokenizer(split_words),
        "characters": Tokenizer(split_characters),
    }

    @classmethod
    def _counted(cls, texts: tf.Tensor, tokenizer: str, max_length: int | None) -> tf.RaggedTensor:
        # A token that is always cut off would never be read.
        return super()._counted(texts, tokenizer, max_length)[:, :max_length]

    def _join(self, tokens: tf.Tensor) -> tf.Tensor:
        separator = " " if self.tokenizer == "words" else ""
        return tf.strings.strip(tf.strings.reduce_join(tokens, axis=-1, separator=separator))
