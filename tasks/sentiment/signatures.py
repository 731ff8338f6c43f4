"""The signatures of an exported sentiment model: from a text to its label, and to the part of each word in it."""

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
    """Returns the model with two signatures.

    `serving_default`: text, string [batch] -> label, string [batch]; score, float32 [batch], the probability of that
    label; probabilities, float32 [batch, classes]; labels, string [batch, classes], the names of the classes.

    `explain`: text, string [batch] -> label, score; tokens, string [batch, time]; contributions, float32 [batch, time],
    how much each token adds to the log odds of the label (`SentimentClassifier.explain`). Shorter rows have empty
    tokens and zeros.
    """
    names = tf.constant(labels)

    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(model(encoder.encode_padded(text)))
        return {
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),
            "score": tf.reduce_max(probabilities, axis=1),
            "probabilities": probabilities,
            # A row for each text, since a server that batches requests splits every output by rows.
            "labels": tf.tile(names[None], [tf.shape(text)[0], 1]),
        }

    def explain(text: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, contributions = model.explain(encoder.encode_padded(text))
        return {
            "label": tf.gather(names, tf.argmax(logits, axis=1)),
            "score": tf.reduce_max(tf.nn.softmax(logits), axis=1),
            "tokens": encoder.split_padded(text),
            "contributions": contributions,
        }

    inputs = {"text": tf.TensorSpec([None], tf.string, name="text")}
    requests = [{"text": strings(texts)} for texts in _REQUESTS]
    signatures = {
        "serving_default": Signature(classify, inputs, requests),
        "explain": Signature(explain, inputs, requests),
    }
    return Bundle("sentiment", model, [encoder], signatures)
