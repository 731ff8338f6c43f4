"""The signatures of an exported translation model: the whole way from text to text."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle, Signature
from ...models.decoding import Beams
from ...models.text import PADDING, SubwordCodec, pad, with_start_and_end

_TEXTS = (["A man is reading."], ["Two dogs play in the garden.", "", "the old house " * 30])


def bundle(
    model: keras.Model, source_encoder: SubwordCodec, target_encoder: SubwordCodec, beams: Beams, longest: int
) -> Bundle:
    """Four signatures; all inputs are string [batch].

    `serving_default`: text -> text, string [batch]; score, float32 [batch], the log probability of the translation and
    its end, by the length penalty.

    `n_best`: text -> texts, string [batch, beams], best first; scores, float32 [batch, beams].

    `align`: text -> text, string [batch]; source_tokens, string [batch, places]; target_tokens, string [batch, time],
    the end last; alignment, float32 [batch, time, places], where the model looked when it wrote each token. Shorter
    rows have empty tokens and zeros.

    `score`: source, target -> log_probability, float32 [batch], of the target and its end.
    """

    def n_best(text: tf.Tensor) -> dict[str, tf.Tensor]:
        found = model.translate(pad(source_encoder.encode(text)), beams, longest)
        return {"texts": target_encoder.decode(found.ids), "scores": found.scores}

    def translate(text: tf.Tensor) -> dict[str, tf.Tensor]:
        found = n_best(text)
        return {"text": found["texts"][:, 0], "score": found["scores"][:, 0]}

    def align(text: tf.Tensor) -> dict[str, tf.Tensor]:
        source = pad(source_encoder.encode(text))
        found = model.translate(source, beams, longest)
        ids, length = found.ids[:, 0], tf.shape(found.ids)[2]
        written = tf.range(length) <= found.lengths[:, :1]
        return {
            "text": target_encoder.decode(ids),
            "source_tokens": tf.gather(tf.constant(source_encoder.tokens), source),
            "target_tokens": tf.gather(tf.constant(target_encoder.tokens), tf.where(written, ids, PADDING)),
            "alignment": tf.where(written[..., None], found.alignments[:, 0], 0.0),
        }

    def score(source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        targets = with_start_and_end(target_encoder.encode(target))
        outputs = model(pad(source_encoder.encode(source)), targets[:, :-1])
        shape = tf.shape(outputs)
        logits = model.logits(tf.reshape(outputs, [-1, outputs.shape[2]]))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(targets[:, 1:], [-1]), logits)
        losses = tf.where(targets[:, 1:] != PADDING, tf.reshape(losses, shape[:2]), 0.0)
        return {"log_probability": -tf.reduce_sum(losses, axis=1)}

    inputs = {"text": tf.TensorSpec([None], tf.string, name="text")}
    requests = [{"text": _strings(texts)} for texts in _TEXTS]
    both = {name: tf.TensorSpec([None], tf.string, name=name) for name in ("source", "target")}
    scored = [{"source": _strings(texts), "target": _strings(texts[::-1])} for texts in _TEXTS]
    return Bundle(
        "translation",
        model,
        [source_encoder, target_encoder],
        {
            "serving_default": Signature(translate, inputs, requests),
            "n_best": Signature(n_best, inputs, requests),
            "align": Signature(align, inputs, requests),
            "score": Signature(score, both, scored),
        },
    )


def _strings(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], object)
