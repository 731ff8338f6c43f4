"""The signatures of an exported sentiment model: from a text to its label, and to the part of each word in it."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle, Signature, strings
from ...models.text import WordCodec

_REQUESTS = (
    ["A wonderful film, and not a minute too long."],
    ["Dull at first, but I loved the end.", "", "Nobody could call it good. " * 40],
)


def bundle(model: keras.Model, encoder: WordCodec, labels: Mapping[str, int]) -> Bundle:
    """Returns the model with two signatures.

    `serving_default`: text, string [batch] -> label, string [batch]; score, float32 [batch], the probability of that
    label; probabilities, float32 [batch, classes]; labels, string [batch, classes], the names of the classes;
    known_tokens, int32 [batch], the number of tokens that the model has read and knows; truncated, bool [batch],
    whether the text was cut.

    `explain`: text, string [batch] -> label, score; tokens, string [batch, time]; contributions, float32 [batch, time],
    how much each token adds to the log odds of the label (`SentimentClassifier.explain`). Shorter rows have empty
    tokens and zeros.

    Without any known token the probabilities are the shares of the labels in the training data.

    Args:
        model: The classifier.
        encoder: The codec of its texts.
        labels: Number of training examples of each label, in the order of the classes.
    """
    names = tf.constant([*labels])
    shares = np.array([*labels.values()], np.float32) / sum(labels.values())

    def decided(ids: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns label, score, probabilities and known_tokens of encoded texts."""
        known = tf.reduce_sum(tf.cast(encoder.legible(ids), tf.int32), axis=1)
        probabilities = tf.where(known[:, None] > 0, tf.nn.softmax(logits), shares)
        return {
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),
            "score": tf.reduce_max(probabilities, axis=1),
            "probabilities": probabilities,
            "known_tokens": known,
        }

    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids, truncated = encoder.encode_cut(text)
        # A row for each text, since a server that batches requests splits every output by rows.
        every = tf.tile(names[None], [tf.shape(text)[0], 1])
        return decided(ids, model(ids)) | {"labels": every, "truncated": truncated}

    def explain(text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = encoder.encode_padded(text)
        logits, contributions = model.explain(ids)
        found = decided(ids, logits)
        return {
            "label": found["label"],
            "score": found["score"],
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
