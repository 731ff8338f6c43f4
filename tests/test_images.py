"""Decoding of images: every kind of JPEG and PNG, and other bytes."""

import io
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from unroll.models.images import decoding
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


def laid_on_white(png):
    """The pixels according to Pillow, before they are resized."""
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def transparent_pngs():
    colours, grey = blocks(), blocks().convert("L")
    few = colours.quantize(12)
    first = colours.getpixel((0, 0))
    return {
        "grey and alpha": encoded(Image.merge("LA", (grey, colours.getchannel("R"))), "PNG"),
        "palette, one entry": encoded(few, "PNG", transparency=3),
        "palette, all entries": encoded(few, "PNG", transparency=bytes(range(0, 240, 20))),
        "palette of two bits": encoded(colours.quantize(4), "PNG", bits=2, transparency=1),
        "one grey": encoded(grey, "PNG", transparency=grey.getpixel((0, 0))),
        "one bit": encoded(colours.convert("1"), "PNG", transparency=0),
        "one colour": encoded(colours, "PNG", transparency=first),
    }


@pytest.mark.parametrize("kind", transparent_pngs())
def test_every_kind_of_transparency_is_laid_on_white(read, kind):
    png = transparent_pngs()[kind]
    pixels, errors = read([png])
    assert errors == [""]
    opaque = expected(Image.open(io.BytesIO(png)).convert("RGBA").convert("RGB"))
    assert np.abs(pixels[0] - expected(laid_on_white(png))).max() <= 2
    assert np.abs(pixels[0] - opaque).max() > 50


@pytest.mark.parametrize("colours", [2, 4, 12])
def test_opaque_palettes_of_few_bits_stay_opaque(read, colours):
    image = blocks().quantize(colours)
    pixels, _ = read([encoded(image, "PNG")])
    assert np.abs(pixels[0] - expected(image.convert("RGB"))).max() <= 2


@pytest.mark.parametrize("channels", [2, 4])
def test_sixteen_bits_with_alpha_are_laid_on_white(read, channels):
    deep = np.random.default_rng(0).integers(0, 2**16, (6, 6, channels), np.uint16)
    deep = np.kron(deep, np.ones((20, 20, 1), np.uint16))
    pixels, errors = read([tf.io.encode_png(deep).numpy()])
    assert errors == [""]
    alpha = deep[..., -1:] / 65535
    colour = np.broadcast_to(deep[..., :-1] / 257, (120, 120, 3))
    wanted = Image.fromarray(np.round(colour * alpha + 255 * (1 - alpha)).astype(np.uint8))
    assert np.abs(pixels[0] - expected(wanted)).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_photographs_are_turned_upright(read, kind):
    image = blocks().resize((90, 60))
    files = []
    for orientation in (None, *range(10)):
        exif = Image.Exif()
        if orientation is not None:
            # Other tags before it.
            exif.update({0x010E: "a picture", 0x010F: "somebody", 0x0112: orientation})
        files.append(encoded(image, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {})))
    pixels, errors = read(files)
    assert errors == [""] * 11
    wanted = [expected(ImageOps.exif_transpose(Image.open(io.BytesIO(file)))) for file in files]
    for found, other in zip(pixels, wanted, strict=True):
        assert np.abs(found - other).mean() < 4
    # All eight are different pictures.
    assert len({found.tobytes() for found in pixels}) == 8


def test_orientation_in_either_order_of_bytes_and_damaged(read):
    jpeg = encoded(blocks(), "JPEG", quality=95)
    tag = (0x0112).to_bytes(2, "big") + b"\0\3" + b"\0\0\0\1" + b"\0\6\0\0"
    big = b"MM\0*" + (8).to_bytes(4, "big") + b"\0\1" + tag
    little = b"II*\0" + (8).to_bytes(4, "little") + b"\1\0" + b"\x12\1\3\0\1\0\0\0\6\0\0\0"

    def with_exif(tiff, before=b""):
        content = b"Exif\0\0" + tiff
        segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
        return jpeg[:2] + before + segment + jpeg[2:]

    comment = b"\xff\xfe\0\4hi\xff"
    far, many = b"II*\0" + b"\xff" * 4, little[:8] + b"\xff\xff"
    pixels, errors = read(
        [jpeg, with_exif(big), with_exif(little), with_exif(big, comment), with_exif(far), with_exif(many)]
    )
    assert errors == [""] * 6
    upright, *turned = pixels[:4]
    for found in turned:
        np.testing.assert_allclose(found, np.rot90(upright, -1), atol=1)
    for found in pixels[4:]:
        np.testing.assert_array_equal(found, upright)


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


def test_graphs_of_one_size_share_one_trace():
    image = tf.constant([encoded(blocks(), "PNG")])
    with mock.patch.object(decoding, "_read_image", wraps=decoding._read_image) as traced:
        found = [
            tf.function(lambda images, size=size: read_images(images, *size))(image)
            for size in ((33, 17), (33, 17), (17, 33))
        ]
    assert traced.call_count == 2
    assert [pixels.shape[1:3] for pixels, _ in found] == [(33, 17), (33, 17), (17, 33)]
