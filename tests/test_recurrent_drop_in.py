"""Our layers where stock Keras has its own: constructors, calls, models of all kinds, and saved models."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.recurrent import GRU, LSTM, SimpleRNN
from unroll.models.recurrent.stock import converted

BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 5
PAIRS = {
    "lstm": (LSTM, keras.layers.LSTM),
    "gru": (GRU, keras.layers.GRU),
    "simple_rnn": (SimpleRNN, keras.layers.SimpleRNN),
}


@pytest.fixture(params=PAIRS)
def cell(request):
    return request.param


def pair(cell, rng, **options):
    """Our layer and the stock one, with the same weights."""
    ours, stock = (kind(UNITS, **options) for kind in PAIRS[cell])
    stock.build((BATCH, TIME, FEATURES))
    ours.build((BATCH, TIME, FEATURES))
    stock.set_weights([rng.normal(size=w.shape, scale=0.5) for w in stock.get_weights()])
    ours.set_weights(stock.get_weights())
    return ours, stock


def assert_close(ours, theirs):
    for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_arguments_by_position_are_those_of_stock(cell):
    ours, stock = PAIRS[cell]
    parameters = list(inspect.signature(stock.__init__).parameters.values())[1:-1]
    # Values other than the defaults, by the default's type.
    chosen = {
        "units": UNITS,
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
        "use_cudnn": False,
    }
    chosen |= {"dropout": 0.1, "recurrent_dropout": 0.2, "seed": 7}
    chosen |= {p.name: not p.default for p in parameters if isinstance(p.default, bool)}
    chosen |= {p.name: "l2" for p in parameters if p.name.endswith("_regularizer")}
    chosen |= {p.name: "non_neg" for p in parameters if p.name.endswith("_constraint")}
    chosen |= {p.name: "random_normal" for p in parameters if p.name.endswith("_initializer")}
    values = [chosen[p.name] for p in parameters]
    given, theirs = ours(*values).get_config(), stock(*values).get_config()
    # Stock SimpleRNN takes an activity regulariser and ignores it.
    ignored = {"activity_regularizer"} if cell == "simple_rnn" else set()
    for name in theirs.keys() - {"name"} - ignored:
        assert str(given[name]) == str(theirs[name]), name
    defaults, theirs = ours(UNITS).get_config(), stock(UNITS).get_config()
    for name in theirs.keys() - {"name"}:
        assert str(defaults[name]) == str(theirs[name]), name


def test_wrong_positions_are_refused(cell):
    ours, _ = PAIRS[cell]
    with pytest.raises(TypeError, match="positional arguments"):
        ours(*range(40))
    with pytest.raises(TypeError, match="units by position and by name"):
        ours(3, units=3)


def test_config_round_trips(cell):
    ours, _ = PAIRS[cell]
    layer = ours(
        UNITS, stateful=True, unroll=True, implementation=1, truncate_gradient=3, activity_regularizer="l2"
    )
    assert ours.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("dtype", ["int32", "bool", "float64"])
def test_inputs_of_any_dtype_are_promoted(cell, rng, dtype):
    ours, stock = pair(cell, rng, return_sequences=True)
    x = rng.integers(0, 2, size=(BATCH, TIME, FEATURES)).astype(dtype)
    assert_close(ours(x), stock(x.astype("float32")))


def test_an_implicit_mask_survives_an_initial_state(cell, rng):
    ours, _ = pair(cell, rng, return_sequences=True)
    mask = np.arange(TIME) < np.array([6, 3, 1, 2])[:, None]
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32") * mask[..., None]
    state = [tf.ones([BATCH, UNITS])] * len(ours.state_names)
    masked = keras.layers.Masking()(tf.constant(x))
    expected = ours(x, initial_state=state, mask=tf.constant(mask))
    assert_close(ours(masked, initial_state=state), expected)
    assert np.abs(ours(x, initial_state=state) - expected).max() > 1e-3


def test_no_steps_give_the_initial_state(cell, rng):
    ours, _ = pair(cell, rng, return_state=True)
    state = [tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in ours.state_names]
    x = tf.zeros([BATCH, 0, FEATURES])
    traced = tf.function(
        lambda x: ours(x, initial_state=state), input_signature=[tf.TensorSpec([None, None, FEATURES])]
    )
    for call in (lambda: ours(x, initial_state=state), lambda: traced(x)):
        with tf.GradientTape() as tape:
            output, *final = call()
            loss = tf.reduce_sum(output)
        assert_close([output, *final], [state[0], *state])
        gradients = tape.gradient(
            loss, [w.value for w in ours.trainable_variables], unconnected_gradients="zero"
        )
        assert not any(np.any(g) for g in gradients)
    masked, *final = ours(x, initial_state=state, mask=tf.zeros([BATCH, 0], tf.bool))
    # No real step came before: no output.
    assert_close([masked, *final], [tf.zeros_like(state[0]), *state])


@pytest.mark.parametrize("compiled", [False, True])
def test_stateful_layers_go_on(cell, rng, compiled):
    layers = pair(cell, rng, stateful=True, return_sequences=True)
    batches = rng.normal(size=(3, BATCH, TIME, FEATURES)).astype("float32")
    results = []
    for layer in layers:
        call = tf.function(layer) if compiled else layer
        found = [call(tf.constant(batch)) for batch in batches[:2]]
        layer.reset_state()
        found.append(call(tf.constant(batches[2])))
        results.append(found)
    assert_close(*results)
    assert np.abs(results[0][1] - layers[0](batches[1])).max() > 1e-3
    assert len(layers[0].weights) == 3


def test_stateful_layers_refuse_other_batches(cell, rng):
    ours, _ = pair(cell, rng, stateful=True)
    with pytest.raises(ValueError, match=f"batch of {BATCH} rows, but got 2"):
        ours(tf.zeros([2, TIME, FEATURES]))
    with pytest.raises(ValueError, match="no fixed size"):
        PAIRS[cell][0](UNITS, stateful=True)(keras.Input((TIME, FEATURES)))


def functional(kind, cell):
    """A model that hands states from a layer to the next, with a layer in each wrapper."""
    states = [keras.Input((UNITS,), name=f"state_{n}") for n in range(2 if cell == "lstm" else 1)]
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(20, FEATURES, mask_zero=True)(tokens)
    x, *after = kind(UNITS, return_sequences=True, return_state=True, name="first")(x, initial_state=states)
    x = keras.layers.Bidirectional(kind(UNITS, return_sequences=True))(x)
    x = kind(UNITS, name="last")(x, initial_state=after)
    return keras.Model([tokens, *states], keras.layers.Dense(2)(x))


def inputs_of(model, rng):
    tokens = rng.integers(0, 20, size=(BATCH, TIME))
    return [tokens, *(rng.normal(size=(BATCH, UNITS)).astype("float32") for _ in model.inputs[1:])]


def test_a_functional_model_equals_that_with_stock_layers(cell, rng):
    ours, stock = (functional(kind, cell) for kind in PAIRS[cell])
    ours.set_weights(stock.get_weights())
    inputs = inputs_of(ours, rng)
    # Without padding: stock layers lose an implicit mask if an initial state is given.
    inputs[0] = np.maximum(inputs[0], 1)
    assert_close(ours(inputs), stock(inputs))


def test_a_stock_model_is_converted(cell, rng):
    stock = functional(PAIRS[cell][1], cell)
    ours = converted(stock)
    inputs = inputs_of(stock, rng)
    inputs[0] = np.maximum(inputs[0], 1)
    assert_close(ours(inputs), stock(inputs))
    assert type(ours.get_layer("first")) is PAIRS[cell][0]
    (wrapper,) = (layer for layer in ours.layers if isinstance(layer, keras.layers.Bidirectional))
    assert type(wrapper.forward_layer) is type(wrapper.backward_layer) is PAIRS[cell][0]


def token_model(kind):
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(20, FEATURES, mask_zero=True),
            keras.layers.Bidirectional(kind(UNITS, return_sequences=True, dropout=0.2)),
            kind(UNITS, go_backwards=True),
            keras.layers.Dense(1),
        ]
    )


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_saved_stock_model_loads_with_our_layers(cell, rng, tmp_path, suffix):
    ours, stock = PAIRS[cell]
    model = token_model(stock)
    tokens = rng.integers(0, 20, size=(BATCH, TIME))
    expected = model(tokens)
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    loaded = converted(keras.saving.load_model(path))
    assert type(loaded.layers[2]) is ours
    assert type(loaded.layers[1].forward_layer) is ours
    assert_close(loaded(tokens), expected)


def test_custom_objects_replace_the_layers_of_an_h5_file(cell, rng, tmp_path):
    """Not those in wrappers, nor any of a .keras file: there Keras takes its own classes first."""
    ours, stock = PAIRS[cell]
    model = token_model(stock)
    tokens = rng.integers(0, 20, size=(BATCH, TIME))
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5", custom_objects={stock.__name__: ours})
    assert type(loaded.layers[2]) is ours
    assert_close(loaded(tokens), model(tokens))
