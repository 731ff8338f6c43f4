"""Stacked layers: called on whole sequences, on parts of them, and step by step."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from comparing import assert_same, gradients_of

from unroll.models.options import RecurrentOptions
from unroll.models.recurrent import CELLS, RecurrentStack

BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 5
MASKS = {
    "right_padded": np.arange(TIME) < np.array([6, 3, 1, 0])[:, None],
    "left_padded": np.arange(TIME) >= np.array([0, 3, 5, 6])[:, None],
    "holes": np.random.default_rng(7).random((BATCH, TIME)) < 0.5,
}


def test_every_cell_that_the_flag_allows_is_there():
    (cell,) = (field for field in dataclasses.fields(RecurrentOptions) if field.name == "cell")
    assert cell.metadata["choices"] == tuple(CELLS)


@pytest.fixture(params=CELLS)
def cell(request):
    return request.param


@pytest.fixture(params=[1, 2, 3])
def layers(request):
    return request.param


@pytest.fixture
def x(rng):
    return tf.constant(rng.normal(size=(BATCH, TIME, FEATURES)), tf.float32)


ARGUMENTS = ("bidirectional", "input_dropout", "seed", "name")


def new_stack(cell, layers, units=UNITS, **options):
    arguments = {name: options.pop(name) for name in ARGUMENTS if name in options}
    return RecurrentStack(RecurrentOptions(cell=cell, layers=layers, units=units, **options), **arguments)


def make_stack(cell, layers, rng, **options):
    """A stack with random weights, the biases included."""
    stack = new_stack(cell, layers, **options)
    stack(tf.zeros([1, 1, FEATURES]))
    stack.set_weights([rng.normal(size=w.shape, scale=0.5) for w in stack.get_weights()])
    return stack


def random_states(stack, rng):
    return tf.nest.map_structure(
        lambda s: tf.constant(rng.normal(size=s.shape), tf.float32), stack.get_initial_state(BATCH)
    )


def stepped(stack, x, states):
    """The outputs and states by single steps."""
    step, projected, outputs = stack.stepper(), stack.project(x), []
    for time in range(x.shape[1]):
        output, states = step(projected[:, time], states)
        outputs.append(output)
    return tf.stack(outputs, axis=1), states


def gradients(function, stack, x, states):
    """By the inputs, the states and the weights."""
    return gradients_of(lambda: function(x, states), [x, states], stack.trainable_variables)[1]


def test_each_layer_reads_the_one_below(cell, layers, x, rng):
    stack = make_stack(cell, layers, rng)
    outputs, states = stack(x)
    assert outputs.shape == (BATCH, TIME, UNITS)
    expected = x
    for number, layer in enumerate(stack.layers):
        expected, *state = layer(expected)
        assert_same(states[number], tuple(state))
        np.testing.assert_allclose(expected[:, -1], state[0], rtol=1e-6)
    assert_same(outputs, expected)
    assert len(stack.layers) == len(states) == layers
    assert len({weight.path for weight in stack.trainable_variables}) == 3 * layers


def test_single_steps_give_what_the_call_gives(cell, layers, x, rng):
    stack = make_stack(cell, layers, rng)
    for states in (stack.get_initial_state(BATCH), random_states(stack, rng)):
        assert_same(stepped(stack, x, states), stack(x, states=states))


def test_single_steps_in_a_graph_give_what_the_call_gives(cell, x, rng):
    stack = make_stack(cell, 2, rng)

    @tf.function(input_signature=[tf.TensorSpec([None, None, FEATURES])])
    def graph(x):
        step, projected = stack.stepper(), stack.project(x)
        return tf.while_loop(
            lambda time, *_: time < tf.shape(x)[1],
            lambda time, output, states: (time + 1, *step(projected[:, time], states)),
            (0, tf.zeros([tf.shape(x)[0], UNITS]), stack.get_initial_state(tf.shape(x)[0])),
        )

    outputs, states = stack(x)
    _, output, last = graph(x)
    assert_same((output, last), (outputs[:, -1], states))


def test_gradients_through_single_steps_are_those_through_the_call(cell, layers, x, rng):
    stack = make_stack(cell, layers, rng)
    states = random_states(stack, rng)
    ours = gradients(lambda x, states: stepped(stack, x, states), stack, x, states)
    through_call = gradients(lambda x, states: stack(x, states=states), stack, x, states)
    assert all(float(tf.reduce_max(tf.abs(gradient))) > 1e-3 for gradient in ours)
    assert_same(ours, through_call)


def test_a_layers_stepper_goes_on_as_the_layer_does(cell, x, rng):
    layer = make_stack(cell, 1, rng).layers[0]
    state = tuple(
        tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(layer.cell.state_count)
    )
    outputs, *last = layer(x, initial_state=list(state))
    step = layer.stepper()
    for time in range(TIME):
        output, state = step(layer.project(x[:, time]), state)
        assert_same(output, outputs[:, time])
        np.testing.assert_array_equal(output, state[0])
    assert_same(state, tuple(last))


def test_a_layers_stepper_drops_units_on_their_way_through_the_recurrent_kernel(cell, x, rng):
    layer = make_stack(cell, 1, rng).layers[0]
    h, *others = (
        tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(layer.cell.state_count)
    )
    mask = tf.constant(rng.choice([0.0, 2.0], size=(BATCH, UNITS)), tf.float32)
    projected = layer.project(x[:, 0])
    dropped = layer.stepper()(projected, (h, *others), mask)
    assert_same(layer.step(projected, (h, *others), mask), dropped)
    assert np.abs(layer.step(projected, (h, *others))[0] - dropped[0]).max() > 1e-3
    kernel = layer.recurrent_kernel.numpy()
    for row in range(BATCH):
        # Of the state only its way through the kernel is touched: as if rows of the kernel were missing.
        layer.recurrent_kernel.assign(mask[row][:, None] * kernel)
        of_row = layer.stepper()(projected[row, None], tuple(s[row, None] for s in (h, *others)))
        assert_same(tf.nest.map_structure(lambda s, row=row: s[row, None], dropped), of_row)


@pytest.mark.parametrize("cut", [1, 4])
def test_two_calls_that_carry_the_states_are_one(cell, layers, x, rng, cut):
    stack = make_stack(cell, layers, rng)
    states = random_states(stack, rng)
    outputs, last = stack(x, states=states)
    first, between = stack(x[:, :cut], states=states)
    second, end = stack(x[:, cut:], states=between)
    assert_same((tf.concat([first, second], axis=1), end), (outputs, last))
    # Without them the second call begins anew.
    assert np.abs(stack(x[:, cut:])[0] - second).max() > 1e-3


@pytest.mark.parametrize("mask", MASKS)
def test_masked_steps_are_as_if_they_were_not_there(cell, x, rng, mask):
    stack = make_stack(cell, 2, rng)
    real = MASKS[mask]
    outputs, states = stack(x, mask=tf.constant(real))
    noise = tf.constant(rng.normal(scale=9, size=x.shape), tf.float32)
    assert_same(stack(tf.where(real[..., None], x, noise), mask=tf.constant(real)), (outputs, states))
    for row in range(BATCH):
        own = tf.nest.map_structure(lambda s, row=row: s[row : row + 1], states)
        if not real[row].any():
            assert not any(state.numpy().any() for state in tf.nest.flatten(own))
            continue
        alone = stack(tf.boolean_mask(x[row], real[row])[None])
        assert_same((tf.boolean_mask(outputs[row], real[row])[None], own), alone)


def test_two_directions(cell, x, rng):
    stack = make_stack(cell, 2, rng, bidirectional=True)
    outputs, states = stack(x)
    assert outputs.shape == (BATCH, TIME, 2 * UNITS)
    count = {"lstm": 2, "gru": 1, "simple_rnn": 1}[cell]
    for state in states:
        assert [tensor.shape for tensor in state] == [(BATCH, UNITS)] * (2 * count)
    forward, backward = states[-1][0], states[-1][count]
    np.testing.assert_allclose(outputs[:, -1, :UNITS], forward, rtol=1e-6)
    np.testing.assert_allclose(outputs[:, 0, UNITS:], backward, rtol=1e-6)
    # The states are of the first and the last step: each direction continues from its own.
    own = tuple(tf.nest.map_structure(lambda s: s + 1, state) for state in states)
    assert np.abs(stack(x, states=own)[0] - outputs).max() > 1e-3


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_is_made_again_of_its_configuration(cell, x, rng, bidirectional):
    options = {
        "bidirectional": bidirectional,
        "dropout": 0.3,
        "input_dropout": 0.1,
        "recurrent_dropout": 0.2,
        "truncate_gradient": 4,
        "seed": 5,
        "name": "reader",
    }
    stack = make_stack(cell, 2, rng, **options)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(stack))
    assert isinstance(again, RecurrentStack)
    assert again.get_config() == stack.get_config()
    assert again.name == "reader"
    again(x[:1])
    again.set_weights(stack.get_weights())
    assert_same(again(x), stack(x))
    # A new one with the same seed drops the same.
    other = RecurrentStack.from_config(stack.get_config())
    other(x[:1])
    other.set_weights(stack.get_weights())
    assert_same(again(x, training=True), other(x, training=True))


def test_options_reach_the_layers(cell):
    stack = new_stack(cell, 3, dropout=0.3, input_dropout=0.1, recurrent_dropout=0.2, truncate_gradient=4)
    assert [layer.dropout for layer in stack.layers] == [0.1, 0.3, 0.3]
    assert [layer.recurrent_dropout for layer in stack.layers] == [0.2] * 3
    assert [layer.truncate_gradient for layer in stack.layers] == [4] * 3
    assert len({layer.seed for layer in stack.layers}) == 3
    assert [layer.dropout for layer in new_stack(cell, 2, dropout=0.3).layers] == [0.3] * 2


@pytest.mark.parametrize("block", [None, 1, 4])
def test_the_gradient_reaches_back_that_many_steps(cell, x, rng, block):
    stack = make_stack(cell, 2, rng, truncate_gradient=block)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(stack(x)[0][:, -1])
    reached = np.abs(tape.gradient(loss, x)).max(axis=(0, 2)) > 0
    assert reached.tolist() == [time >= TIME - (block or TIME) for time in range(TIME)]


def test_the_input_of_the_lowest_layer_is_left_alone(cell, x, rng):
    stack = make_stack(cell, 2, rng, dropout=0.5, input_dropout=0)
    _, states = stack(x)
    _, in_training = stack(x, training=True)
    assert_same(in_training[0], states[0])
    assert np.abs(in_training[1][0] - states[1][0]).max() > 1e-3
    dropping = make_stack(cell, 2, rng, dropout=0.5)
    assert np.abs(dropping(x, training=True)[1][0][0] - dropping(x)[1][0][0]).max() > 1e-3


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_units_are_dropped_in_training_alone(cell, x, rng, option):
    stack = make_stack(cell, 2, rng, **{option: 0.5})
    assert_same(stack(x), stack(x))
    assert_same(stack(x, training=False), stack(x))
    one, other = stack(x, training=True)[0], stack(x, training=True)[0]
    assert np.abs(one - stack(x)[0]).max() > 1e-3
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_layer_and_direction_drops_features_of_its_own(cell, bidirectional):
    stack = new_stack(cell, 3, 40, dropout=0.5, bidirectional=bidirectional)
    stack(tf.zeros([1, 1, 40]))
    layers = [
        one
        for layer in stack.layers
        for one in ([layer.forward_layer, layer.backward_layer] if bidirectional else [layer])
    ]
    masks = {tuple(layer.dropout_mask(0.5, 1, 40).numpy()[0]) for layer in layers}
    assert len(masks) == 3 * (1 + bidirectional)


def test_initial_states_are_zeros(cell, layers):
    stack = new_stack(cell, layers)
    states = stack.get_initial_state(3)
    assert len(states) == layers
    for state in states:
        assert [tensor.shape for tensor in state] == [(3, UNITS)] * {"lstm": 2, "gru": 1, "simple_rnn": 1}[
            cell
        ]
        assert not any(tensor.numpy().any() for tensor in state)
