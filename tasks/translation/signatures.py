"""The signatures of an exported translation model, from text to text."""

import keras
import tensorflow as tf

from ...export.bundle import Bundle, Signature, strings
from ...models.blocks.losses import masked_cross_entropy, shifted
from ...models.decoding import Beams, Hypotheses
from ...models.text import PADDING, SubwordCodec, with_start_and_end
from .. import beam_search

_TEXTS = (["A man is reading."], ["Two dogs play in the garden.", "", "the old house " * 30])


def bundle(
    model: keras.Model, source_encoder: SubwordCodec, target_encoder: SubwordCodec, beams: Beams, longest: int
) -> Bundle:
    """Returns the model with four signatures, whose inputs are string [batch].

    `serving_default`: text -> text, string [batch]; score, float32 [batch], the log probability of the translation and
    its end, normalised by the length penalty.

    `n_best`: text -> texts, string [batch, beams], best first; scores, float32 [batch, beams].

    `align`: text -> text, string [batch]; source_tokens, string [batch, positions]; tokens, string [batch, time], the
    end last; attention, float32 [batch, time, positions]. Shorter rows have empty tokens and zeros.

    `score`: source, target -> log_probability, float32 [batch], of the target and its end.
    """

    def search(source: tf.Tensor) -> Hypotheses:
        return model.translate(source, beams, longest)

    def translate(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return beam_search.best(search(source_encoder.encode_padded(text)), target_encoder)

    def n_best(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return beam_search.n_best(search(source_encoder.encode_padded(text)), target_encoder)

    def align(text: tf.Tensor) -> dict[str, tf.Tensor]:
        source = source_encoder.encode_padded(text)
        source_tokens = tf.gather(tf.constant(source_encoder.tokens), source)
        return beam_search.attended(search(source), target_encoder) | {"source_tokens": source_tokens}

    def score(source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, targets = shifted(with_start_and_end(target_encoder.encode(target)))
        logits = model.logits(model(source_encoder.encode_padded(source), inputs))
        losses = masked_cross_entropy(logits, targets, targets != PADDING)
        return {"log_probability": -tf.reduce_sum(losses, axis=1)}

    inputs = {"text": tf.TensorSpec([None], tf.string, name="text")}
    requests = [{"text": strings(texts)} for texts in _TEXTS]
    both = {name: tf.TensorSpec([None], tf.string, name=name) for name in ("source", "target")}
    scored = [{"source": strings(texts), "target": strings(texts[::-1])} for texts in _TEXTS]
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
