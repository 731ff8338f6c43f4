"""The parts of signatures that models which write share: the hypotheses of a beam search as text."""

import tensorflow as tf

from ..models.decoding import Hypotheses
from ..models.text import PADDING, SubwordCodec


def n_best(found: Hypotheses, encoder: SubwordCodec) -> dict[str, tf.Tensor]:
    """Returns `texts`, string [batch, beams], best first, and `scores`, float32 [batch, beams]."""
    return {"texts": encoder.decode(found.ids), "scores": found.scores}


def best(found: Hypotheses, encoder: SubwordCodec) -> dict[str, tf.Tensor]:
    """Returns `text`, string [batch], and `score`, float32 [batch], the log probability of the text and its end,
    normalised by the length penalty."""
    return {"text": encoder.decode(found.ids[:, 0]), "score": found.scores[:, 0]}


def attended(found: Hypotheses, encoder: SubwordCodec) -> dict[str, tf.Tensor]:
    """Returns the best `text`, string [batch]; its `tokens`, string [batch, time], the end last; and their `attention`,
    float32 [batch, time, positions]. Shorter rows have empty tokens and zeros."""
    ids = found.ids[:, 0]
    written = tf.range(tf.shape(ids)[1]) <= found.lengths[:, :1]
    return {
        "text": encoder.decode(ids),
        "tokens": tf.gather(tf.constant(encoder.tokens), tf.where(written, ids, PADDING)),
        "attention": tf.where(written[..., None], found.alignments[:, 0], 0.0),
    }
