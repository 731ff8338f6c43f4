"""From the options of a search to the search for texts."""

from ..models.decoding import Beams
from ..models.options import SearchOptions


def beams_of(config: SearchOptions, tokens: int) -> Beams:
    """Returns the beams that a configuration asks for.

    Args:
        config: Options of the search.
        tokens: Size of the vocabulary, which may be smaller than it was allowed to be.

    Raises:
        UserError: If the beam is wider than the vocabulary.
    """
    config.check_vocabulary(tokens, f"the vocabulary, which has {tokens} tokens")
    return Beams(config.beam_width, config.length_penalty, config.min_decode_length, config.block_ngrams)
