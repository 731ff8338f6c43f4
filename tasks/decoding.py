"""How the options of a task say that texts are searched."""

from unroll.models.decoding import Beams
from unroll.tasks.training.config import DecoderConfig


def beams_of(config: DecoderConfig) -> Beams:
    """The beams that a configuration asks for."""
    return Beams(config.beam_width, config.length_penalty, config.min_decode_length, config.block_ngrams)
