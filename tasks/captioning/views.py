"""Further views of an image to train on, with the same captions."""

import zlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ...models.images.decoding import decode_image
from ..datasets.feature_cache import Image

# Smallest height and width of a crop, as a share of the image's: a caption speaks of most of what is to be seen.
_SMALLEST = 0.75


def mirrored(image: Image) -> Image:
    """Returns an image mirrored left to right."""
    return _view(image, "mirrored", tf.image.flip_left_right)


def cropped(image: Image, number: int) -> Image:
    """Returns a random part of an image, which its name and the number decide."""
    name = f"crop {number}"

    def crop(pixels: tf.Tensor) -> tf.Tensor:
        random = np.random.default_rng(zlib.crc32(f"{image.name} {name}".encode()))
        sides = np.array(pixels.shape[:2])
        kept = np.maximum(1, np.round(sides * random.uniform(_SMALLEST, 1, 2))).astype(int)
        top, left = (random.random(2) * (sides - kept + 1)).astype(int)
        return pixels[top : top + kept[0], left : left + kept[1]]

    return _view(image, name, crop)


def _view(image: Image, name: str, change: Callable[[tf.Tensor], tf.Tensor]) -> Image:
    """Returns an image whose pixels, uint8 [height, width, 3], are changed when it is read."""

    def read() -> bytes:
        content = image.read()
        try:
            pixels = decode_image(tf.constant(content))
        except tf.errors.InvalidArgumentError:
            # The encoder refuses it, as it refuses the original image.
            return content
        return tf.io.encode_png(change(pixels), compression=1).numpy()

    return Image(image.name, f"{image.stamp} {name}", read)
