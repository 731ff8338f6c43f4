"""The last layers of a pretrained network, trained with the decoder, and the feature maps of several layers."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.captioning import CaptioningModel
from unroll.models.images.trained_part import TrainedLayers, TrainedPart, cut, with_maps
from unroll.models.options import CaptioningOptions
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.captioning.image_features import ImageFeatures
from unroll.tasks.training.checkpoints import variables_of


def network(seed=0):
    """Maps of 8 x 6 and 4 x 3 positions, with a shortcut around two layers, and statistics that are not the first."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((32, 24, 3))
    fine = keras.layers.Conv2D(5, 4, strides=4, name="fine")(images)
    inner = keras.layers.Conv2D(5, 1, name="inner")(fine)
    inner = keras.layers.BatchNormalization(name="normalization")(inner)
    added = keras.layers.Add(name="added")([fine, inner])
    coarse = keras.layers.Conv2D(7, 2, strides=2, name="coarse")(added)
    found = keras.Model(images, keras.layers.ReLU(name="last")(coarse))
    for variable in found.variables:
        variable.assign(variable + np.random.uniform(0, 0.2, variable.shape))
    return found


def pixels(rng, count=2):
    return rng.uniform(0, 255, (count, 32, 24, 3)).astype(np.float32)


def trained_from(name="fine", rate=0.1, frozen=()):
    """The whole network, its frozen part, and the trained layers with their first weights."""
    whole = network()
    for layer in frozen:
        whole.get_layer(layer).trainable = False
    below, above = cut(whole, name)
    _, rows, columns, features = below.output_shape
    layers = TrainedLayers(TrainedPart(above.to_json(), (rows, columns), features), rate)
    layers.build()
    layers.start(above)
    return whole, below, layers


@pytest.mark.parametrize("name", ["fine", "added"])
def test_the_parts_together_are_the_network(rng, name):
    whole, below, layers = trained_from(name)
    images = pixels(rng)
    found = layers(below(images, training=False), training=True)
    assert (layers.grid, layers.features) == ((4, 3), 7)
    np.testing.assert_allclose(
        found, tf.reshape(whole(images, training=False), [2, 12, 7]), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("name", ["inner", "normalization"])
def test_a_network_is_not_cut_beside_a_shortcut(name):
    with pytest.raises(ValueError, match=f"pass around {name}; name a layer"):
        cut(network(), name)


def test_unknown_layers_and_layers_without_a_map_or_weights():
    with pytest.raises(ValueError, match="no weights follow the layer coarse"):
        cut(network(), "coarse")
    with pytest.raises(
        ValueError, match="no layer 'top'; its last ones are, from the end, last, coarse, added"
    ):
        cut(network(), "top")
    vector = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(name="flat"), keras.layers.Dense(3, name="dense")]
    )
    with pytest.raises(ValueError, match=r"flat gives \(None, 192\), but a feature map"):
        cut(vector, "flat")


def test_a_network_is_not_cut_behind_its_last_layer_or_one_called_twice():
    with pytest.raises(ValueError, match="no weights follow the layer last"):
        cut(network(), "last")
    images, shared = keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1, name="shared")
    twice = shared(shared(images))
    with pytest.raises(ValueError, match="calls shared 2 times"):
        cut(keras.Model(images, keras.layers.Conv2D(2, 1)(twice)), "shared")
    with pytest.raises(ValueError, match="1 inputs and 2 outputs"):
        cut(keras.Model(images, [twice, shared(twice)]), "shared")


def nested():
    images = keras.Input((32, 24, 3))
    inner = keras.Input((32, 24, 3))
    body = keras.Model(inner, keras.layers.Conv2D(5, 4, strides=4)(inner), name="fine")
    return keras.Model(images, keras.layers.Conv2D(7, 2, strides=2)(body(images)))


def in_a_row(shape):
    row = [keras.layers.Conv2D(5, 4, strides=4, name="fine"), keras.layers.Conv2D(7, 2, strides=2)]
    return keras.Sequential([keras.Input(shape), *row])


@pytest.mark.parametrize("make", [nested, lambda: in_a_row((32, 24, 3)), lambda: in_a_row((None, None, 3))])
def test_layers_in_a_row_and_networks_within_are_read_and_cut(rng, tmp_path, make):
    made, images = make(), pixels(rng)
    # In a file, as users have it: Keras calls the layers again when it loads one.
    made.save(tmp_path / "network.keras")
    whole = keras.saving.load_model(tmp_path / "network.keras")
    below, above = cut(whole, "fine", (32, 24))
    assert below.output_shape == (None, 8, 6, 5)
    np.testing.assert_allclose(above(below(images)), made(images), atol=1e-3)
    maps = with_maps(whole, ["fine"], (32, 24))
    assert maps.output_shape == (None, 4, 3, 5 + 7)
    np.testing.assert_allclose(maps(images)[..., 5:], made(images), atol=1e-3)


def test_trained_layers_that_give_a_vector_are_a_grid_of_one_position(rng):
    images = keras.Input((8, 8, 3))
    fine = keras.layers.Conv2D(5, 2, strides=2, name="fine")(images)
    vector = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(fine))
    below, above = cut(keras.Model(images, vector), "fine")
    layers = TrainedLayers(TrainedPart(above.to_json(), (4, 4), 5), 0.1)
    layers.build()
    layers.start(above)
    shown = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    assert layers.grid == (1, 1)
    np.testing.assert_allclose(layers(below(shown))[:, 0], above(below(shown)), rtol=1e-4, atol=1e-4)
    rows = keras.Model(images, keras.layers.Dense(4)(keras.layers.Reshape((16, 5))(fine)))
    with pytest.raises(ValueError, match=r"gives \(None, 16, 4\), but a feature map"):
        cut(rows, "fine")


@pytest.mark.parametrize("rate", [0.02, 1.0])
def test_an_adaptive_step_is_a_share_of_the_learning_rate(rng, rate):
    _, below, layers = trained_from(rate=rate)
    maps = below(pixels(rng))
    before = [variable * rate for variable in layers.trainable_variables]
    statistics = [np.array(variable) for variable in layers.non_trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(layers(maps, training=True)))
    gradients = tape.gradient(loss, [v.value for v in layers.trainable_variables])
    keras.optimizers.Adam(0.01).apply(gradients, layers.trainable_variables)
    # Kernels and biases of three layers, scale and offset of one.
    assert len(gradients) == 6
    for old, variable in zip(before, layers.trainable_variables, strict=True):
        assert np.abs(variable * rate - old).max() == pytest.approx(0.01 * rate, rel=0.05)
    for old, variable in zip(statistics, layers.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable)


@pytest.mark.parametrize("frozen", [["coarse"], ["inner", "normalization", "coarse"]])
def test_layers_are_trained_that_the_file_says_are_frozen(rng, frozen):
    whole, below, layers = trained_from(frozen=frozen)
    assert len(layers.trainable_variables) == 6
    images = pixels(rng)
    expected = tf.reshape(whole(images, training=False), [2, 12, 7])
    np.testing.assert_allclose(layers(below(images, training=False)), expected, rtol=1e-5, atol=1e-4)


def test_a_checkpoint_keeps_the_statistics(tmp_path):
    options = CaptioningOptions(units=4, embedding_size=3, encoder_rate=0.1)
    _, _, layers = trained_from()
    models = [CaptioningModel(9, 5, options, trained_part=layers.part) for _ in range(2)]
    for model in models:
        model.build()
    statistics = models[0].image_encoder.fixed
    assert len(statistics) == 2
    for variable in statistics:
        variable.assign(variable + 3)
    path = tf.train.Checkpoint(model=variables_of(models[0])).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=variables_of(models[1])).read(path)
    for variable in models[1].image_encoder.fixed:
        assert np.all(np.array(variable) == 3)


def test_no_image_changes_the_features_of_another(rng):
    _, below, layers = trained_from()
    maps = below(pixels(rng, 3))
    np.testing.assert_allclose(layers(maps, training=True)[1:2], layers(maps[1:2]), atol=1e-5)


def test_the_model_is_made_again_from_its_configuration(rng):
    _, below, layers = trained_from()
    options = CaptioningOptions(units=4, embedding_size=3, encoder_rate=0.1)
    model = CaptioningModel(9, 5, options, trained_part=layers.part)
    model.build()
    other = CaptioningModel.from_config(json.loads(json.dumps(model.get_config())))
    other.build()
    other.set_weights(model.get_weights())
    maps, captions = below(pixels(rng)), tf.constant([[[2, 4, 5]], [[2, 6, 0]]])
    outputs, weights = model(maps, captions)
    assert weights.shape == (2, 1, 3, 12)
    np.testing.assert_allclose(outputs, other(maps, captions)[0], atol=1e-6)


def test_maps_of_several_layers_lie_side_by_side(rng):
    whole, images = network(), pixels(rng)
    found = with_maps(whole, ["fine", "coarse"])(images, training=False)
    assert found.shape == (2, 4, 3, 5 + 7 + 7)
    fine = keras.Model(whole.input, whole.get_layer("fine").output)(images)
    np.testing.assert_allclose(found[..., :5], tf.nn.avg_pool2d(fine, 2, 2, "VALID"), rtol=1e-5)
    np.testing.assert_allclose(found[..., 12:], whole(images, training=False), rtol=1e-5)
    with pytest.raises(ValueError, match="no layer 'nothing'"):
        with_maps(whole, ["fine", "nothing"])
    with pytest.raises(ValueError, match="fine is named twice"):
        with_maps(whole, ["fine", "fine"])


def test_maps_need_no_names_that_the_network_has(rng):
    images = keras.Input((8, 8, 3))
    both = [keras.layers.Conv2D(2, 2, strides=2, name=name)(images) for name in ("one", "other")]
    joined = keras.layers.Concatenate(name="concatenate")(both)
    pooled = keras.layers.AveragePooling2D(2, name="average_pooling2d")(joined)
    keras.backend.clear_session()
    assert with_maps(keras.Model(images, pooled), ["one"]).output_shape == (None, 2, 2, 6)


def test_a_finer_map_than_the_networks_must_divide(rng):
    images = keras.Input((10, 10, 3))
    odd = keras.layers.Conv2D(2, 4, strides=4)(keras.layers.Conv2D(2, 2, name="nine")(images))
    with pytest.raises(
        ValueError, match=r"nine, \(None, 9, 9, 2\), does not fit the network's own, \(None, 2, 2, 2\)"
    ):
        with_maps(keras.Model(images, odd), ["nine"])


def test_features_have_the_name_of_their_layers(tmp_path):
    network().save(tmp_path / "network.keras")

    def fingerprint(**options):
        config = CaptioningConfig(image_encoder=str(tmp_path / "network.keras"), **options)
        return ImageFeatures(config, None).fingerprint

    found = [
        fingerprint(),
        fingerprint(train_encoder_from="fine"),
        fingerprint(train_encoder_from="added"),
        fingerprint(image_encoder_layers=("coarse",)),
        fingerprint(image_encoder_layers=("last",)),
    ]
    assert len(set(found)) == len(found)
    assert fingerprint(train_encoder_from="fine") == found[1]
