"""Networks that turn pixels into a grid of features."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.images.encoders import (
    FrozenEncoder,
    SmallImageEncoder,
    application,
    applications,
    load_network,
)


def network(shape=(32, 24, 3), features=5, seed=0, last="map"):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input(shape), keras.layers.Conv2D(features, 8, strides=8)]
    layers += {
        "map": [],
        "vector": [keras.layers.GlobalAveragePooling2D()],
        "sequence": [keras.layers.Reshape([-1, features])],
    }[last]
    return keras.Sequential(layers)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (2, 32, 24, 3), np.uint8)


def test_the_positions_of_a_map_are_its_rows(pixels):
    frozen = FrozenEncoder(network())
    assert (frozen.image_size, frozen.grid, frozen.features) == ((32, 24), (4, 3), 5)
    wanted = network()(pixels.astype(np.float32)).numpy()
    np.testing.assert_allclose(frozen(pixels), wanted.reshape(2, 12, 5), rtol=1e-5)


def test_a_vector_is_a_grid_of_one_place(pixels):
    frozen = FrozenEncoder(network(last="vector"))
    assert frozen.grid == (1, 1)
    assert frozen(pixels).shape == (2, 1, 5)


def test_a_network_for_any_size_takes_the_one_asked_for():
    assert FrozenEncoder(network((None, None, 3)), 40).image_size == (40, 40)
    assert FrozenEncoder(network((None, None, 3))).image_size == (224, 224)


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"shape": (32, 24, 1)}, None, "RGB images"),
        ({}, 64, "it takes images of 32 x 24 pixels, not of 64 x 64"),
        ({"last": "sequence"}, None, "a feature map"),
    ],
)
def test_other_networks_are_refused(options, size, message):
    with pytest.raises(ValueError, match=message):
        FrozenEncoder(network(**options), size)


def test_the_fingerprint_is_that_of_the_weights(tmp_path):
    network().save(tmp_path / "a.keras")
    assert (
        FrozenEncoder(network()).fingerprint == FrozenEncoder(load_network(tmp_path / "a.keras")).fingerprint
    )
    others = {
        FrozenEncoder(network(seed=seed, shape=shape)).fingerprint
        for seed, shape in ((0, (32, 24, 3)), (1, (32, 24, 3)), (0, (24, 32, 3)))
    }
    assert len(others) == 3


def test_the_fingerprint_is_that_of_the_layers_but_not_of_their_names_or_random_states(tmp_path):
    def made(scale, name=None):
        noise = keras.layers.Dropout(0.5, name=name)
        kernel = keras.layers.Conv2D(5, 8, strides=8, kernel_initializer="ones", name=name and f"{name}_2")
        return keras.Sequential([keras.Input((32, 24, 3)), keras.layers.Rescaling(scale), kernel, noise])

    made(1 / 255).save(tmp_path / "a.keras")
    found = FrozenEncoder(load_network(tmp_path / "a.keras")).fingerprint
    assert found == FrozenEncoder(made(1 / 255, name="other")).fingerprint
    assert found != FrozenEncoder(made(1 / 127.5)).fingerprint


def test_files_that_are_no_networks(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a file that Keras wrote"):
        load_network(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="no such file"):
        load_network(tmp_path / "b.keras")


def test_an_application_scales_pixels_as_it_was_trained_with(tmp_path):
    """Its weights come from a file; nothing is downloaded."""
    keras.utils.set_random_seed(0)
    trunk = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=1.0)
    trunk.save_weights(tmp_path / "a.weights.h5")
    frozen = FrozenEncoder(application("MobileNet", 32, str(tmp_path / "a.weights.h5")))
    assert (frozen.image_size, frozen.grid, frozen.features) == ((32, 32), (1, 1), 1024)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    wanted = trunk(pixels / 127.5 - 1.0, training=False).numpy().reshape(1, 1, 1024)
    np.testing.assert_allclose(frozen(pixels), wanted, atol=1e-4)


def test_unknown_applications_and_weights_that_do_not_fit(tmp_path):
    assert "ResNet50" in applications()
    with pytest.raises(ValueError, match=r"keras\.applications has"):
        application("ResNet51", None, None)
    with pytest.raises(ValueError, match="there is no file missing with its weights"):
        application("MobileNet", 32, "missing")
    network().save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="do not fit"):
        application("MobileNet", 32, str(tmp_path / "a.weights.h5"))


def test_the_small_encoder_knows_where_things_are(rng):
    keras.utils.set_random_seed(0)
    encoder = SmallImageEncoder(16)
    square = np.zeros((2, 64, 64, 3), np.uint8)
    square[0, 16:24, 16:24] = 255
    square[1, 40:48, 40:48] = 255
    grid = encoder(square).numpy().reshape(2, 8, 8, 16)
    assert encoder.grid(64, 64) == (8, 8)
    assert encoder.grid(60, 33) == (8, 5)
    # Away from the edges the same square looks different at another position.
    assert np.abs(grid[0, 2, 2] - grid[1, 5, 5]).max() > 1e-3


def test_frozen_weights_are_saved_once(tmp_path):
    frozen = FrozenEncoder(network())
    module = tf.Module()
    module.encoder = frozen
    module.call = tf.function(frozen, input_signature=[tf.TensorSpec([None, 32, 24, 3], tf.uint8)])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    names = dict(tf.train.list_variables(str(tmp_path / "saved" / "variables" / "variables")))
    assert sum(name.endswith("VARIABLE_VALUE") for name in names) == 2
