"""The signature of an exported sentiment model: text in, label and probabilities out."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ...export.bundle import Bundle, Signature, strings
from ...models.text import WordCodec

_REQUESTS = (
    ["A wonderful film, and not a minute too long."],
    ["Dull at first, but I loved the end.", "", "Nobody could call it good. " * 40],
)


def bundle(model: keras.Model, encoder: WordCodec, labels: Sequence[str]) -> Bundle:
    """Returns the model with one signature.

    `serving_default`: text, string [batch] -> label, string [batch]; score, float32 [batch], the probability of that
    label; probabilities, float32 [batch, classes]; labels, string [batch, classes], the names of the classes.
    """

    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(model(encoder.encode_padded(text)))
        names = tf.constant(labels)
        return {
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),
            "score": tf.reduce_max(probabilities, axis=1),
            "probabilities": probabilities,
            # A row for each text, since a server that batches requests splits every output by rows.
            "labels": tf.tile(names[None], [tf.shape(text)[0], 1]),
        }

    requests = [{"text": strings(texts)} for texts in _REQUESTS]
    signature = Signature(classify, {"text": tf.TensorSpec([None], tf.string, name="text")}, requests)
    return Bundle("sentiment", model, [encoder], {"serving_default": signature})
