"""Options of the recurrent layers: their initial weights."""

import keras
import numpy as np
import pytest

from unroll.common.errors import UserError
from unroll.models.options import RecurrentOptions
from unroll.models.recurrent import GRU, LSTM, RecurrentStack, SimpleRNN

UNITS = 40


def built(**options):
    stack = RecurrentStack(RecurrentOptions(units=UNITS, **options), seed=3)
    stack.build((None, None, 5))
    return stack.layers[0]


def part_of_bias(layer):
    gate = layer.cell.gate_names.index(layer.cell.memory_gate)
    bias = np.atleast_2d(layer.bias.numpy())
    rest = bias.copy()
    rest[0, gate * UNITS : (gate + 1) * UNITS] = 0
    return bias[0, gate * UNITS : (gate + 1) * UNITS], rest


@pytest.mark.parametrize(("cell", "default"), [("lstm", 1), ("gru", 0)])
def test_forget_bias(cell, default):
    for options, expected in (({}, default), ({"forget_bias": "2.5"}, 2.5), ({"forget_bias": "0"}, 0)):
        found, rest = part_of_bias(built(cell=cell, **options))
        np.testing.assert_array_equal(found, np.full(UNITS, expected))
        assert not rest.any()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_forget_bias_of_logarithms_spreads_over_the_steps(cell):
    found, rest = part_of_bias(built(cell=cell, forget_bias="log", sequence_length=100))
    steps = np.exp(found)
    assert steps.min() >= 1
    assert steps.max() <= 100
    assert 30 < steps.mean() < 70
    assert not rest.any()
    again, _ = part_of_bias(built(cell=cell, forget_bias="log", sequence_length=100))
    np.testing.assert_array_equal(found, again)


def test_recurrent_kernels_and_activation():
    np.testing.assert_allclose(
        built(cell="simple_rnn", recurrent_initializer="identity", recurrent_gain=0.5).recurrent_kernel,
        0.5 * np.eye(UNITS),
    )
    kernel = built(cell="simple_rnn", recurrent_gain=0.7).recurrent_kernel.numpy()
    np.testing.assert_allclose(kernel @ kernel.T, 0.49 * np.eye(UNITS), atol=1e-5)
    glorot = built(recurrent_initializer="glorot_uniform", recurrent_gain=2.0).recurrent_kernel.numpy()
    assert np.abs(glorot).max() == pytest.approx(2 * np.sqrt(6 / (5 * UNITS)), rel=0.05)
    assert built(activation="relu").activation.name == "relu"


def test_default_weights_are_those_of_a_plain_layer():
    layers = []
    for make in (lambda: built(layers=1), lambda: LSTM(UNITS, name="lstm_0")):
        keras.utils.set_random_seed(1)
        layer = make()
        if not layer.built:
            layer.build((None, None, 5))
        layers.append(layer.get_weights())
    for one, other in zip(*layers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_bias_round_trips():
    layer = GRU(3, memory_bias=keras.initializers.Constant(2.0))
    again = GRU.from_config(layer.get_config())
    again.build((None, None, 2))
    np.testing.assert_array_equal(again.bias[0, :3], np.full(3, 2.0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "simple_rnn", "forget_bias": "1"}, "--forget_bias has no effect with --cell=simple_rnn"),
        ({"forget_bias": "much"}, "--forget_bias is much; give a number, or log"),
        ({"forget_bias": "nan"}, "--forget_bias is nan; give a number, or log"),
        ({"cell": "gru", "recurrent_initializer": "identity"}, "needs --cell=simple_rnn"),
    ],
)
def test_options_without_effect_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        RecurrentOptions(**options)


def test_forget_bias_of_logarithms_needs_a_length():
    with pytest.raises(UserError, match="--forget_bias=log needs a limit on the length"):
        built(forget_bias="log")


def test_a_layer_without_gates_refuses_a_memory_bias():
    with pytest.raises(ValueError, match="no gates"):
        SimpleRNN(3, memory_bias="ones")
