"""The captioning model: the decoder's view of an image, and independence of everything else."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.captioning import CaptioningModel
from unroll.models.decoding import Beams
from unroll.models.options import CaptioningOptions
from unroll.models.text import END, PADDING, START, UNKNOWN
from unroll.tasks.captioning.task import doubly_stochastic_penalty

IDS, PLACES, FEATURES = 11, 6, 5
CAPTIONS = np.array(
    [
        [[START, 4, 5, 6, 7], [START, 8, 9, 0, 0]],
        [[START, 10, 4, 4, 0], [0, 0, 0, 0, 0]],
        [[START, 5, 0, 0, 0], [START, 6, 7, 8, 9]],
    ],
    np.int32,
)
VARIANTS = [
    {},
    {"attention": "additive", "gated_context": False},
    {"attention": "none"},
    {"attention": "none", "image_as": "input", "cell": "simple_rnn"},
    {"image_as": "input", "layers": 2, "tie_embeddings": True},
    {"input_feeding": True, "image_as": "input"},
    {"input_feeding": True, "layers": 2, "residual": True},
    {"upper_layers": 1},
]


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def images(rng, count=3):
    return rng.normal(size=(count, PLACES, FEATURES)).astype(np.float32)


def model_of(seed=0, **options):
    model = CaptioningModel(IDS, FEATURES, CaptioningOptions(units=8, embedding_size=6, **options), seed=seed)
    outputs, _ = model(tf.zeros([1, PLACES, FEATURES]), tf.ones([1, 1, 1], tf.int32))
    model.logits(outputs[0, 0])
    for weight in model.trainable_variables:
        # Large enough for every part to change the result.
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape))
    return model


@pytest.mark.parametrize("options", VARIANTS)
def test_neither_padding_nor_other_images_change_a_result(rng, options):
    model, seen = model_of(**options), images(rng)
    outputs, weights = model(seen, CAPTIONS)
    alone, alone_weights = model(seen[2:], CAPTIONS[2:, 1:])
    np.testing.assert_allclose(outputs[2:, 1:], alone, atol=1e-5)
    np.testing.assert_allclose(weights[2:, 1:], alone_weights, atol=1e-5)
    longer = np.pad(CAPTIONS, [(0, 0), (0, 2), (0, 3)])
    padded, _ = model(seen, longer)
    np.testing.assert_allclose(padded[:, :2, :5], outputs, atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS)
def test_a_training_step_transposes_numbers_with_a_fraction_alone(options):
    """Others make TensorFlow print an error on many CPUs."""
    model = model_of(**options)

    @tf.function
    def gradients(features, captions):
        with tf.GradientTape() as tape:
            outputs, _ = model(features, captions, training=True)
            loss = tf.reduce_sum(outputs)
        return tape.gradient(loss, model.trainable_variables)

    signature = tf.TensorSpec([None, PLACES, FEATURES]), tf.TensorSpec([None, None, None], tf.int32)
    graph = gradients.get_concrete_function(*signature).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    kinds = {tf.as_dtype(node.attr["T"].type) for node in nodes if node.op == "Transpose"}
    assert kinds <= {tf.float32}


@pytest.mark.parametrize("options", VARIANTS)
def test_steps_give_what_the_whole_caption_gives(rng, options):
    """Training goes through whole captions, decoding step by step; several hypotheses share an image."""
    model, features = model_of(**options), images(rng)
    outputs, weights = model(features, CAPTIONS)
    seen = model.encode(features)
    step = model.stepper(seen.memory)
    states = tf.nest.map_structure(
        lambda s: tf.repeat(s, 2, axis=0), model.decoder.initial_states(seen.states)
    )
    for time in range(CAPTIONS.shape[2]):
        logits, states, where = step(tf.constant(CAPTIONS[:, :, time].ravel()), states)
        wanted = model.logits(tf.reshape(outputs[:, :, time], [6, -1]))
        np.testing.assert_allclose(logits, wanted, atol=1e-5)
        np.testing.assert_allclose(where, tf.reshape(weights[:, :, time], [6, -1]), atol=1e-5)


@pytest.mark.parametrize("block", [None, 1, 2])
@pytest.mark.parametrize("fed", [False, True])
def test_gradients_of_a_batch_are_those_of_its_captions(rng, fed, block):
    """Where the gradient is truncated, too: no block depends on the padding of the batch."""
    model, features = model_of(input_feeding=fed, truncate_gradient=block), tf.constant(images(rng))
    captions = np.array(
        [[[START, *row, END, *[PADDING] * (6 - len(row))]] for row in ([4, 5, 6, 7, 8], [9], [5, 6, 7])]
    )
    variables = [weight.value for weight in model.trainable_variables]

    def gradients(features, captions):
        ids = tf.constant(captions, tf.int32)
        with tf.GradientTape() as tape:
            outputs, _ = model(features, ids[..., :-1])
            loss = tf.reduce_sum(model.token_losses(outputs, ids[..., 1:]).losses)
        return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    together = gradients(features, captions)
    apart = [
        gradients(features[n : n + 1], captions[n : n + 1, :, : np.count_nonzero(captions[n])])
        for n in range(3)
    ]
    for whole, parts in zip(together, zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(whole, tf.add_n(parts), atol=1e-4)


@pytest.mark.parametrize("options", VARIANTS)
def test_the_image_decides(rng, options):
    model, seen = model_of(**options), images(rng)
    outputs, _ = model(seen, CAPTIONS)
    others, _ = model(seen[::-1], CAPTIONS)
    assert np.abs(outputs - others)[[0, 2]].max() > 1e-3


def test_the_image_as_first_input_is_read_before_the_start(rng):
    model, features = model_of(image_as="input", attention="none"), images(rng)
    values = model.projection(features)
    first = model.starts[0](tf.reduce_mean(values, axis=1))
    words = model.target_embedding(CAPTIONS[:, 0]) * 6**0.5
    hidden, _ = model.decoder.recurrent(tf.concat([first[:, None], words], axis=1))
    outputs, _ = model(features, CAPTIONS)
    np.testing.assert_allclose(outputs[:, 0], model.decoder.output_layer(hidden[:, 1:]), atol=1e-5)


def test_the_gate_scales_what_attention_finds(rng):
    model, features = model_of(gated_context=True, image_as="state"), images(rng)
    outputs, weights = model(features, CAPTIONS)
    seen = model.encode(features)
    words = model.target_embedding(CAPTIONS[:, 0]) * 6**0.5
    hidden, _ = model.decoder.recurrent(words, states=seen.states)
    context = tf.matmul(weights[:, 0], model.projection(features))
    kernel, bias = model.decoder.gate.get_weights()
    gate = 1 / (1 + np.exp(-(hidden.numpy() @ kernel + bias)))
    wanted = model.decoder.output_layer(tf.concat([gate * context, hidden], axis=-1))
    np.testing.assert_allclose(outputs[:, 0], wanted, atol=1e-5)
    assert gate.std() > 0.01


def test_attention_weights_sum_to_one_and_are_zero_without_attention(rng):
    _, weights = model_of()(images(rng), CAPTIONS)
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1, atol=1e-5)
    _, weights = model_of(attention="none")(images(rng), CAPTIONS)
    assert not np.any(weights)


def test_the_doubly_stochastic_term():
    """Two steps of three are real; each of four positions should be looked at once in all."""
    seen = tf.constant([[[[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1.0]], [[1.0, 0, 0, 0]] * 3]])
    real = tf.constant([[[True, True, False], [False] * 3]])
    np.testing.assert_allclose(doubly_stochastic_penalty(seen, real), [[0.5**2 + 0.5**2 + 1 + 1, 0]])


def test_pixels_go_through_the_small_encoder(rng):
    model = CaptioningModel(IDS, None, CaptioningOptions(units=8, embedding_size=6))
    pixels = rng.integers(0, 256, (2, 20, 16, 3), np.uint8)
    outputs, weights = model(pixels, CAPTIONS[:2])
    assert outputs.shape == (2, 2, 5, 8)
    assert weights.shape == (2, 2, 5, 3 * 2)
    moved, _ = model(np.roll(pixels, 8, axis=1), CAPTIONS[:2])
    assert np.abs(outputs - moved).max() > 1e-6


def test_dropout_is_for_training_alone_and_follows_the_seed(rng):
    features = images(rng)
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        model = model_of(dropout=0.4, word_dropout=0.3, seed=5)
        first, _ = model(features, CAPTIONS, training=True)
        second, _ = model(features, CAPTIONS, training=True)
        quiet = [model(features, CAPTIONS)[0].numpy() for _ in range(2)]
        np.testing.assert_array_equal(*quiet)
        assert np.abs(first - second).max() > 1e-3
        results.append(first.numpy())
    np.testing.assert_array_equal(*results)


def loss_of(model, features, captions):
    outputs, _ = model(features, captions[..., :-1])
    targets = captions[..., 1:]
    real = targets != PADDING
    logits = model.logits(tf.boolean_mask(outputs, real))
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets[real], logits))


def test_the_first_loss_is_that_of_knowing_nothing(rng):
    model = CaptioningModel(IDS, FEATURES, CaptioningOptions(units=8, embedding_size=64, tie_embeddings=True))
    assert abs(float(loss_of(model, images(rng), CAPTIONS)) - math.log(IDS)) < 0.5


def test_a_few_images_are_learnt_by_heart_and_written(rng):
    model = CaptioningModel(IDS, FEATURES, CaptioningOptions(units=16, embedding_size=8))
    features = images(rng)
    captions = np.array(
        [[[START, 4, 5, 6, END]], [[START, 7, 5, END, 0]], [[START, 8, 9, 10, END]]], np.int32
    )
    optimizer = keras.optimizers.Adam(0.02)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(model, features, captions)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    step()
    for _ in range(80):
        loss = step()
    assert loss < 0.05
    found = model.caption(tf.constant(features), Beams(2), longest=6)
    assert found.ids[:, 0, :3].numpy().tolist() == [[4, 5, 6], [7, 5, END], [8, 9, 10]]
    np.testing.assert_allclose(tf.reduce_sum(found.alignments[0, 0, :4], axis=1), 1, atol=1e-5)


def test_configuration_and_weights_make_the_same_model(rng, tmp_path):
    model, features = model_of(layers=2, image_as="input", attention="scaled"), images(rng)
    other = CaptioningModel.from_config(model.get_config())
    other(features, CAPTIONS)
    other.logits(tf.zeros([1, 8]))
    model.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(model(features, CAPTIONS)[0], other(features, CAPTIONS)[0])


@pytest.mark.parametrize("options", VARIANTS)
def test_captions_are_drawn_as_they_are_trained_on(rng, options):
    model = model_of(**options)
    drawn = model.draw_texts(model.encode(images(rng)), 4, tf.constant(6)).numpy()
    assert drawn.shape[:2] == (3, 4)
    assert drawn.shape[2] <= 7
    assert (drawn[..., 0] == START).all()
    for caption in drawn.reshape(12, -1)[:, 1:]:
        length = np.count_nonzero(caption)
        assert not caption[length:].any()
        # The end is there unless the caption is as long as it may be.
        assert (caption[:length] == END).sum() == (length < 6 or caption[5] == END)
        assert not np.isin(caption[:length], [PADDING, UNKNOWN, START]).any()


def test_captions_are_drawn_from_the_distribution(rng):
    model, seen = model_of(), images(rng, 1)
    drawn = model.draw_texts(model.encode(seen), 4000, tf.constant(2)).numpy()[0, :, 1]
    again = model.draw_texts(model.encode(seen), 4000, tf.constant(2)).numpy()[0, :, 1]
    assert (drawn != again).any()
    outputs, _ = model(seen, np.array([[[START]]], np.int32))
    probabilities = tf.nn.softmax(model.logits(outputs[0, 0]))[0].numpy()
    probabilities[[PADDING, UNKNOWN, START]] = 0
    found = np.bincount(drawn, minlength=IDS) / 4000
    np.testing.assert_allclose(found, probabilities / probabilities.sum(), atol=0.03)
