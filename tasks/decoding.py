"""How the options of a task say that texts are searched."""

from unroll.export.errors import UserError
from unroll.models.decoding import Beams
from unroll.tasks.training.config import DecoderConfig


def beams_of(config: DecoderConfig, tokens: int) -> Beams:
    """The beams that a configuration asks for.

    Args:
        config: with the options.
        tokens: size of the vocabulary, which may be smaller than it was allowed to be.

    Raises:
        UserError: if the beam is wider than the vocabulary.
    """
    if config.beam_width > tokens:
        raise UserError(
            f"--beam_width={config.beam_width} is larger than the vocabulary, which has {tokens} tokens; a beam "
            "cannot have more hypotheses than there are tokens."
        )
    return Beams(config.beam_width, config.length_penalty, config.min_decode_length, config.block_ngrams)
