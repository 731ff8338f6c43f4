"""Cleaning of text before it is split."""

import tensorflow as tf

# <br />, </p>, <a href="...">: a tag begins with a letter, so that "3 < 4 > 2" is left alone.
_TAG = r"</?[A-Za-z][^<>]{0,200}>"


def clean(texts: tf.Tensor) -> tf.Tensor:
    """Returns valid UTF-8 without control characters.

    Bytes that are not UTF-8 and control characters, including NUL and line breaks, become spaces.

    Args:
        texts: string [...].

    Returns:
        string [...].
    """
    texts = tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replacement_char=ord(" "), replace_control_characters=True
    )
    # Those that `unicode_transcode` leaves: DEL, and the ones beyond ASCII.
    return tf.strings.regex_replace(texts, r"\p{Cc}", " ")


def without_markup(texts: tf.Tensor) -> tf.Tensor:
    """Replaces HTML tags by spaces."""
    return tf.strings.regex_replace(texts, _TAG, " ")


def with_single_spaces(texts: tf.Tensor) -> tf.Tensor:
    """Replaces each run of Unicode spaces by one ASCII space, and strips the ends."""
    return tf.strings.strip(tf.strings.regex_replace(texts, r"\pZ+", " "))
