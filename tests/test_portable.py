"""Layers traced for export: the loop on a CPU, cuDNN on a GPU, and the same answers from both."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.recurrent import GRU, LSTM, SimpleRNN, cudnn, portable, tracing

BATCH, TIME, FEATURES, UNITS = 5, 7, 3, 4
CELLS = {
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
    "rnn_tanh": (SimpleRNN, {}),
    "rnn_relu": (SimpleRNN, {"activation": "relu"}),
}
MASKS = {
    "full": np.ones((BATCH, TIME), bool),
    "right_padded": np.arange(TIME) < np.array([7, 3, 1, 4, 5])[:, None],
    "left_padded": np.arange(TIME) >= np.array([0, 3, 6, 4, 2])[:, None],
    "holes": np.random.default_rng(7).random((BATCH, TIME)) < 0.5,
    "a_row_of_padding": np.arange(TIME) < np.array([7, 3, 0, 4, 5])[:, None],
    "all_padding": np.zeros((BATCH, TIME), bool),
}


@pytest.fixture(params=CELLS)
def mode(request):
    """The name of the recurrence in cuDNN."""
    return request.param


@pytest.fixture
def x(rng):
    return inputs(rng)


@pytest.fixture
def cudnn_calls(monkeypatch):
    """Runs the branch for GPUs, with a stand-in for cuDNN; returns the list of the lengths it was called with."""
    calls = []

    def run(*, input, input_h, input_c, params, sequence_lengths, rnn_mode, is_training, time_major):
        assert time_major
        lengths = sequence_lengths.numpy().tolist()
        # Each row has padding: after a batch without any, the real kernel would fail for one with padding.
        assert max(lengths) < len(input)
        calls.append(lengths)
        arguments = (input, input_h[0], input_c[0], params, sequence_lengths)
        output, h, c = stand_in(rnn_mode, *(tensor.numpy() for tensor in arguments))
        return SimpleNamespace(output=output, output_h=h[None], output_c=c[None])

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", run)
    monkeypatch.setattr(
        tf.__internal__, "execute_fn_for_device", lambda functions, default: functions["GPU"]()
    )
    return calls


def stand_in(mode, sequences, h, c, parameters, lengths):
    """The results of cuDNN for [time, batch, features], from weights in its own layout."""
    time, batch, features = sequences.shape
    gates, units = {"lstm": 4, "gru": 3}.get(mode, 1), h.shape[1]
    sizes = [gates * units * features, gates * units * units, gates * units, gates * units]
    parts = np.split(parameters, np.cumsum(sizes)[:-1])
    kernels = parts[0].reshape(gates, units, features)
    recurrent_kernels = parts[1].reshape(gates, units, units)
    biases, recurrent_biases = (part.reshape(gates, units) for part in parts[2:])

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    outputs = np.zeros((time, batch, units), np.float32)
    h, c = h.copy(), c.copy()
    for row in range(batch):
        # cuDNN refuses empty rows.
        assert lengths[row] > 0
        for t in range(lengths[row]):
            of_input = [kernels[g] @ sequences[t, row] + biases[g] for g in range(gates)]
            of_h = [recurrent_kernels[g] @ h[row] + recurrent_biases[g] for g in range(gates)]
            z = [a + b for a, b in zip(of_input, of_h, strict=True)]
            if mode == "lstm":
                i, f, o = sigmoid(z[0]), sigmoid(z[1]), sigmoid(z[3])
                c[row] = f * c[row] + i * np.tanh(z[2])
                h[row] = o * np.tanh(c[row])
            elif mode == "gru":
                reset, update = sigmoid(z[0]), sigmoid(z[1])
                candidate = np.tanh(of_input[2] + reset * of_h[2])
                h[row] = (1 - update) * candidate + update * h[row]
            elif mode == "rnn_relu":
                h[row] = np.maximum(z[0], 0)
            else:
                h[row] = np.tanh(z[0])
            outputs[t, row] = h[row]
    return tf.constant(outputs), tf.constant(h), tf.constant(c)


def inputs(rng):
    return tf.constant(rng.normal(size=(BATCH, TIME, FEATURES)), tf.float32)


def make(mode, **options):
    kind, own = CELLS[mode]
    return kind(UNITS, **own, **options)


def randomized(layer, x, rng):
    """Built, with random weights, the bias too."""
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape, scale=0.5).astype("float32") for w in layer.get_weights()])
    return layer


def initial_state(layer, rng):
    return [tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(layer.cell.state_count)]


def traced(call, *specs):
    """A graph as the exporter makes it."""
    with portable.device_portable():
        return tf.function(call, input_signature=specs).get_concrete_function()


def nodes(concrete, op):
    graph = concrete.graph.as_graph_def()
    functions = (node for function in graph.library.function for node in function.node_def)
    return [node for node in (*graph.node, *functions) if node.op == op]


def assert_close(ours, ordinary):
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(ordinary), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


SEQUENCES = tf.TensorSpec([None, None, FEATURES], tf.float32)
MASK = tf.TensorSpec([None, None], tf.bool)


@pytest.mark.parametrize("go_backwards", [False, True])
def test_equals_the_ordinary_layer_on_cpu(mode, x, rng, go_backwards):
    layer = make(mode, go_backwards=go_backwards, return_sequences=True, return_state=True)
    randomized(layer, x, rng)
    state = initial_state(layer, rng)
    states = [tf.TensorSpec([None, UNITS], tf.float32)] * len(state)
    function = traced(
        lambda x, mask, *state: layer(x, mask=mask, initial_state=list(state)), SEQUENCES, MASK, *states
    )
    for mask in map(tf.constant, MASKS.values()):
        assert_close(function(x, mask, *state), layer(x, mask=mask, initial_state=state))


def test_equals_the_ordinary_layer_on_cpu_without_mask(mode, x, rng):
    layer = randomized(make(mode), x, rng)
    assert_close(traced(layer, SEQUENCES)(x), layer(x))


def test_the_loop_of_a_layer_stands_in_the_graph_once(mode, x, rng):
    """Both devices, and what cuDNN lacks, call one function."""
    layer = randomized(make(mode), x, rng)
    function = traced(lambda x, mask: layer(x, mask=mask), SEQUENCES, MASK)
    assert sum(len(nodes(function, op)) for op in ("While", "StatelessWhile")) == 1


def test_bidirectional_equals_the_ordinary_layer_on_cpu(mode, x, rng):
    layer = randomized(keras.layers.Bidirectional(make(mode, return_sequences=True)), x, rng)
    function = traced(lambda x, mask: layer(x, mask=mask), SEQUENCES, MASK)
    assert len(nodes(function, "CudnnRNNV3")) == 2
    for mask in map(tf.constant, MASKS.values()):
        assert_close(function(x, mask), layer(x, mask=mask))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_gpu_branch_equals_the_ordinary_layer(mode, x, rng, cudnn_calls, mask, go_backwards):
    options = {"go_backwards": go_backwards, "return_sequences": True, "return_state": True}
    layer = randomized(make(mode, **options), x, rng)
    call = {"mask": tf.constant(MASKS[mask]), "initial_state": initial_state(layer, rng)}
    with portable.device_portable():
        outputs = layer(x, **call)
    # Rows whose real steps are not the first, or that have none, are left to the loop.
    assert cudnn_calls == ([MASKS[mask].sum(axis=1).tolist()] if mask in ("full", "right_padded") else [])
    assert_close(outputs, layer(x, **call))


@pytest.mark.parametrize("go_backwards", [False, True])
def test_gpu_branch_without_mask_equals_the_ordinary_layer(mode, x, rng, cudnn_calls, go_backwards):
    layer = randomized(make(mode, go_backwards=go_backwards, return_sequences=True), x, rng)
    with portable.device_portable():
        outputs = layer(x)
    assert cudnn_calls == [[TIME] * BATCH]
    assert_close(outputs, layer(x))


@pytest.mark.parametrize("mask", MASKS)
def test_gpu_branch_of_bidirectional_equals_the_ordinary_layer(mode, x, rng, cudnn_calls, mask):
    layer = randomized(keras.layers.Bidirectional(make(mode, return_sequences=True)), x, rng)
    with portable.device_portable():
        outputs = layer(x, mask=tf.constant(MASKS[mask]))
    assert len(cudnn_calls) == (2 if mask in ("full", "right_padded") else 0)
    assert_close(outputs, layer(x, mask=tf.constant(MASKS[mask])))


def test_graph_holds_both_ways(mode, x, rng):
    layer = randomized(make(mode), x, rng)
    function = traced(lambda x, mask: layer(x, mask=mask), SEQUENCES, MASK)
    (rnn,) = nodes(function, "CudnnRNNV3")
    assert rnn.attr["rnn_mode"].s.decode() == mode
    assert not rnn.attr["is_training"].b
    assert rnn.attr["time_major"].b
    (case,) = nodes(function, "Case") + nodes(function, "StatelessCase")
    # Lowered, the branch for the other device would need its kernel.
    assert not case.attr["_lower_using_switch_merge"].b
    (index,) = nodes(function, "DeviceIndex")
    assert list(index.attr["device_names"].list.s) == [b"CPU", b"GPU"]


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(UNITS, activation="relu"),
        LSTM(UNITS, recurrent_activation="hard_sigmoid"),
        GRU(UNITS, reset_after=False),
        GRU(UNITS, activation="relu"),
        SimpleRNN(UNITS, activation="sigmoid"),
        SimpleRNN(UNITS, activation="linear"),
    ],
    ids=["lstm_relu", "lstm_hard_sigmoid", "gru_reset_before", "gru_relu", "rnn_sigmoid", "rnn_linear"],
)
def test_no_branch_where_cudnn_lacks_the_recurrence(layer, x, rng):
    randomized(layer, x, rng)
    function = traced(layer, SEQUENCES)
    assert not nodes(function, "CudnnRNNV3")
    assert not nodes(function, "DeviceIndex")
    assert_close(function(x), layer(x))


def test_only_inference_in_the_block_gets_both_ways(x, rng):
    layer = randomized(LSTM(UNITS), x, rng)
    assert not nodes(traced(lambda x: layer(x, training=True), SEQUENCES), "CudnnRNNV3")
    assert nodes(traced(layer, SEQUENCES), "CudnnRNNV3")
    after = tf.function(layer, input_signature=[SEQUENCES]).get_concrete_function()
    assert not nodes(after, "CudnnRNNV3")


def test_block_ends_at_an_error(x, rng):
    layer = randomized(LSTM(UNITS), x, rng)
    with pytest.raises(ValueError, match="has 2 state tensor"), portable.device_portable():
        layer(x, initial_state=[x])
    assert type(tracing.current()) is tracing.Tracing


@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_have_the_layout_of_cudnn(mode, x, rng, use_bias):
    layer = randomized(make(mode, use_bias=use_bias), x, rng)
    kernel, recurrent_kernel, *bias = layer.get_weights()
    # Biases of the two products; as in stock Keras, the only one that an LSTM has is the second.
    bias = bias[0] if use_bias else np.zeros_like(kernel[0])
    biases = bias if bias.ndim == 2 else np.stack([np.zeros_like(bias), bias])
    # cuDNN has the first two gates of a GRU in the other order.
    order = (1, 0, 2) if mode == "gru" else range(layer.cell.gate_count)

    def by_gate(weights):
        gates = np.split(weights, layer.cell.gate_count, axis=-1)
        return [gates[gate] for gate in order]

    parts = [*by_gate(kernel), *by_gate(recurrent_kernel), *by_gate(biases[0]), *by_gate(biases[1])]
    expected = np.concatenate([part.T.ravel() for part in parts])
    found = cudnn.parameters(layer, layer.recurrent_weights())
    np.testing.assert_array_equal(found, expected)


def test_a_layer_with_zoneout_runs_the_loop_on_every_device(mode, x, cudnn_calls):
    kind, options = CELLS[mode]
    layer = kind(UNITS, return_sequences=True, zoneout=0.3, **options)
    expected = layer(x)
    with portable.device_portable():
        found = layer(x)
    assert not cudnn_calls
    np.testing.assert_allclose(found, expected, atol=1e-6)
    layer.zoneout = 0.0
    assert np.abs(layer(x) - expected).max() > 1e-3


def test_ordinary_layers_run_cudnn_where_there_is_a_gpu(mode, x, rng, cudnn_calls, monkeypatch):
    layer = randomized(make(mode, return_sequences=True), x, rng)
    mask = tf.constant(MASKS["right_padded"])
    expected = layer(x, mask=mask)
    assert not cudnn_calls
    monkeypatch.setattr(cudnn, "has_gpu", lambda: True)
    assert_close(layer(x, mask=mask), expected)
    assert cudnn_calls == [MASKS["right_padded"].sum(axis=1).tolist()]
    with tracing.loop_alone():
        layer(x)
    layer.use_cudnn = False
    layer(x)
    for options in ({"truncate_gradient": 2}, {"zoneout": 0.3}):
        make(mode, **options)(x)
    make(mode, recurrent_dropout=0.3)(x, training=True)
    assert len(cudnn_calls) == 1
