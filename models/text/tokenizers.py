"""Text into tokens. A tokenizer is a function: string [batch] -> ragged string [batch, (tokens)].

A new one is a function here and a line in `TOKENIZERS`.
"""

from collections.abc import Callable

import tensorflow as tf

from .cleaning import clean

Tokenizer = Callable[[tf.Tensor], tf.RaggedTensor]

_APOSTROPHE = "\u2019"


def words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Lower-cased words, and every punctuation mark and ideograph by itself.

        "It isn't bad -- <br />REALLY!"  ->  it isn't bad - - really !

    An apostrophe between letters belongs to its word.
    """
    texts = tf.strings.lower(clean(texts), encoding="utf-8")
    texts = tf.strings.regex_replace(texts, _APOSTROPHE, "'")
    # RE2 has no look-around: inner apostrophes wait under another name while the others are set apart.
    # Twice, because matches do not overlap: rock'n'roll.
    for _ in range(2):
        texts = tf.strings.regex_replace(texts, r"([\pL\pM])'(\pL)", rf"\1{_APOSTROPHE}\2")
    texts = tf.strings.regex_replace(
        texts, rf"([^\pL\pN\pM\s{_APOSTROPHE}]|[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}])", r" \1 "
    )
    texts = tf.strings.regex_replace(texts, _APOSTROPHE, "'")
    # Only ASCII space splits below.
    return tf.strings.split(tf.strings.regex_replace(texts, r"\pZ+", " "))


def characters(texts: tf.Tensor) -> tf.RaggedTensor:
    """Unicode code points, case and spaces kept."""
    return tf.strings.unicode_split(clean(texts), "UTF-8")


TOKENIZERS: dict[str, Tokenizer] = {"words": words, "characters": characters}
