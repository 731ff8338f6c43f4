"""The custom layers against stock Keras, against a NumPy oracle, and against autodiff of a plain loop."""

import json
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.recurrent import GRU, LSTM, SimpleRNN
from unroll.models.recurrent.loop import RecurrentWeights, block_edges

BATCH, TIME, FEATURES, UNITS = 20, 7, 3, 4
PAIRS = {
    "lstm": (LSTM, keras.layers.LSTM),
    "simple_rnn": (SimpleRNN, keras.layers.SimpleRNN),
    "gru": (GRU, keras.layers.GRU),
    "gru_reset_before": (partial(GRU, reset_after=False), partial(keras.layers.GRU, reset_after=False)),
}
RIGHT_PADDED = np.arange(TIME) < np.resize([7, 3, 1, 0, 5], BATCH)[:, None]
HOLES = np.random.default_rng(7).random((BATCH, TIME)) < 0.5
# Rows of all kinds stand in one batch: full, padded at the right and at the left, with holes, and without any step.
ANY = np.concatenate([RIGHT_PADDED[:5], RIGHT_PADDED[:5, ::-1], HOLES[:10]])
MASKS = {"none": None, "any": ANY}


@pytest.fixture(params=PAIRS)
def cell(request):
    return request.param


@pytest.fixture
def x(rng):
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def states(cell, rng):
    return [
        tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(2 if cell == "lstm" else 1)
    ]


def randomize(layer, rng):
    layer.set_weights([rng.normal(size=w.shape, scale=0.7).astype("float32") for w in layer.get_weights()])


def outputs_and_gradients(layer, x, **call):
    """All outputs, and the gradients of a loss that weighs each of them differently."""
    x = tf.convert_to_tensor(x)
    initial = call.get("initial_state") or []
    with tf.GradientTape() as tape:
        tape.watch([x, *initial])
        outputs = tf.nest.flatten(layer(x, **call))
        loss = tf.add_n(
            [
                tf.reduce_sum(o * tf.sin(tf.reshape(tf.range(tf.size(o), dtype=o.dtype), tf.shape(o))))
                for o in outputs
            ]
        )
    variables = [w.value for w in layer.trainable_variables]
    gradients = tape.gradient(loss, [x, *initial, *variables], unconnected_gradients="zero")
    return outputs, gradients


def assert_same(ours, theirs, tolerance=1e-5):
    for kind in (0, 1):
        assert len(ours[kind]) == len(theirs[kind])
        for a, b in zip(ours[kind], theirs[kind], strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def assert_equals_stock(cell, x, rng, options, call):
    ours, stock = (kind(UNITS, **options) for kind in PAIRS[cell])
    ours.build(x.shape)
    stock.build(x.shape)
    randomize(stock, rng)
    ours.set_weights(stock.get_weights())
    assert_same(outputs_and_gradients(ours, x, **call), outputs_and_gradients(stock, x, **call))


@pytest.mark.parametrize("zero_output_for_mask", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_stock_for_any_mask(cell, x, rng, mask, return_sequences, go_backwards, zero_output_for_mask):
    options = {
        "return_sequences": return_sequences,
        "go_backwards": go_backwards,
        "zero_output_for_mask": zero_output_for_mask,
        "return_state": True,
    }
    call = {
        "mask": None if MASKS[mask] is None else tf.constant(MASKS[mask]),
        "initial_state": states(cell, rng),
    }
    assert_equals_stock(cell, x, rng, options, call)


ACTIVATIONS = ["linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softsign", "softplus", "elu"]


# The activation is the same code in all cells; of the larger ones some kinds of it are enough.
@pytest.mark.parametrize(
    ("cell", "activation"),
    [("simple_rnn", activation) for activation in ACTIVATIONS]
    + [
        (cell, activation)
        for cell in ("lstm", "gru", "gru_reset_before")
        for activation in ("linear", "relu", "elu")
    ],
)
def test_equals_stock_for_any_activation(cell, x, rng, activation):
    options = {"activation": activation, "return_sequences": True}
    assert_equals_stock(cell, x * 0.3, rng, options, {"mask": tf.constant(ANY)})


@pytest.mark.parametrize("recurrent_activation", ["hard_sigmoid", "relu", "tanh"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_before"])
def test_equals_stock_for_any_recurrent_activation(cell, x, rng, recurrent_activation):
    # Gates above 1 let a GRU's state grow, and float32 rounds its gradients by more than the tolerance.
    options = {"recurrent_activation": recurrent_activation, "dtype": "float64"}
    assert_equals_stock(cell, x * 0.3, rng, options, {})


def test_equals_stock_without_bias(cell, x, rng):
    assert_equals_stock(cell, x, rng, {"use_bias": False, "return_sequences": True}, {})


def test_equals_stock_with_regularizers_and_constraints(cell, x, rng):
    options = {
        "kernel_regularizer": "l2",
        "recurrent_regularizer": "l1",
        "bias_regularizer": "l2",
        "kernel_constraint": "max_norm",
        "recurrent_constraint": "unit_norm",
        "bias_constraint": "non_neg",
    }
    if cell != "simple_rnn":
        # Stock SimpleRNN takes an activity regulariser and ignores it.
        options["activity_regularizer"] = "l2"
    trained = []
    for kind in PAIRS[cell]:
        layer = kind(UNITS, **options)
        model = keras.Sequential([keras.Input((TIME, FEATURES)), layer, keras.layers.Dense(1)])
        weights = np.random.default_rng(1)
        randomize(model, weights)
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        model.fit(x, np.ones((BATCH, 1)), epochs=3, verbose=0)
        model(x)
        trained.append((model.losses, model.get_weights()))
    assert_same(*trained)


def test_initial_weights_are_those_of_stock(cell, x):
    def weights(kind):
        layer = kind(
            UNITS,
            kernel_initializer=keras.initializers.GlorotNormal(seed=1),
            recurrent_initializer=keras.initializers.Orthogonal(seed=2),
            bias_initializer=keras.initializers.RandomNormal(seed=3),
        )
        layer.build(x.shape)
        return layer.get_weights()

    for ours, stock in zip(*map(weights, PAIRS[cell]), strict=True):
        np.testing.assert_array_equal(ours, stock)


def test_input_dropout_drops_the_same_features_at_all_steps(cell):
    layer = PAIRS[cell][0](UNITS, dropout=0.5, seed=1, return_sequences=True)
    layer.build((None, None, FEATURES))
    masks = layer.dropout_mask(0.5, 1000, FEATURES).numpy()
    assert set(np.unique(masks)) == {0, 2}
    assert abs(masks.mean() - 1) < 0.1
    x = tf.ones((1, TIME, FEATURES))
    np.testing.assert_array_equal(layer(x, training=False), layer(x))
    assert not np.allclose(layer(x, training=True), layer(x))


class PlainLoop:
    """The layers' definition, step by step through the public `step`, left to autodiff."""

    def __init__(self, layer, dropout_mask=None, zoneout=None):
        self.layer = layer
        self.dropout_mask = dropout_mask
        self.zoneout = zoneout
        self.trainable_variables = layer.trainable_variables

    def __call__(self, x, mask=None, initial_state=None):
        layer, block = self.layer, self.layer.truncate_gradient
        mask = np.ones((BATCH, TIME), bool) if mask is None else np.asarray(mask)
        state = tuple(initial_state or layer.get_initial_state(BATCH))
        outputs = []
        order = range(TIME - 1, -1, -1) if layer.go_backwards else range(TIME)
        remaining = mask.sum(axis=1)
        started = np.zeros(BATCH, bool)
        for t in order:
            cut = mask[:, t] & started & (block is not None) & (remaining % (block or 1) == 0)
            before = tuple(tf.where(cut[:, None], tf.stop_gradient(s), s) for s in state)
            _, new = layer.step(layer.project(x[:, t]), before, self.dropout_mask)
            if self.zoneout is not None:
                step = len(outputs)
                new = [tf.where(z[step] > 0, s, n) for n, s, z in zip(new, before, self.zoneout, strict=True)]
            state = tuple(tf.where(mask[:, t, None], n, s) for n, s in zip(new, state, strict=True))
            remaining = remaining - mask[:, t]
            started = started | mask[:, t]
            outputs.append(tf.where(started[:, None], state[0], 0.0))
        return tf.stack(outputs, axis=1) if layer.return_sequences else outputs[-1], *state


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("block", [None, 1, 2, 3, 7, 50])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_autodiff_of_a_plain_loop(cell, x, rng, mask, block, return_sequences, go_backwards):
    layer = PAIRS[cell][0](
        UNITS,
        truncate_gradient=block,
        return_sequences=return_sequences,
        go_backwards=go_backwards,
        return_state=True,
    )
    layer.build(x.shape)
    randomize(layer, rng)
    call = {
        "mask": None if MASKS[mask] is None else tf.constant(MASKS[mask]),
        "initial_state": states(cell, rng),
    }
    assert_same(outputs_and_gradients(layer, x, **call), outputs_and_gradients(PlainLoop(layer), x, **call))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_of_gradients_equal_autodiff_of_a_plain_loop(cell, x, rng):
    layer = PAIRS[cell][0](UNITS, return_sequences=True, return_state=True)
    layer.build(x.shape)
    randomize(layer, rng)
    x, mask = tf.constant(x), tf.constant(ANY)

    def second(layer):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(layer(x, mask=mask)[0]))
            norm = tf.reduce_sum(tf.square(inner.gradient(loss, x)))
        return [norm], outer.gradient(norm, [x, *[w.value for w in layer.trainable_variables]])

    assert_same(second(layer), second(PlainLoop(layer)), tolerance=1e-4)


def test_recurrent_dropout_equals_autodiff_of_a_plain_loop(cell, x, rng, monkeypatch):
    layer = PAIRS[cell][0](
        UNITS, recurrent_dropout=0.5, truncate_gradient=3, return_sequences=True, return_state=True
    )
    layer.build(x.shape)
    randomize(layer, rng)
    drawn = layer.dropout_mask(0.5, BATCH, UNITS)
    monkeypatch.setattr(layer, "dropout_mask", lambda *_: drawn)
    mask = tf.constant(ANY)
    ours = outputs_and_gradients(layer, x, mask=mask, training=True)
    assert_same(ours, outputs_and_gradients(PlainLoop(layer, drawn), x, mask=mask))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("training", [False, True])
def test_zoneout_equals_autodiff_of_a_plain_loop(cell, x, rng, monkeypatch, mask, go_backwards, training):
    layer = PAIRS[cell][0](
        UNITS,
        zoneout=0.4,
        truncate_gradient=3,
        return_sequences=True,
        return_state=True,
        go_backwards=go_backwards,
    )
    layer.build(x.shape)
    randomize(layer, rng)
    drawn = layer._zoneout(tf.constant([TIME, BATCH, FEATURES]), training)
    assert len(drawn) == len(layer.state_names)
    monkeypatch.setattr(layer, "_zoneout", lambda *_: drawn)
    mask = None if MASKS[mask] is None else tf.constant(MASKS[mask])
    ours = outputs_and_gradients(layer, x, mask=mask, training=training)
    if training:
        assert 0.2 < np.mean(drawn) < 0.6
        assert {*np.unique(drawn)} == {0, 1}
        # Each step draws for itself; a step by itself keeps the mean share.
        assert (drawn[0][0] != drawn[0][1]).numpy().any()
        layer.zoneout = 0.0
    assert_same(
        ours, outputs_and_gradients(PlainLoop(layer, zoneout=drawn if training else None), x, mask=mask)
    )


def test_weight_drop_equals_autodiff_of_a_plain_loop(cell, x, rng, monkeypatch):
    layer = PAIRS[cell][0](UNITS, weight_drop=0.5, return_sequences=True, return_state=True)
    layer.build(x.shape)
    randomize(layer, rng)
    whole = np.array(layer.recurrent_kernel)
    kept = layer.recurrent_weights(training=True).kernel.numpy() / whole
    assert {*np.unique(kept.round(4))} == {0, 2}
    assert np.array_equal(layer.recurrent_weights().kernel, whole)
    assert not np.array_equal(layer(x, training=True)[0], layer(x, training=True)[0])
    _, bias = layer.recurrent_weights()

    def dropped(training=False):
        return RecurrentWeights(layer.weight(layer.recurrent_kernel) * kept, bias)

    monkeypatch.setattr(layer, "recurrent_weights", dropped)
    _, (_, _, d_kernel, *_) = ours = outputs_and_gradients(layer, x, training=True)
    assert (np.asarray(d_kernel)[kept == 0] == 0).all()
    assert_same(ours, outputs_and_gradients(PlainLoop(layer), x))


def test_truncation_reaches_exactly_that_many_steps(cell, x, rng):
    layer = PAIRS[cell][0](UNITS, truncate_gradient=3)
    layer.build(x.shape)
    _, (dx, *_) = outputs_and_gradients(layer, x, mask=tf.constant(RIGHT_PADDED))
    reached = np.abs(dx).sum(axis=2) > 0
    lengths = RIGHT_PADDED.sum(axis=1)
    steps = np.arange(TIME)
    expected = (steps < lengths[:, None]) & (steps >= lengths[:, None] - 3)
    np.testing.assert_array_equal(reached, expected)


def test_block_edges_count_back_from_the_last_real_step():
    real = np.array([[0, 1, 1, 1, 1, 1, 0], [1, 1, 0, 1, 1, 0, 0]], bool)
    cut = block_edges(tf.constant(real.T[..., None]), 2)[..., 0].numpy().T
    np.testing.assert_array_equal(cut, [[0, 0, 1, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0, 0]])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_lstm(x, kernel, recurrent_kernel, bias):
    h = c = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        z_i, z_f, z_g, z_o = np.split(x[:, t] @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        c = sigmoid(z_f) * c + sigmoid(z_i) * np.tanh(z_g)
        h = sigmoid(z_o) * np.tanh(c)
    return h


def numpy_simple_rnn(x, kernel, recurrent_kernel, bias):
    h = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ kernel + h @ recurrent_kernel + bias)
    return h


def numpy_gru(x, kernel, recurrent_kernel, bias):
    bias, recurrent_bias = bias
    h = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        x_z, x_r, x_c = np.split(x[:, t] @ kernel + bias, 3, axis=1)
        h_z, h_r, h_c = np.split(h @ recurrent_kernel + recurrent_bias, 3, axis=1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        h = z * h + (1 - z) * np.tanh(x_c + r * h_c)
    return h


def numpy_gru_reset_before(x, kernel, recurrent_kernel, bias):
    u_z, u_r, u_c = np.split(recurrent_kernel, 3, axis=1)
    h = np.zeros((len(x), UNITS))
    for t in range(x.shape[1]):
        x_z, x_r, x_c = np.split(x[:, t] @ kernel + bias, 3, axis=1)
        z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
        h = z * h + (1 - z) * np.tanh(x_c + (r * h) @ u_c)
    return h


ORACLES = {
    "lstm": numpy_lstm,
    "simple_rnn": numpy_simple_rnn,
    "gru": numpy_gru,
    "gru_reset_before": numpy_gru_reset_before,
}


@pytest.mark.parametrize("mask", [None, RIGHT_PADDED], ids=["none", "right_padded"])
def test_equals_numpy_oracle_and_its_numeric_gradient(cell, rng, mask):
    layer = PAIRS[cell][0](UNITS, dtype="float64")
    x = rng.normal(size=(BATCH, TIME, FEATURES))
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape, scale=0.7) for w in layer.get_weights()])
    oracle = ORACLES[cell]
    lengths = [TIME] * BATCH if mask is None else mask.sum(axis=1)

    def loss(*weights):
        rows = [oracle(x[b : b + 1, :n], *weights) for b, n in enumerate(lengths) if n]
        return np.sin(np.concatenate(rows)).sum()

    with tf.GradientTape() as tape:
        ours = tf.reduce_sum(tf.sin(layer(tf.constant(x), mask=None if mask is None else tf.constant(mask))))
    weights = layer.get_weights()
    np.testing.assert_allclose(ours, loss(*weights), rtol=1e-10)
    gradients = tape.gradient(ours, [w.value for w in layer.trainable_variables])
    for index, gradient in enumerate(gradients):
        for position in [tuple(rng.integers(weights[index].shape)) for _ in range(6)]:
            values = []
            for delta in (1e-5, -1e-5):
                moved = [w.copy() for w in weights]
                moved[index][position] += delta
                values.append(loss(*moved))
            np.testing.assert_allclose(gradient.numpy()[position], (values[0] - values[1]) / 2e-5, atol=1e-7)


def test_padding_and_companions_change_nothing(cell, rng):
    layer = PAIRS[cell][0](UNITS, return_sequences=True)
    row = rng.normal(size=(1, 4, FEATURES)).astype("float32")
    batch = rng.normal(size=(BATCH, 9, FEATURES)).astype("float32")
    batch[2, 5:] = row
    mask = np.ones((BATCH, 9), bool)
    mask[2, :5] = False
    np.testing.assert_allclose(layer(batch, mask=tf.constant(mask))[2, 5:], layer(row)[0], atol=1e-5)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_bidirectional_equals_stock(cell, x, rng, mask, return_sequences, merge_mode):
    options = {"return_sequences": return_sequences, "return_state": True}
    ours, stock = (
        keras.layers.Bidirectional(kind(UNITS, **options), merge_mode=merge_mode) for kind in PAIRS[cell]
    )
    ours.build(x.shape)
    stock.build(x.shape)
    randomize(stock, rng)
    ours.set_weights(stock.get_weights())
    call = {"mask": None if MASKS[mask] is None else tf.constant(MASKS[mask])}
    assert_same(outputs_and_gradients(ours, x, **call), outputs_and_gradients(stock, x, **call))


def token_model(kind, **options):
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(20, 8, mask_zero=True),
            keras.layers.Bidirectional(kind(UNITS, return_sequences=True, **options)),
            kind(UNITS, **options),
            keras.layers.Dense(1),
        ]
    )


# What a GRU adds is compared above.
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm"])
def test_fit_equals_stock(cell, rng):
    tokens = rng.integers(0, 20, size=(64, 11))
    targets = rng.normal(size=(64, 1))
    weights = []
    for kind in PAIRS[cell]:
        model = token_model(kind)
        randomize(model, np.random.default_rng(1))
        # Keras' default, XLA, takes seconds; `test_xla_equals_plain_graph` has it for all cells.
        model.compile("sgd", "mse", jit_compile=cell == "simple_rnn")
        keras.utils.set_random_seed(5)
        model.fit(tokens, targets, batch_size=16, epochs=2, verbose=0)
        weights.append(model.get_weights())
    assert_same([weights[0], []], [weights[1], []])


def test_saves_and_loads_as_keras_file(cell, rng, tmp_path):
    model = token_model(PAIRS[cell][0], dropout=0.1, recurrent_dropout=0.2, truncate_gradient=4, seed=1)
    tokens = rng.integers(0, 20, size=(6, 11))
    expected = model(tokens)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tokens), expected)
    assert loaded.layers[2].get_config() == model.layers[2].get_config()


def test_mixed_bfloat16(cell, x):
    layer = PAIRS[cell][0](UNITS, dtype="mixed_bfloat16", return_sequences=True)
    stock = PAIRS[cell][1](UNITS, dtype="mixed_bfloat16", return_sequences=True)
    layer.build(x.shape)
    stock.build(x.shape)
    stock.set_weights(layer.get_weights())
    ours, gradients = outputs_and_gradients(layer, tf.cast(x, tf.bfloat16))
    assert ours[0].dtype == tf.bfloat16
    assert [g.dtype for g in gradients[1:]] == [tf.float32] * 3
    theirs, _ = outputs_and_gradients(stock, tf.cast(x, tf.bfloat16))
    np.testing.assert_allclose(tf.cast(ours[0], tf.float32), tf.cast(theirs[0], tf.float32), atol=0.03)


def test_xla_equals_plain_graph(cell, x, rng):
    layer = PAIRS[cell][0](UNITS, truncate_gradient=2, return_sequences=True)
    layer.build(x.shape)
    randomize(layer, rng)
    mask = tf.constant(ANY)

    def run():
        return outputs_and_gradients(layer, x, mask=mask)

    assert_same(tf.function(run, jit_compile=True)(), tf.function(run)())


def test_one_trace_serves_all_lengths(cell):
    layer = PAIRS[cell][0](UNITS)
    layer.build((None, None, FEATURES))

    @tf.function(input_signature=[tf.TensorSpec([None, None, FEATURES])])
    def call(x):
        return layer(x)

    for batch, length in ((1, 3), (4, 9), (2, 1)):
        assert call(tf.ones((batch, length, FEATURES))).shape == (batch, UNITS)
    assert call.experimental_get_tracing_count() == 1


def test_irnn_copies_its_state_at_first():
    layer = SimpleRNN.irnn(UNITS)
    layer.build((None, None, FEATURES))
    state = tf.constant([[1.0, 2.0, 0.0, 3.0]])
    np.testing.assert_array_equal(layer(tf.zeros((1, 30, FEATURES)), initial_state=state), state)


def test_new_lstm_remembers():
    layer = LSTM(UNITS)
    layer.build((None, None, FEATURES))
    np.testing.assert_array_equal(layer.bias[UNITS : 2 * UNITS], np.ones(UNITS))
    plain = LSTM(UNITS, unit_forget_bias=False)
    plain.build((None, None, FEATURES))
    np.testing.assert_array_equal(plain.bias, np.zeros(4 * UNITS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "gelu"}, "'gelu' is not known.*use one of"),
        ({"activation": keras.ops.sin}, "not known"),
        ({"truncate_gradient": 0}, "at least 1"),
        ({"truncate_gradient": 2.5}, "truncate_gradient is 2.5; give a number of steps, at least 1, or None"),
        ({"truncate_gradient": "2"}, "truncate_gradient is '2'; give"),
        ({"truncate_gradient": True}, "truncate_gradient is True; give"),
        ({"dropout": 1.0}, "up to, but not including, 1"),
        ({"dropout": "x"}, "dropout is 'x'; give a share"),
        ({"dropout": None}, "dropout is None; give a share"),
        ({"dropout": float("nan")}, "dropout is nan; give a share"),
        ({"recurrent_dropout": [0.1]}, "recurrent_dropout is .0.1.; give a share"),
        ({"units": "4"}, "units is '4'; give the number of units, at least 1"),
        ({"units": 4.0}, "units is 4.0; give"),
        ({"units": 0}, "units is 0; give"),
        ({"units": None}, "units is None; give"),
        ({"units": True}, "units is True; give"),
    ],
)
def test_wrong_options_say_what_to_do(cell, options, message):
    with pytest.raises(ValueError, match=message):
        PAIRS[cell][0](**{"units": UNITS} | options)


def test_numbers_of_numpy_are_options():
    layer = LSTM(np.int64(3), dropout=np.float32(0.5), truncate_gradient=np.int32(2))
    config = json.loads(json.dumps(layer.get_config()))
    assert (config["units"], config["dropout"], config["truncate_gradient"]) == (3, 0.5, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"mask": np.ones((BATCH, TIME - 1))},
            r"mask has the shape \[{0}, {2}\]; give a mask .* \[{0}, {1}\]",
        ),
        ({"mask": np.ones((BATCH + 1, TIME))}, "mask has the shape"),
        ({"mask": np.ones(TIME)}, "mask has the shape"),
        ({"mask": np.ones((BATCH, TIME, 1))}, "mask has the shape"),
        (
            {"initial_state": tf.zeros((BATCH, UNITS + 1))},
            r"initial_state has the shape .* states \[batch, units\]",
        ),
        ({"initial_state": tf.zeros((1, UNITS))}, "initial_state has the shape"),
        ({"initial_state": tf.zeros(UNITS)}, "initial_state has the shape"),
    ],
)
def test_inputs_of_a_wrong_shape_say_so(x, given, message):
    with pytest.raises(ValueError, match=message.format(BATCH, TIME, TIME - 1)):
        GRU(UNITS)(x, **given)


def test_inputs_with_other_features_say_so(cell, x):
    layer = PAIRS[cell][0](UNITS)
    layer.build((None, None, FEATURES + 1))
    with pytest.raises(ValueError, match=f"expected axis -1 of input shape to have value {FEATURES + 1}"):
        layer(x)


def test_a_keras_file_names_the_import_that_it_needs(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input([None, FEATURES]), LSTM(UNITS)]).save(path)
    # As in a process that has not imported the layers.
    monkeypatch.delitem(keras.saving.get_custom_objects(), "unroll>LSTM")
    with pytest.raises(TypeError, match=r"all imported.*'module': 'unroll\.models\.recurrent"):
        keras.saving.load_model(path)


def test_wrong_number_of_states_says_so(x):
    with pytest.raises(ValueError, match="LSTM has 2 state"):
        LSTM(UNITS)(x, initial_state=[tf.zeros((BATCH, UNITS))])


def test_eager_gradients_of_layers_of_any_size(cell):
    for units in (1, 2, 3):
        layer = PAIRS[cell][0](units)
        _, gradients = outputs_and_gradients(layer, np.ones((2, 3, units), np.float32))
        assert gradients[0].shape == (2, 3, units)


def test_step_outside_a_call_under_mixed_precision(cell, x):
    layer = PAIRS[cell][0](UNITS, dtype="mixed_bfloat16")
    layer.build(x.shape)
    inputs = tf.cast(x, tf.bfloat16)
    output, _ = layer.step(layer.project(inputs[:, 0]), layer.get_initial_state(BATCH))
    np.testing.assert_array_equal(tf.cast(output, tf.float32), tf.cast(layer(inputs[:, :1]), tf.float32))


def test_a_function_that_only_has_the_name_of_an_activation_is_refused(cell):
    def relu(x):
        return keras.activations.leaky_relu(x)

    with pytest.raises(ValueError, match="not known"):
        PAIRS[cell][0](UNITS, activation=relu)
    assert PAIRS[cell][0](UNITS, activation=keras.activations.relu).activation.name == "relu"
