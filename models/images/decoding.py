"""Decodes JPEG and PNG images to pixels inside the graph, with TensorFlow's core ops alone."""

from collections.abc import Callable, Sequence
from functools import cache

import tensorflow as tf

from .headers import jpeg_orientation, png_is_transparent, png_orientation, upright

# Larger images are refused before decoding: a few bytes can encode more pixels than fit in memory.
MOST_PIXELS = 40_000_000

_NO_IMAGE = "It is neither a JPEG nor a PNG image."
_DAMAGED = "The image is damaged or not complete."
_TOO_LARGE = f"The image has more than {MOST_PIXELS // 1_000_000} million pixels."

_JPEG = (255, 216, 255)
_PNG = (137, 80, 78, 71, 13, 10, 26, 10)
# Bytes of a PNG file up to its height: signature, head of the first chunk, width, height.
_PNG_HEADER = 24


def read_images(images: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes and resizes a batch, in which some strings may not be images.

    All images are resized to one height and width, without keeping their aspect ratio, by bilinear interpolation with
    antialiasing. Grey and CMYK become RGB; transparent pixels are laid on white; photographs are turned upright, as
    their EXIF orientation asks. Colour profiles are ignored.

    Args:
        images: string [batch], JPEG or PNG.
        height, width: Size of the result.

    Returns:
        The pixels, RGB, uint8 [batch, height, width, 3], and an error message per image, string [batch]: empty for a
        good image. The pixels of a bad image are black.
    """
    return _reader(height, width)(images)


@cache
def _reader(height: int, width: int) -> tf.types.experimental.PolymorphicFunction:
    """Returns `read_images` for one size, as a graph: it takes a second to trace, and each signature of a model needs
    it."""
    return tf.function(
        lambda images: _read_images(images, tf.zeros([height, width, 3], tf.uint8)),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )


def _read_images(images: tf.Tensor, black: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns pixels in the shape of `black`, and errors."""
    count = tf.shape(images)[0]

    def read(position: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return position, *_read_image(image, black)

    # An image that cannot be decoded drops out of the data set; the first element takes its place.
    filler = tf.data.Dataset.from_tensors((-1, black, _DAMAGED))
    found = tf.data.Dataset.from_tensor_slices((tf.range(count), images))
    found = found.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).ignore_errors()
    whole = filler.concatenate(found).batch(tf.cast(count, tf.int64) + 1)
    positions, pixels, errors = whole.get_single_element()
    rows = tf.scatter_nd(positions[1:, None], tf.range(1, tf.shape(positions)[0]), [count])
    pixels = tf.ensure_shape(tf.gather(pixels, rows), [None, *black.shape])
    return pixels, tf.ensure_shape(tf.gather(errors, rows), [None])


def _read_image(image: tf.Tensor, black: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels of one image, in the shape of `black`, and its error; raises if the image is damaged."""
    padded = tf.strings.join([image, "\0" * _PNG_HEADER])
    header = tf.io.decode_raw(tf.strings.substr(padded, 0, _PNG_HEADER), tf.uint8)

    def resized(shape: Sequence[tf.Tensor], decode: Callable[[], tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.reduce_prod(tf.cast(tf.stack(shape), tf.float64))
        return tf.cond(
            size > MOST_PIXELS,
            lambda: (black, _TOO_LARGE),
            lambda: (_resized(decode(), *black.shape[:2]), ""),
        )

    def from_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.image.extract_jpeg_shape(image)
        return resized([shape[0], shape[1]], lambda: _decode_jpeg(image))

    def from_png() -> tuple[tf.Tensor, tf.Tensor]:
        shape = [_big_endian(header[20:24]), _big_endian(header[16:20])]
        return resized(shape, lambda: _decode_png(image))

    return tf.case(
        [(_begins(header, _JPEG), from_jpeg), (_begins(header, _PNG), from_png)],
        default=lambda: (black, _NO_IMAGE),
    )


def decode_image(image: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG or PNG image: string scalar -> RGB, uint8 [rows, columns, 3], on white and upright.

    Raises:
        tf.errors.InvalidArgumentError: If it is neither, or damaged.
    """
    is_png = tf.strings.substr(image, 0, len(_PNG)) == bytes(_PNG)
    return tf.cond(is_png, lambda: _decode_png(image), lambda: _decode_jpeg(image))


def _decode_jpeg(image: tf.Tensor) -> tf.Tensor:
    return upright(tf.io.decode_jpeg(image, channels=3), jpeg_orientation(image))


def _decode_png(image: tf.Tensor) -> tf.Tensor:
    decode = lambda channels: tf.io.decode_png(image, channels=channels)  # noqa: E731
    # With four channels TensorFlow makes opaque images of fewer than eight bits transparent, so ask for them only
    # where pixels may be transparent.
    pixels = tf.cond(png_is_transparent(image), lambda: _on_white(decode(4)), lambda: decode(3))
    return upright(pixels, png_orientation(image))


def _begins(header: tf.Tensor, signature: Sequence[int]) -> tf.Tensor:
    return tf.reduce_all(header[: len(signature)] == tf.constant(signature, tf.uint8))


def _big_endian(four: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(four, tf.float64) * [2.0**24, 2.0**16, 2.0**8, 1.0])


def _on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Puts an image on a white background: uint8 [rows, columns, RGBA] -> [rows, columns, RGB]."""
    # 16 bits take half the memory of floats.
    colour, alpha = tf.cast(pixels[..., :3], tf.uint16), tf.cast(pixels[..., 3:], tf.uint16)
    return tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _resized(pixels: tf.Tensor, height: int, width: int) -> tf.Tensor:
    resized = tf.image.resize(pixels, [height, width], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
