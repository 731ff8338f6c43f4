"""The sentiment classifier and its poolings."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.blocks.pooling import POOLINGS
from unroll.models.blocks.precision import dtype_policy
from unroll.models.options import SentimentOptions
from unroll.models.recurrent import CELLS
from unroll.models.sentiment import SentimentClassifier
from unroll.models.text import UNKNOWN

BATCH, TIME, FEATURES = 5, 6, 3
MASKS = {
    "full": np.ones((BATCH, TIME), bool),
    "right_padded": np.arange(TIME) < np.array([6, 3, 1, 0, 5])[:, None],
    "left_padded": np.arange(TIME) >= np.array([0, 3, 5, 6, 2])[:, None],
    "holes": np.random.default_rng(1).random((BATCH, TIME)) < 0.5,
    "empty": np.zeros((BATCH, TIME), bool),
}
WORDS = 30


def softmax(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def attention(layer, steps):
    hidden = np.tanh(steps @ np.array(layer.hidden.kernel) + np.array(layer.hidden.bias))
    return softmax(hidden @ np.array(layer.query)[:, 0]) @ steps


# The real steps of one row into one vector.
ORACLES = {
    "last": lambda layer, steps: steps[-1],
    "mean": lambda layer, steps: steps.mean(axis=0),
    "max": lambda layer, steps: steps.max(axis=0),
    "attention": attention,
}


@pytest.fixture(params=POOLINGS)
def pooling(request):
    return request.param


@pytest.fixture(autouse=True)
def same_weights_each_time():
    keras.utils.set_random_seed(0)


def built_pooling(pooling, rng):
    layer = POOLINGS[pooling]()
    layer.build((None, None, FEATURES))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_pooling_equals_numpy_whatever_stands_at_masked_steps(pooling, mask, rng):
    layer = built_pooling(pooling, rng)
    # Below zero, so that zeros of padding would be the largest.
    sequences = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32") - 2
    expected = np.zeros((BATCH, FEATURES))
    for row in np.flatnonzero(mask.any(axis=1)):
        expected[row] = ORACLES[pooling](layer, sequences[row, mask[row]])
    for filler in (0, 1e9, -1e9):
        filled = np.where(mask[..., None], sequences, np.float32(filler))
        np.testing.assert_allclose(layer(filled, mask=tf.constant(mask)), expected, rtol=1e-5, atol=1e-6)


def test_pooling_has_finite_gradients_and_none_at_masked_steps(pooling, rng):
    layer = built_pooling(pooling, rng)
    mask = MASKS["holes"] & np.array([1, 1, 0, 1, 1], bool)[:, None]
    sequences = tf.constant(rng.normal(size=(BATCH, TIME, FEATURES)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(sequences)
        loss = tf.reduce_sum(tf.square(layer(sequences, mask=tf.constant(mask))))
    gradients = tape.gradient(loss, [sequences, *[weight.value for weight in layer.trainable_variables]])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert not gradients[0].numpy()[~mask].any()
    assert gradients[0].numpy()[mask].any()


def make_model(classes=3, seed=0, **options):
    options = SentimentOptions(**{"units": 5, "embedding_size": 4, **options})
    return SentimentClassifier(WORDS, classes, options, seed=seed)


def random_texts(rng, lengths):
    return [rng.integers(1, WORDS, size=length).astype("int32") for length in lengths]


def padded(texts, time, positions):
    """A batch with each text's ids, in order, at the positions that `positions(length)` chooses."""
    batch = np.zeros((len(texts), time), "int32")
    for row, text in zip(batch, texts, strict=True):
        row[positions(len(text))] = text
    return batch


WIDE = {"ngrams": 2, "ngram_buckets": 50}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_and_the_rest_of_the_batch_change_nothing(cell, pooling, bidirectional, rng):
    check_padding_changes_nothing({"cell": cell, "pooling": pooling, "bidirectional": bidirectional}, rng)


@pytest.mark.parametrize("options", [{**WIDE, "cell": "none"}, {**WIDE, "segment": 3}, {"segment": 20}])
def test_padding_changes_nothing_with_ngrams_and_segments(options, rng):
    check_padding_changes_nothing(options, rng)


def check_padding_changes_nothing(options, rng):
    model = make_model(**options)
    model(np.ones((1, 1), "int32"))
    # Weights far from their small start, so that every input matters.
    model.set_weights([rng.normal(size=weight.shape, scale=0.7) for weight in model.get_weights()])
    texts = random_texts(rng, (5, 1, 8))
    alone = np.concatenate([model(text[None]) for text in texts])
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    for order, positions in (
        ([0, 1, 2], np.arange),
        ([2, 1, 0], lambda length: np.arange(12 - length, 12)),
        ([1, 0], lambda length: np.sort(rng.permutation(12)[:length])),
    ):
        batch = padded([texts[number] for number in order], 12, positions)
        np.testing.assert_allclose(model(batch), alone[order], atol=1e-5)


def log_odds(logits, labels):
    others = [np.logaddexp.reduce(np.delete(row, label)) for row, label in zip(logits, labels, strict=True)]
    return np.array([row[label] for row, label in zip(logits, labels, strict=True)]) - others


@pytest.mark.parametrize(
    "options",
    [
        # Truncation cuts no gradient here: nobody trains.
        {"cell": "lstm", "pooling": "max", "truncate_gradient": 2},
        {"cell": "gru", "pooling": "attention", **WIDE, "segment": 3},
        {"cell": "simple_rnn", "pooling": "last"},
        {"cell": "none", **WIDE},
    ],
)
def test_contributions_sum_to_the_log_odds_beyond_those_of_unknown_words(options, rng):
    model = make_model(**options)
    model(np.ones((1, 1), "int32"))
    model.set_weights([rng.normal(size=weight.shape, scale=0.5) for weight in model.get_weights()])
    explain = tf.function(model.explain, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    ids = padded(random_texts(rng, (7, 3, 0)), 9, np.arange)
    ids[0, 2] = UNKNOWN
    logits, contributions = (tensor.numpy() for tensor in explain(ids))
    np.testing.assert_allclose(logits, model(ids), atol=1e-5)
    labels = logits.argmax(axis=1)
    expected = log_odds(logits, labels) - log_odds(model(np.minimum(ids, UNKNOWN)).numpy(), labels)
    np.testing.assert_allclose(contributions.sum(axis=1), expected, atol=0.06)
    assert not contributions[0, 2]
    assert not contributions[ids == 0].any()
    assert np.abs(contributions[:2]).max() > 0.003
    # The rest of the batch changes nothing, and a batch may be empty.
    np.testing.assert_allclose(explain(ids[1:2, :3])[1], contributions[1:2, :3], atol=1e-5)
    assert [tensor.shape for tensor in explain(ids[:0])] == [(0, 3), (0, 9)]


def test_a_batch_of_padding_alone_gives_the_bias(pooling):
    model = make_model(pooling=pooling)
    model(np.ones((1, 1), "int32"))
    model.logits.bias.assign([0.5, -1.0, 2.0])
    for time in (1, 7):
        logits = model(np.zeros((2, time), "int32"))
        np.testing.assert_allclose(logits, [[0.5, -1.0, 2.0]] * 2)


@pytest.mark.parametrize(("classes", "cell"), [(2, "lstm"), (5, "simple_rnn"), (40, "lstm")])
def test_the_first_loss_is_that_of_guessing(classes, cell, rng):
    model = make_model(classes, cell=cell, units=32, embedding_size=32)
    ids = rng.integers(1, WORDS, size=(64, 20))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert float(loss(rng.integers(0, classes, size=64), model(ids))) == pytest.approx(
        np.log(classes), abs=0.05
    )


@tf.function
def training_gradients(model, ids):
    """The gradient of the squared logits in training for each trainable variable."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(ids, training=True)))
    return tape.gradient(loss, [weight.value for weight in model.trainable_variables])


@pytest.mark.parametrize(("cell", "bidirectional"), [("lstm", True), ("simple_rnn", False)])
def test_every_weight_is_trained(cell, bidirectional, rng):
    model = make_model(
        cell=cell,
        bidirectional=bidirectional,
        pooling="attention",
        layers=2,
        dropout=0.2,
        recurrent_dropout=0.2,
        word_dropout=0.2,
    )
    ids = padded(random_texts(rng, (9, 4, 6, 7)), 9, np.arange)
    model(ids)
    gradients = training_gradients(model, ids)
    directions = 2 if bidirectional else 1
    assert len(model.trainable_variables) == len(gradients) == 1 + 2 * directions * 3 + 3 + 2
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, weight.path


@pytest.mark.parametrize("cell", CELLS)
def test_fit_learns_sixteen_examples_by_heart(cell, rng):
    model = make_model(cell=cell, units=16, embedding_size=16)
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    ids = padded(random_texts(rng, range(3, 19)), 18, np.arange)
    labels = rng.integers(0, 3, size=16)
    losses = model.fit(ids, labels, batch_size=16, epochs=40, verbose=0).history["loss"]
    assert losses[0] > 1
    loss, accuracy = model.evaluate(ids, labels, verbose=0)
    assert loss < 0.1
    assert accuracy == 1


def test_word_dropout_hides_words_but_not_padding_and_only_in_training(rng):
    model = make_model(word_dropout=1.0)
    ids = padded(random_texts(rng, (3, 8, 0)), 8, np.arange)
    hidden = np.where(ids > 0, UNKNOWN, 0)
    np.testing.assert_allclose(model(ids, training=True), model(hidden), atol=1e-6)
    assert np.abs(model(ids) - model(hidden)).max() > 1e-3


def test_word_dropout_hides_the_share_asked_for(rng):
    model = make_model(word_dropout=0.3)
    ids = rng.integers(2, WORDS, size=(20, 200))
    model(ids)
    assert model.trainable_variables[0] is model.embedding.embeddings
    # The gradient of an embedding tells which of its rows were looked up.
    looked_up = [training_gradients(model, ids)[0].indices.numpy() for _ in range(2)]
    for words in looked_up:
        assert np.mean(words == UNKNOWN) == pytest.approx(0.3, abs=0.03)
        assert np.all((words == UNKNOWN) | (words == ids.ravel()))
    assert np.mean(looked_up[0] != looked_up[1]) > 0.3


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout", "word_dropout"])
def test_every_dropout_acts_only_in_training(option, rng):
    ids = rng.integers(2, WORDS, size=(4, 9))
    model = make_model(**{option: 0.5})
    plain = make_model()
    plain(ids)
    np.testing.assert_array_equal(model(ids), model(ids, training=False))
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(ids), plain(ids), atol=1e-6)
    first, second = (model(ids, training=True).numpy() for _ in range(2))
    assert np.abs(first - model(ids)).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout", "word_dropout"])
def test_one_seed_drops_the_same(option, rng):
    ids = rng.integers(2, WORDS, size=(4, 9))
    outputs = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(0)
        outputs.append(make_model(seed=seed, **{option: 0.5})(ids, training=True).numpy())
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_segments_are_read_on_their_own_and_pooled_together(rng):
    whole, cut = (make_model(classes=10, pooling="max", **options) for options in ({}, {"segment": 4}))
    ids = padded(random_texts(rng, (4, 8, 10)), 10, np.arange)
    for model in (whole, cut):
        model(ids)
    # The logits are the pooled vector.
    whole.logits.set_weights([np.eye(10), np.zeros(10)])
    cut.set_weights(whole.get_weights())
    np.testing.assert_allclose(cut(ids[:1]), whole(ids[:1]), atol=1e-6)
    segments = [whole(ids[1:2, begin : begin + 4]) for begin in (0, 4)]
    np.testing.assert_allclose(cut(ids[1:2]), np.maximum(*segments), atol=1e-6)
    assert np.abs(cut(ids[1:2]) - whole(ids[1:2])).max() > 1e-4


OPTIONS = {
    "cell": "simple_rnn",
    "layers": 2,
    "units": 3,
    "embedding_size": 4,
    "bidirectional": False,
    "pooling": "last",
    "word_dropout": 0.1,
    "dropout": 0.2,
    "recurrent_dropout": 0.3,
    "truncate_gradient": 5,
}


def test_the_configuration_makes_the_same_model():
    model = SentimentClassifier(WORDS, 4, SentimentOptions(**OPTIONS), seed=7, name="judge")
    config = model.get_config()
    assert config.items() >= {"vocabulary_size": WORDS, "classes": 4, "seed": 7, "name": "judge"}.items()
    assert config["options"].items() >= OPTIONS.items()
    again = SentimentClassifier.from_config(config)
    assert again.get_config() == config
    for one in (model, again):
        one(np.ones((1, 2), "int32"))
    assert [weight.path for weight in again.weights] == [weight.path for weight in model.weights]
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in model.weights]


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "pooling": "attention", "dropout": 0.3},
        {"cell": "simple_rnn", "bidirectional": False, "layers": 2, "truncate_gradient": 3},
        {"cell": "lstm", "bidirectional": False, "pooling": "last", "recurrent_dropout": 0.3},
        {"cell": "simple_rnn", "pooling": "mean", "word_dropout": 0.3},
        {"cell": "none", **WIDE},
        {"cell": "lstm", "segment": 4, **WIDE},
    ],
)
def test_a_keras_file_holds_the_model(options, tmp_path, rng):
    model = make_model(**options)
    ids = padded(random_texts(rng, (5, 0, 9)), 9, np.arange)
    model(ids)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_allclose(loaded(ids), model(ids), atol=1e-6)


def test_logits_are_float32_in_mixed_precision(pooling, rng):
    plain = make_model(pooling=pooling)
    ids = padded(random_texts(rng, (12, 3, 0)), 12, np.arange)
    expected = plain(ids).numpy()
    with dtype_policy("mixed_bfloat16"):
        model = make_model(pooling=pooling)
        model(ids)
        model.set_weights(plain.get_weights())
        logits = model(ids)
    assert model.recurrent.layers[0].compute_dtype == "bfloat16"
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, expected, atol=0.02)
