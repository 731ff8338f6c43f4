"""Grammars that say which id may follow, such as that of UTF-8."""

from typing import NamedTuple

import numpy as np

_IMPOSSIBLE = -np.inf


class Grammar(NamedTuple):
    """The ids that may follow in a text. A text begins in state 0, and may end only there, between two characters.

    Attributes:
        penalties: float32 [states, ids], 0 for ids that may follow in a state, and minus infinity for others.
        following: int32 [states, ids], the state after an id.
        lengths: int32 [ids], number of ids of the character that begins with an id.
    """

    penalties: np.ndarray
    following: np.ndarray
    lengths: np.ndarray


# Bytes that may begin or continue a character (RFC 3629, section 4): the state, the first and last byte, the state
# that follows. In the states 1 to 3 as many bytes are missing; in the others the second byte has a smaller range.
_UTF8 = (
    (0, 0x00, 0x7F, 0),
    (0, 0xC2, 0xDF, 1),
    (0, 0xE0, 0xE0, 4),
    (0, 0xE1, 0xEC, 2),
    (0, 0xED, 0xED, 5),
    (0, 0xEE, 0xEF, 2),
    (0, 0xF0, 0xF0, 6),
    (0, 0xF1, 0xF3, 3),
    (0, 0xF4, 0xF4, 7),
    (1, 0x80, 0xBF, 0),
    (2, 0x80, 0xBF, 1),
    (3, 0x80, 0xBF, 2),
    (4, 0xA0, 0xBF, 1),
    (5, 0x80, 0x9F, 1),
    (6, 0x90, 0xBF, 2),
    (7, 0x80, 0x8F, 2),
)
_STATES = 8


def utf8(special: int) -> Grammar:
    """Returns the grammar of UTF-8.

    Args:
        special: Number of special ids before those of the 256 bytes; the first ends a text, the others never follow.
    """
    ids = special + 256
    penalties = np.full([_STATES, ids], _IMPOSSIBLE, np.float32)
    following = np.zeros([_STATES, ids], np.int32)
    penalties[0, 0] = 0.0
    for state, first, last, next_state in _UTF8:
        allowed = slice(special + first, special + last + 1)
        penalties[state, allowed] = 0.0
        following[state, allowed] = next_state
    lengths = np.ones(ids, np.int32)
    for length, first in ((2, 0xC2), (3, 0xE0), (4, 0xF0)):
        lengths[special + first :] = length
    return Grammar(penalties, following, lengths)
