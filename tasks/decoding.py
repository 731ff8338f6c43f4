"""What the options of a task that writes say to its model, and to the search for texts."""

from typing import Any

from ..common.errors import UserError
from ..models.decoding import Beams
from .training.config import DecoderConfig


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


def writer_options(config: DecoderConfig) -> dict[str, Any]:
    """What all models that write are made with, by name."""
    same = (
        *("cell", "layers", "units", "embedding_size", "residual", "input_feeding", "tie_embeddings"),
        *("dropout", "recurrent_dropout", "word_dropout", "truncate_gradient", "seed"),
    )
    attention = None if config.attention == "none" else config.attention
    return {name: getattr(config, name) for name in same} | {"attention": attention}
