"""What every text goes through before it is split."""

import tensorflow as tf

# <br />, </p>, <a href="...">: a tag begins with a letter, so that "3 < 4 > 2" is left alone.
_TAG = r"</?[A-Za-z][^<>]{0,200}>"
# Those that `unicode_transcode` leaves: DEL, and the ones beyond ASCII.
_CONTROL = r"\p{Cc}"


def clean(texts: tf.Tensor) -> tf.Tensor:
    """Valid UTF-8 without control characters and markup.

    Bytes that are not UTF-8 and control characters, NUL and line breaks among them, become spaces, as do tags.

    Args:
        texts: string [...].

    Returns:
        string [...].
    """
    texts = tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replacement_char=ord(" "), replace_control_characters=True
    )
    return tf.strings.regex_replace(texts, f"{_TAG}|{_CONTROL}", " ")
