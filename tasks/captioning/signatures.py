"""The signatures of an exported captioning model: the whole way from a JPEG to a text."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle, Signature
from ...models.decoding import Beams, Hypotheses
from ...models.text import PADDING, SubwordCodec
from .image_features import ImageFeatures


def bundle(
    model: keras.Model, images: ImageFeatures, encoder: SubwordCodec, beams: Beams, longest: int
) -> Bundle:
    """Three signatures. Their input is image, string [batch], the bytes of JPEG or PNG images. All tell error, string
    [batch], what is wrong with an image, empty where nothing is; an image that cannot be used has an empty caption.

    `serving_default`: caption, string [batch]; score, float32 [batch], the log probability of the caption and its end,
    by the length penalty.

    `n_best`: captions, string [batch, beams], best first; scores, float32 [batch, beams].

    `attend`: caption; tokens, string [batch, time], the end last; attention, float32 [batch, time, rows, columns],
    where the model looked when it wrote each token. Shorter rows have empty tokens and zeros.
    """
    rows, columns = images.grid

    def search(image: tf.Tensor) -> tuple[Hypotheses, tf.Tensor]:
        seen, error = images.of(image)
        return model.caption(seen, beams, longest), error

    def n_best(image: tf.Tensor) -> dict[str, tf.Tensor]:
        found, error = search(image)
        good = (error == "")[:, None]
        return {
            "captions": tf.where(good, encoder.decode(found.ids), ""),
            "scores": tf.where(good, found.scores, 0.0),
            "error": error,
        }

    def caption(image: tf.Tensor) -> dict[str, tf.Tensor]:
        found = n_best(image)
        return {"caption": found["captions"][:, 0], "score": found["scores"][:, 0], "error": found["error"]}

    def attend(image: tf.Tensor) -> dict[str, tf.Tensor]:
        found, error = search(image)
        good = error == ""
        ids, length = found.ids[:, 0], tf.shape(found.ids)[2]
        written = (tf.range(length) <= found.lengths[:, :1]) & good[:, None]
        attention = tf.where(written[..., None], found.alignments[:, 0], 0.0)
        return {
            "caption": tf.where(good, encoder.decode(ids), ""),
            "tokens": tf.gather(tf.constant(encoder.tokens), tf.where(written, ids, PADDING)),
            "attention": tf.reshape(attention, [tf.shape(ids)[0], length, rows, columns]),
            "error": error,
        }

    inputs = {"image": tf.TensorSpec([None], tf.string, name="image")}
    requests = [{"image": np.array(several, object)} for several in _examples(images.image_size)]
    functions = {"serving_default": caption, "n_best": n_best, "attend": attend}
    return Bundle(
        "captioning",
        model,
        [encoder, *([] if images.frozen is None else [images.frozen])],
        {name: Signature(function, inputs, requests) for name, function in functions.items()},
    )


def _examples(image_size: tuple[int, int]) -> Sequence[Sequence[bytes]]:
    """A batch of one image, and one of several kinds, of which some cannot be used."""
    height, width = image_size
    down, across = np.mgrid[0:height, 0:width] * 255 // max(height, width)
    colours = np.stack([down, across, 255 - down], axis=-1).astype(np.uint8)
    jpeg = tf.io.encode_jpeg(colours).numpy()
    grey = tf.io.encode_png(colours[: height // 2, :, :1]).numpy()
    return [jpeg], [grey, b"not an image", jpeg, jpeg[: len(jpeg) // 2]]
