"""Unicode normalisation, the same in training and in the clients of a model."""

import unicodedata

import regex

# Sorting a run of combining marks takes time that grows with the square of its length. No writing system stacks a
# hundred marks on a letter.
_LONG_RUN = regex.compile(r"(\p{M}{100,})")


def nfc(text: str) -> str:
    """Returns text in Unicode's normal form C, in which an accented letter is one character where Unicode has one.

    Runs of a hundred combining marks or more stay unchanged.
    """
    if text.isascii():
        return text
    # The odd parts are the long runs.
    parts = _LONG_RUN.split(text)
    parts[::2] = [unicodedata.normalize("NFC", part) for part in parts[::2]]
    return "".join(parts)
