"""Reads in a file's head how its pixels are to be shown: the orientation of a photograph, and transparency."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from ..blocks.transpose import transpose_pixels

# The tag of the orientation in EXIF data.
_ORIENTATION = 0x0112
# A PNG file's head: signature, head of the first chunk, width, height, bit depth, colour type.
_PNG_SIGNATURE, _COLOUR_TYPE = 8, 25
# The colour types with an alpha channel: grey and colour.
_WITH_ALPHA = (4, 6)
# Appended to a file, so that a head that was cut off reads as zeros.
_ZEROS = 32


def jpeg_orientation(image: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG image, int32 scalar from 1 to 8; 1 where the file names none."""
    content = _padded(image)

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return _is(content, at, b"\xff\xe1") & _is(content, at + 4, b"Exif\0\0")

    def is_image(at: tf.Tensor) -> tf.Tensor:
        return ~_is(content, at, b"\xff") | _is(content, at, b"\xff\xda")

    def after(at: tf.Tensor) -> tf.Tensor:
        # A segment's length counts itself; bytes of value 255 may fill the space before a segment.
        filled = _is(content, at, b"\xff\xff")
        return at + tf.where(filled, 1, 2 + _number(content, at + 2, 2))

    found = _walk(content, 2, lambda at: is_exif(at) | is_image(at), after)
    return tf.cond(is_exif(found), lambda: _tiff_orientation(content, found + 10), lambda: 1)


def png_orientation(image: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a PNG image, as `jpeg_orientation` does."""
    content = _padded(image)
    found, there = _png_chunk(content, b"eXIf")
    return tf.cond(there, lambda: _tiff_orientation(content, found + 8), lambda: 1)


def png_is_transparent(image: tf.Tensor) -> tf.Tensor:
    """Returns whether a PNG image may have transparent pixels, bool scalar: by an alpha channel, or by a colour or
    entries of the palette that are named as transparent."""
    content = _padded(image)
    channel = tf.reduce_any(content[_COLOUR_TYPE] == tf.constant(_WITH_ALPHA, tf.uint8))
    return channel | _png_chunk(content, b"tRNS")[1]


def upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns the pixels of an image, uint8 [rows, columns, 3], as its EXIF orientation asks."""
    # Of the eight orientations the last four have rows for columns.
    pixels = tf.cond(orientation > 4, lambda: transpose_pixels(pixels), lambda: pixels)
    for axis, mirrored in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        turned = tf.reduce_any(orientation == tf.constant(mirrored))
        pixels = tf.cond(turned, lambda a=axis, p=pixels: tf.reverse(p, [a]), lambda p=pixels: p)
    return pixels


def _png_chunk(content: tf.Tensor, kind: bytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where a chunk before the pixels begins, and whether there is one."""

    def is_kind(at: tf.Tensor) -> tf.Tensor:
        return _is(content, at + 4, kind)

    def after(at: tf.Tensor) -> tf.Tensor:
        return at + 12 + _number(content, at, 4)

    found = _walk(content, _PNG_SIGNATURE, lambda at: is_kind(at) | _is(content, at + 4, b"IDAT"), after)
    return found, is_kind(found)


def _tiff_orientation(content: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in EXIF data, which begin with the head of a TIFF file; 1 where they are damaged."""
    little = _is(content, begin, b"II")
    directory = begin + _number(content, begin + 4, 4, little)
    entries = directory + 2 + 12 * tf.range(_number(content, directory, 2, little))
    tags, values = (_number(content, entries + offset, 2, little) for offset in (0, 8))
    named = tf.boolean_mask(values, tags == _ORIENTATION)
    value = tf.concat([named, [1]], axis=0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _walk(
    content: tf.Tensor,
    begin: int,
    ends: Callable[[tf.Tensor], tf.Tensor],
    after: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Goes from part to part of a file, and returns the position of the first that ends the walk, or of the end."""
    last = tf.size(content) - _ZEROS

    def goes_on(at: tf.Tensor) -> tf.Tensor:
        return (at < last) & ~ends(at)

    # A length beyond the file leads to its end.
    step = lambda at: (tf.clip_by_value(after(at), at + 1, last),)  # noqa: E731
    return tf.while_loop(goes_on, step, [tf.minimum(begin, last)])[0]


def _padded(image: tf.Tensor) -> tf.Tensor:
    """Returns the bytes of a file, uint8, and zeros after them."""
    return tf.io.decode_raw(tf.strings.join([image, "\0" * _ZEROS]), tf.uint8)


def _is(content: tf.Tensor, at: tf.Tensor, wanted: Sequence[int]) -> tf.Tensor:
    """Returns whether some bytes stand at a position."""
    return tf.reduce_all(_bytes(content, at, len(wanted)) == list(wanted))


def _number(content: tf.Tensor, at: tf.Tensor, size: int, little: tf.Tensor | bool = False) -> tf.Tensor:
    """Returns the unsigned numbers of a size in bytes at some positions; 2 ** 30 stands for all larger ones."""
    digits = tf.cast(_bytes(content, at, size), tf.float64)
    digits = tf.where(little, tf.reverse(digits, [-1]), digits)
    number = tf.reduce_sum(digits * [256.0**n for n in reversed(range(size))], axis=-1)
    return tf.cast(tf.minimum(number, float(2**30)), tf.int32)


def _bytes(content: tf.Tensor, at: tf.Tensor, size: int) -> tf.Tensor:
    """Returns bytes from some positions on, int32 [..., size]; beyond the file they are zeros."""
    positions = tf.clip_by_value(at[..., None] + tf.range(size), 0, tf.size(content) - 1)
    return tf.cast(tf.gather(content, positions), tf.int32)
