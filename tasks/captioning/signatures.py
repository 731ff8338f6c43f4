"""The signatures of an exported captioning model, from the bytes of an image to text."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle, Signature, strings
from ...models.decoding import Beams, Hypotheses
from ...models.recurrent.tracing import traced_once
from ...models.text import SubwordCodec
from .. import beam_search
from .image_features import ImageFeatures


def bundle(
    model: keras.Model, images: ImageFeatures, encoder: SubwordCodec, beams: Beams, longest: int
) -> Bundle:
    """Returns the model with three signatures.

    The input of each is image, string [batch], the bytes of JPEG or PNG images. Each has the output
    error, string [batch], empty for usable images; the other outputs of an unusable image are empty or zero.

    `serving_default`: text, string [batch], the caption; score, float32 [batch], the log probability of the caption and
    its end, normalised by the length penalty.

    `n_best`: texts, string [batch, beams], best first; scores, float32 [batch, beams].

    `attend`: text; tokens, string [batch, time], the end last; attention, float32 [batch, time, rows, columns]. Shorter
    rows have empty tokens and zeros.
    """

    @traced_once
    def search(image: tf.Tensor) -> tuple[Hypotheses, tf.Tensor]:
        """Returns the captions of images, and their errors."""
        features, error = images.of(image)
        return model.caption(features, beams, longest), error

    def signature(view: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
        """Returns a function from images to a view of their captions."""

        def function(image: tf.Tensor) -> dict[str, tf.Tensor]:
            found, error = search(image)
            return _only_where(error == "", view(found, encoder)) | {"error": error}

        return function

    def attended(*arguments: Any) -> dict[str, tf.Tensor]:
        outputs = beam_search.attended(*arguments)
        shape = tf.concat([tf.shape(outputs["tokens"]), images.grid], axis=0)
        return outputs | {"attention": tf.reshape(outputs["attention"], shape)}

    inputs = {"image": tf.TensorSpec([None], tf.string, name="image")}
    requests = [{"image": strings(several)} for several in _examples(images.image_size)]
    views = {"serving_default": beam_search.best, "n_best": beam_search.n_best, "attend": attended}
    return Bundle(
        "captioning",
        model,
        [encoder, *([] if images.frozen is None else [images.frozen])],
        {name: Signature(signature(view), inputs, requests) for name, view in views.items()},
    )


def _only_where(good: tf.Tensor, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the outputs with the other rows empty or zero. `good`: bool [batch]."""
    return {
        name: tf.where(tf.reshape(good, [-1] + [1] * (value.shape.rank - 1)), value, tf.zeros_like(value))
        for name, value in outputs.items()
    }


def _examples(image_size: tuple[int, int]) -> Sequence[Sequence[bytes]]:
    """Returns a batch of one image, and one of several kinds, some of them unusable."""
    height, width = image_size
    down, across = np.mgrid[0:height, 0:width] * 255 // max(height, width)
    colours = np.stack([down, across, 255 - down], axis=-1).astype(np.uint8)
    jpeg = tf.io.encode_jpeg(colours).numpy()
    grey = tf.io.encode_png(colours[: height // 2, :, :1]).numpy()
    # A JPEG cut short would make TensorFlow log an error wherever the requests run.
    return [jpeg], [grey, b"not an image", jpeg, grey[: len(grey) // 2]]
