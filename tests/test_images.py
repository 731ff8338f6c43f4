"""Decoding of images: every kind of JPEG and PNG, and other bytes."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from unroll.models.images.decoding import MOST_PIXELS, read_images

SIDE = 32


@pytest.fixture(scope="module")
def read():
    """A batch of encoded images into pixels and errors, through a graph made once."""
    graph = tf.function(
        lambda images: read_images(images, SIDE, SIDE), input_signature=[tf.TensorSpec([None], tf.string)]
    )

    def read(images):
        pixels, errors = graph(tf.constant(images, tf.string))
        return pixels.numpy().astype(int), [error.decode() for error in errors.numpy()]

    return read


def blocks(side=120):
    """A picture of 36 coloured squares."""
    colours = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(np.kron(colours, np.ones((side // 6, side // 6, 1), np.uint8)))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def expected(image):
    """The pixels according to Pillow."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(int)


@pytest.mark.parametrize(
    ("mode", "kind", "options", "tolerance"),
    [
        ("RGB", "PNG", {}, 1),
        ("RGB", "JPEG", {"quality": 95}, 4),
        ("RGB", "JPEG", {"quality": 95, "progressive": True}, 4),
        ("CMYK", "JPEG", {"quality": 95}, 4),
        ("L", "PNG", {}, 1),
        ("L", "JPEG", {"quality": 95}, 4),
        ("LA", "PNG", {}, 1),
        ("P", "PNG", {}, 1),
        ("1", "PNG", {}, 1),
    ],
)
def test_each_kind_is_read_as_pillow_reads_it(read, mode, kind, options, tolerance):
    image = blocks().convert(mode)
    pixels, errors = read([encoded(image, kind, **options)])
    assert errors == [""]
    assert np.abs(pixels[0] - expected(image.convert("RGB"))).mean() < tolerance


def test_what_is_transparent_is_laid_on_white(read):
    image = blocks().convert("RGBA")
    alpha = np.zeros((120, 120), np.uint8)
    alpha[60:] = 255
    alpha[:20, :20] = 128
    image.putalpha(Image.fromarray(alpha))
    pixels, _ = read([encoded(image, "PNG")])
    white = Image.new("RGBA", image.size, "white")
    wanted = expected(Image.alpha_composite(white, image).convert("RGB"))
    assert (pixels[0, 8:14] == 255).all()
    assert np.abs(pixels[0] - wanted).max() <= 2


def test_sixteen_bits_are_read_by_their_upper_eight(read):
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    pixels, errors = read([encoded(Image.fromarray(deep), "PNG")])
    assert errors == [""]
    wanted = expected(Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB"))
    assert np.abs(pixels[0] - wanted).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (31, 32)])
def test_any_size_and_aspect(read, size):
    pixels, errors = read([encoded(Image.new("RGB", size, (10, 200, 30)), "PNG")])
    assert errors == [""]
    assert np.abs(pixels[0] - [10, 200, 30]).max() <= 1


def test_making_smaller_averages(read):
    """Fine stripes become grey, and do not vanish between the points that are looked at."""
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    pixels, _ = read([encoded(Image.fromarray(stripes), "PNG")])
    assert np.abs(pixels[0] - 127).max() <= 6


def test_a_bad_image_spoils_no_other_one(read):
    good = encoded(blocks(), "PNG")
    jpeg = encoded(blocks(), "JPEG")
    batch = [
        good,
        b"",
        b"no image",
        encoded(blocks(), "GIF"),
        jpeg[: len(jpeg) // 2],
        good[:200],
        good[:18],
        b"\xff\xd8\xff",
        jpeg,
    ]
    pixels, errors = read(batch)
    none, damaged = "It is neither a JPEG nor a PNG image.", "The image is damaged or not complete."
    assert errors == ["", none, none, none, damaged, damaged, damaged, damaged, ""]
    alone, _ = read([good])
    np.testing.assert_array_equal(pixels[0], alone[0])
    assert not pixels[1:8].any()
    assert pixels[8].any()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_huge_image_is_refused_before_it_is_decoded(read, kind):
    large = Image.new("L", (20_000, MOST_PIXELS // 20_000 + 1))
    _, errors = read([encoded(large, kind)])
    assert errors == ["The image has more than 40 million pixels."]


def test_no_images(read):
    pixels, errors = read([])
    assert pixels.shape == (0, SIDE, SIDE, 3)
    assert errors == []
