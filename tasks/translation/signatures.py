"""The signatures of an exported translation model, from text to text."""

from collections.abc import Callable

import keras
import tensorflow as tf

from ...export.bundle import Bundle, Signature, strings
from ...models.blocks.losses import masked_cross_entropy, shifted
from ...models.decoding import Beams, Hypotheses
from ...models.recurrent.tracing import traced_once
from ...models.text import PADDING, SubwordCodec, with_start_and_end
from ...models.writing.copying import attended_tokens
from ...models.writing.shortlist import Shortlist
from .. import beam_search

_TEXTS = (["A man is reading."], ["Two dogs play in the garden.", "", "the old house " * 30])


def bundle(
    model: keras.Model,
    source_encoder: SubwordCodec,
    target_encoder: SubwordCodec,
    beams: Beams,
    longest: int,
    copy_unknown: bool = False,
    shortlist: Shortlist | None = None,
) -> Bundle:
    """Returns the model with four signatures, whose inputs are string [batch].

    Those that translate have the output truncated, bool [batch]: whether the text was cut, or the translation ended by
    its length limit. A text without any known token gets the translation "".

    `serving_default`: text -> text, string [batch]; score, float32 [batch], the log probability of the translation and
    its end, normalised by the length penalty.

    `n_best`: text -> texts, string [batch, beams], best first; scores, float32 [batch, beams].

    `align`: text -> text, string [batch]; source_tokens, string [batch, positions]; tokens, string [batch, time], the
    end last; attention, float32 [batch, time, positions]. Shorter rows have empty tokens and zeros.

    `score`: source, target -> log_probability, float32 [batch], of the target and its end.

    With a `shortlist` a translation has its tokens alone. With `copy_unknown` the token of the source that an unknown
    token attended to most stands in its place.
    """

    @traced_once
    def search(text: tf.Tensor) -> tuple[tf.Tensor, Hypotheses, tf.Tensor | None]:
        """Returns the ids of the texts, the translations found, `truncated` where a text was cut, too, and what stands
        where a token is unknown."""
        source, cut = source_encoder.encode_cut(text)
        # Without anything to read the model would invent a sentence.
        legible = tf.reduce_any(source_encoder.legible(source), axis=1)
        found = model.translate(source, beams, tf.where(legible, longest, 0), copy_unknown, shortlist)
        truncated = found.truncated & legible[:, None] | cut[:, None]
        copies = attended_tokens(found, source_encoder.split_padded(text)) if copy_unknown else None
        return source, found._replace(truncated=truncated), copies

    def signature(view: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
        """Returns a function from texts to a view of their translations."""

        def function(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return view(*search(text))

        return function

    def best(source: tf.Tensor, found: Hypotheses, copies: tf.Tensor | None) -> dict[str, tf.Tensor]:
        del source
        return beam_search.best(found, target_encoder, copies)

    def n_best(source: tf.Tensor, found: Hypotheses, copies: tf.Tensor | None) -> dict[str, tf.Tensor]:
        del source
        return beam_search.n_best(found, target_encoder, copies)

    def align(source: tf.Tensor, found: Hypotheses, copies: tf.Tensor | None) -> dict[str, tf.Tensor]:
        source_tokens = tf.gather(tf.constant(source_encoder.tokens), source)
        return beam_search.attended(found, target_encoder, copies) | {"source_tokens": source_tokens}

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
        [source_encoder, target_encoder, *([shortlist] if shortlist else [])],
        {
            "serving_default": Signature(signature(best), inputs, requests),
            "n_best": Signature(signature(n_best), inputs, requests),
            "align": Signature(signature(align), inputs, requests),
            "score": Signature(score, both, scored),
        },
    )
