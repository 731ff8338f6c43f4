"""The cache of image features: filled once, resumed after a kill, found again by its sources."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.common.errors import UserError
from unroll.tasks.datasets import feature_cache
from unroll.tasks.datasets.feature_cache import CacheKey, FeatureCache, Image, UnusableImagesError

SHAPE = (2, 3)


@pytest.fixture(autouse=True)
def _small_files(monkeypatch):
    monkeypatch.setattr(feature_cache, "_SHARD", 4)
    monkeypatch.setattr(feature_cache, "_BATCH", 3)


def images(count, read=None):
    def reader(number):
        return lambda: str(number).encode() if read is None else read(number)

    return [Image(f"{number}.jpg", "stamp", reader(number)) for number in range(count)]


def encode(batch):
    numbers = tf.strings.to_number(batch)
    arrays = tf.cast(numbers[:, None, None] + tf.reshape(tf.range(6.0) / 10, SHAPE), tf.float16)
    return arrays, tf.fill(tf.shape(batch), "")


def key_of(several, encoder="encoder"):
    key = CacheKey(encoder)
    for image in several:
        key.add(image)
    return str(key)


def filled(directory, count=10):
    several = images(count)
    cache = FeatureCache(directory, key_of(several), SHAPE, "float16")
    cache.fill(several, encode, "images")
    return cache


def test_features_are_found_by_the_number_of_the_image(tmp_path):
    cache = filled(tmp_path)
    taken = cache.take(np.array([9, 0, 4, 4, 3]))
    # Kept as float16.
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, encode(tf.constant(["9", "0", "4", "4", "3"]))[0].numpy())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_float16_cannot_hold_are_refused(value, tmp_path):
    several = images(10)
    cache = FeatureCache(tmp_path, key_of(several), SHAPE, "float16")

    def broken(batch):
        arrays, errors = encode(batch)
        return tf.where(batch[:, None, None] == "4", value, tf.cast(arrays, tf.float32)), errors

    with pytest.raises(UserError, match=r"features of 4\.jpg that are not numbers or too large for float16"):
        cache.fill(several, broken, "images")
    assert not cache.complete


def test_the_files_are_arrays_of_numpy(tmp_path):
    cache = filled(tmp_path)
    arrays = [np.load(path) for path in sorted(cache.directory.glob("*.npy"))]
    assert [len(array) for array in arrays] == [4, 4, 2]
    assert {array.dtype for array in arrays} == {np.dtype(np.float16)}
    numbers = tf.constant([str(number) for number in range(10)])
    np.testing.assert_array_equal(np.concatenate(arrays), encode(numbers)[0].numpy())


@pytest.mark.parametrize("count", [1, 4, 5])
def test_a_cache_is_complete_when_all_its_files_are_there(tmp_path, count):
    cache = FeatureCache(tmp_path, key_of(images(count)), SHAPE, "float16")
    assert not cache.complete
    assert filled(tmp_path, count).complete


def test_what_was_encoded_before_a_kill_is_not_encoded_again(tmp_path):
    def killed_at_six(number):
        if number == 6:
            raise KeyboardInterrupt
        return str(number).encode()

    several = images(10, killed_at_six)
    cache = FeatureCache(tmp_path, key_of(several), SHAPE, "float16")
    with pytest.raises(KeyboardInterrupt):
        cache.fill(several, encode, "images")
    assert not cache.complete
    read = []

    def counted(number):
        read.append(number)
        return str(number).encode()

    cache.fill(images(10, counted), encode, "images")
    assert read == [4, 5, 6, 7, 8, 9]
    assert cache.complete
    np.testing.assert_array_equal(cache.take(np.arange(10))[:, 0, 0], np.arange(10))


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "shape", "dtype"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    cache = filled(tmp_path)
    path = cache.directory / "features-00001-of-00003.npy"
    if damage in ("shape", "dtype"):
        np.save(path, np.zeros((3 if damage == "shape" else 4, *SHAPE), "f2" if damage == "shape" else "f4"))
    else:
        path.write_bytes(path.read_bytes()[: {"cut": -5, "header": 20, "empty": 0}[damage]])
    assert not cache.complete
    again = filled(tmp_path)
    np.testing.assert_array_equal(again.take(np.arange(10))[:, 0, 0], np.arange(10))


def test_a_complete_cache_reads_no_image(tmp_path):
    filled(tmp_path)
    several = images(10, lambda number: pytest.fail("read"))
    FeatureCache(tmp_path, key_of(several), SHAPE, "float16").fill(several, encode, "images")


def test_other_images_or_another_encoder_have_another_key():
    several = images(3)
    keys = {
        key_of(several),
        key_of(several[::-1]),
        key_of(several[:2]),
        key_of(several, "other encoder"),
        key_of([several[0]._replace(stamp="changed"), *several[1:]]),
    }
    assert len(keys) == 5
    assert key_of(images(3)) in keys


def test_a_bad_image_is_named(tmp_path):
    def encode_badly(batch):
        arrays, _ = encode(batch)
        return arrays, tf.where(batch == "5", "It is damaged.", "")

    several = images(10)
    cache = FeatureCache(tmp_path, key_of(several), SHAPE, "float16")
    with pytest.raises(UserError, match=r"The image 5.jpg cannot be used\. It is damaged\."):
        cache.fill(several, encode_badly, "images")
    made = sorted(path.name for path in cache.directory.glob("features*"))
    assert made == ["features-00000-of-00003.npy", "features-00002-of-00003.npy"]


def test_all_bad_images_are_named_at_once(tmp_path):
    def missing(number):
        if number in (2, 9):
            raise UserError("It cannot be read.")
        return str(number).encode()

    def encode_badly(batch):
        arrays, _ = encode(tf.where(batch == "", "0", batch))
        return arrays, tf.where((batch == "5") | (batch == "6"), "It is damaged.", "")

    several = images(10, missing)
    with pytest.raises(UnusableImagesError) as error:
        FeatureCache(tmp_path, key_of(several), SHAPE, "float16").fill(several, encode_badly, "images")
    assert str(error.value) == (
        "4 images cannot be used. It cannot be read. (2.jpg, 9.jpg) It is damaged. (5.jpg, 6.jpg) Repair them, or "
        "remove them from the data."
    )
