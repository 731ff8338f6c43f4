"""Counts characters and words in ids, so that models with different tokens can be compared."""

import numpy as np

from .characters import CharacterCodec
from .ids import UNKNOWN
from .running_text import RunningTextCodec


class TextCounter:
    """Counts the characters and the words of a text that is given as ids.

    A word is what stands between white space, whatever the tokens are. An unknown token counts as one character; in a
    vocabulary of words also as a word.

    Args:
        codec: Codec of the ids.
    """

    def __init__(self, codec: CharacterCodec | RunningTextCodec) -> None:
        texts = [token.decode("utf-8", "replace") for token in codec.tokens]
        self._characters = np.array(
            [min(len(text), 1) if codec.spelling is None else len(text) for text in texts]
        )
        # Words that begin within a token; whether a token begins with a letter, and ends with a space or a boundary.
        self._within = np.array([len(text.split()) - bool(text and not text[0].isspace()) for text in texts])
        self._begins = np.array([bool(text) and not text[0].isspace() for text in texts])
        self._ends = np.array([not text or text[-1].isspace() for text in texts])
        if codec.tokenizer == "words":
            self._within[UNKNOWN], self._begins[UNKNOWN] = 1, False

    def characters(self, ids: np.ndarray) -> int:
        """Returns the number of characters, or of bytes where bytes are the tokens, in ids of any shape."""
        return int(self._characters[ids].sum())

    def words(self, ids: np.ndarray) -> int:
        """Returns the number of words that begin in windows [..., time + 1], after the first id of each."""
        before, after = ids[..., :-1], ids[..., 1:]
        return int((self._within[after] + (self._begins[after] & self._ends[before])).sum())
