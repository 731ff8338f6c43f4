"""The beam search of translation and captioning: from options to beams, from hypotheses to outputs of signatures."""

from collections.abc import Sequence

import tensorflow as tf

from ..models.decoding import Beams, Hypotheses
from ..models.text import PADDING, UNKNOWN, SubwordCodec
from ..models.text_options import SearchOptions


def beams_of(config: SearchOptions, tokens: int) -> Beams:
    """Returns the beams that a configuration asks for.

    Args:
        config: Options of the search.
        tokens: Size of the vocabulary, which may be smaller than it was allowed to be.

    Raises:
        UserError: If the beam is wider than the vocabulary.
    """
    config.check_vocabulary(tokens, f"the vocabulary, which has {tokens} tokens")
    return Beams(
        config.beam_width,
        config.length_penalty,
        config.min_decode_length,
        config.block_ngrams,
        config.coverage_penalty,
    )


def warning_of_same(texts: Sequence[str], references: Sequence[object], noun: str) -> str:
    """Returns a sentence about a model that writes the same text for all inputs; "" for any other.

    Args:
        texts: The text for each input.
        references: The reference of each input.
        noun: Noun for a text.
    """
    if len(set(texts)) != 1 or len(set(references)) < 2:
        return ""
    return (
        f"The model writes the same {noun} for all {len(texts):,} inputs: it has not learnt to use them. Train it in "
        "more steps (more --epochs, less --batch_tokens) or with another --learning_rate."
    )


# Each of the following takes the hypotheses, the codec, and what stands where a token is unknown, string [batch, beams,
# time], or None.


def n_best(
    found: Hypotheses, encoder: SubwordCodec, unknown: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """Returns `texts`, string [batch, beams], best first; `scores`, float32 [batch, beams]; and `truncated`."""
    texts = encoder.decode(found.ids, unknown)
    return {"texts": texts, "scores": found.scores, "truncated": found.truncated[:, 0]}


def best(found: Hypotheses, encoder: SubwordCodec, unknown: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
    """Returns `text`, string [batch]; `score`, float32 [batch], the log probability of the text and its end, normalised
    by the length penalty; and `truncated`, bool [batch], whether the maximum length ended the text."""
    return {
        "text": encoder.decode(found.ids[:, 0], None if unknown is None else unknown[:, 0]),
        "score": found.scores[:, 0],
        "truncated": found.truncated[:, 0],
    }


def attended(
    found: Hypotheses, encoder: SubwordCodec, unknown: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """Returns the best `text`, string [batch]; its `tokens`, string [batch, time], the end last; their `attention`,
    float32 [batch, time, positions]; and `truncated`. Shorter rows have empty tokens and zeros."""
    ids = found.ids[:, 0]
    written = tf.range(tf.shape(ids)[1]) <= found.lengths[:, :1]
    tokens = tf.gather(tf.constant(encoder.tokens), tf.where(written, ids, PADDING))
    if unknown is not None:
        tokens = tf.where(ids == UNKNOWN, unknown[:, 0], tokens)
    return {
        "text": best(found, encoder, unknown)["text"],
        "tokens": tokens,
        "attention": tf.where(written[..., None], found.alignments[:, 0], 0.0),
        "truncated": found.truncated[:, 0],
    }
