"""Views of an image: mirrored, and cropped."""

import numpy as np
import pytest
import tensorflow as tf
from captioned_images import image_of

from unroll.tasks.captioning.views import cropped, mirrored
from unroll.tasks.datasets.feature_cache import Image


def pixels(image):
    return tf.io.decode_png(image.read()).numpy()


def image_with(found, name="a.png"):
    return Image(name, "1", lambda: tf.io.encode_png(found).numpy())


@pytest.mark.parametrize("view", [mirrored, lambda image: cropped(image, 0)], ids=["mirrored", "cropped"])
def test_a_view_has_other_features_and_the_name_of_the_image(view):
    found = view(Image("a.png", "1", lambda: image_of("red", "left")))
    assert found.stamp != "1"
    assert found.name == "a.png"
    # A file that is not an image is reported when it is encoded.
    assert view(Image("a.png", "1", lambda: b"nothing")).read() == b"nothing"


def test_an_image_from_right_to_left():
    found = mirrored(Image("a.png", "1", lambda: image_of("red", "left")))
    np.testing.assert_array_equal(pixels(found), tf.io.decode_png(image_of("red", "right")))


def test_crops_are_parts_of_the_image_and_differ(rng):
    whole = rng.integers(0, 256, (40, 60, 3), np.uint8)
    crops = [pixels(cropped(image_with(whole), number)) for number in range(8)]
    assert len({crop.tobytes() for crop in crops}) == 8
    for crop in crops:
        height, width, _ = crop.shape
        assert 30 <= height <= 40
        assert 45 <= width <= 60
        windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)
        assert (windows == crop).all(axis=(-3, -2, -1)).any()


def test_a_crop_follows_the_name_and_the_number(rng):
    whole = rng.integers(0, 256, (40, 60, 3), np.uint8)
    first, again, other = (pixels(cropped(image_with(whole, name), 3)) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_the_smallest_image_has_a_crop():
    one = np.full((1, 1, 3), 7, np.uint8)
    np.testing.assert_array_equal(pixels(cropped(image_with(one), 0)), one)
