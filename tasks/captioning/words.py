"""Words of captions, for training and for the metrics."""

import regex

from ...common.normalization import nfc
from ...models.text.scripts import JOINERS, UNSPACED

# Letters, digits and marks, of which a letter of an unspaced script is a word by itself.
_PART = rf"[\w\p{{N}}\p{{M}}{JOINERS}]"
_LETTER = rf"(?:(?!\p{{M}})[{UNSPACED}])"
_RUN = rf"(?:(?!{_LETTER}){_PART})+"
# Splits words as the Penn Treebank does: clitics by themselves; hyphens and dots between letters belong to their word.
_CLITICS = r"n't\b|'(?:s|re|ve|ll|d|m)\b"
_WORD = regex.compile(rf"(?={_PART}){_LETTER}\p{{M}}*|{_RUN}(?=n't\b)|{_CLITICS}|{_RUN}(?:[-.]{_RUN})*")
_CLITIC = regex.compile(rf" (?={_CLITICS})")


def words(caption: str) -> list[str]:
    """Splits a caption for comparison: lower case, without punctuation."""
    return _WORD.findall(_lowered(caption))


def normalized(caption: str) -> str:
    """Returns a caption in lower case and without punctuation; no space separates a clitic, or the letters of a script
    without spaces."""
    pieces: list[str] = []
    end = 0
    for word in _WORD.finditer(_lowered(caption)):
        if word.start() > end and pieces:
            pieces.append(" ")
        pieces.append(word[0])
        end = word.end()
    return _CLITIC.sub("", "".join(pieces))


def _lowered(caption: str) -> str:
    return nfc(caption).lower().replace("\u2019", "'")
