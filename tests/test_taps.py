"""Taps: dL/d(state) of every step against autodiff of a plain Python loop, in layers, stacks and step-by-step loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.options import DecoderOptions, RecurrentOptions
from unroll.models.recurrent import CELLS, GRU, LSTM, RecurrentStack, SimpleRNN
from unroll.models.recurrent.cell import GateMatrices
from unroll.models.recurrent.loop import block_edges, jacobians
from unroll.models.recurrent.taps import gradients, tapping
from unroll.models.writing.decoder import Decoder

BATCH, TIME, FEATURES, UNITS = 12, 7, 3, 5
LAYERS = {
    "lstm": lambda **options: LSTM(UNITS, **options),
    "gru": lambda **options: GRU(UNITS, **options),
    "gru_reset_before": lambda **options: GRU(UNITS, reset_after=False, **options),
    "simple_rnn": lambda **options: SimpleRNN(UNITS, **options),
    "irnn": lambda **options: SimpleRNN.irnn(UNITS, **options),
}
_LENGTHS = np.array([7, 3, 1, 0])[:, None]
# Rows that are full, padded at the right and at the left, empty, and with holes, in one batch.
ANY = np.concatenate(
    [
        np.arange(TIME) < _LENGTHS,
        np.arange(TIME) >= TIME - _LENGTHS,
        np.random.default_rng(7).random((4, TIME)) < 0.6,
    ]
)
MASKS = {"none": None, "any": ANY}


def built(name, rng, **options):
    layer = LAYERS[name](return_sequences=True, **options)
    layer.build((BATCH, TIME, FEATURES))
    layer.set_weights([rng.normal(size=w.shape, scale=0.6).astype("float32") for w in layer.get_weights()])
    return layer


def loss_of(outputs):
    """A loss with a different weight for every step of [batch, time, units]."""
    weights = tf.sin(tf.reshape(tf.range(tf.size(outputs), dtype=outputs.dtype), tf.shape(outputs)))
    return tf.reduce_sum(weights * tf.square(outputs) + outputs * weights[:, ::-1])


def tapped_gradients(function, truncated=True):
    """dL/d(state) of each tap, from a compiled graph, and the taps' own tensors."""

    @tf.function
    def compiled():
        with tapping(truncated) as taps:
            loss = function()
        seen = [(tap.kept, tap.previous, tap.states, tap.real, tap.switches) for tap in taps]
        return gradients(loss, taps), seen

    return compiled()


def plain_gradients(layer, x, mask=None, dropped=None, truncated=True):
    """The same by autodiff of a Python loop over the public `step`, each state plus a zero that the tape watches."""
    x = x[:, ::-1] if layer.go_backwards else x
    real = np.ones((BATCH, TIME), bool) if mask is None else mask[:, :: -1 if layer.go_backwards else 1]
    cut = np.zeros((TIME, BATCH, 1), bool)
    if layer.truncate_gradient and truncated:
        cut = block_edges(tf.constant(real.T[..., None]), layer.truncate_gradient).numpy()
    zeros = [[tf.zeros([BATCH, UNITS]) for _ in range(layer.cell.state_count)] for _ in range(TIME)]
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        state, outputs, seen = layer.get_initial_state(BATCH), [], np.zeros((BATCH, 1), bool)
        for t in range(TIME):
            before = [tf.where(cut[t], tf.stop_gradient(s), s) for s in state]
            _, after = layer.step(layer.project(tf.constant(x[:, t])), before, dropped)
            chosen = real[:, t, None]
            # A masked step carries the gradient on beyond a cut: only real steps cut.
            state = [tf.where(chosen, a, s) + zero for a, s, zero in zip(after, state, zeros[t], strict=True)]
            seen = seen | chosen
            outputs.append(tf.where(seen, state[0], 0.0))
        loss = loss_of(tf.stack(outputs, axis=1))
    found = tape.gradient(loss, zeros, unconnected_gradients="zero")
    return [np.stack([g[number] for g in found]) for number in range(layer.cell.state_count)]


def assert_close(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.fixture
def x(rng):
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


@pytest.mark.parametrize("options", [{}, {"truncate_gradient": 3}, {"go_backwards": True}], ids=str)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_states_equal_autodiff(name, mask, options, x, rng):
    layer, mask = built(name, rng, **options), MASKS[mask]
    given = None if mask is None else tf.constant(mask)
    (found,), _ = tapped_gradients(lambda: loss_of(layer(x, mask=given)))
    assert_close(found, plain_gradients(layer, x, mask))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_states_with_recurrent_dropout(name, x, rng, monkeypatch):
    layer = built(name, rng, recurrent_dropout=0.4)
    dropped = tf.constant(rng.choice([0, 1 / 0.6], size=(BATCH, UNITS)), tf.float32)
    monkeypatch.setattr(layer, "dropout_mask", lambda *_: dropped)
    (found,), ((kept, previous, states, *_),) = tapped_gradients(lambda: loss_of(layer(x, training=True)))
    assert_close(found, plain_gradients(layer, x, dropped=dropped))
    before = tuple(state[3] for state in previous)
    projected = tf.split(layer.project(tf.constant(x[:, 3])), layer.cell.gate_count, axis=1)
    kernel = GateMatrices.split(*layer.recurrent_weights(), layer.cell.gate_count, dropped)
    expected_states, expected_kept = layer.cell.forward(tuple(projected), before, kernel)
    assert_close([k[3] for k in kept], expected_kept)
    assert_close([s[3] for s in states], expected_states)


@pytest.mark.parametrize("name", LAYERS)
def test_truncation_can_be_ignored(name, x, rng):
    layer = built(name, rng, truncate_gradient=2)
    (cut,), _ = tapped_gradients(lambda: loss_of(layer(x)))
    (whole,), _ = tapped_gradients(lambda: loss_of(layer(x)), truncated=False)
    assert_close(whole, plain_gradients(layer, x, truncated=False))
    assert np.abs(cut[0] - whole[0]).max() > 1e-3


def test_taps_know_states_gates_and_real_steps(x, rng):
    layer, mask = built("lstm", rng), ANY
    _, ((kept, previous, states, real, switches),) = tapped_gradients(
        lambda: loss_of(layer(x, mask=tf.constant(mask)))
    )
    np.testing.assert_array_equal(real, mask.T)
    i, f, g, o, _ = kept
    assert_close([switches[name] for name in ("input", "forget", "output")], [i, f, o])
    new_c = f * previous[1] + i * g
    assert_close([new_c[mask.T]], [states[1][mask.T]])
    assert_close([states[1][:-1]], [previous[1][1:]])


def test_stack_has_a_tap_for_each_layer_and_direction(x, rng):
    stack = RecurrentStack(RecurrentOptions(layers=2, units=UNITS), bidirectional=True, name="stack")
    stack.build((None, None, FEATURES))

    @tf.function
    def compiled():
        with tapping() as taps:
            stack(tf.constant(x))
        assert [tap.layer.go_backwards for tap in taps] == [False, True, False, True]
        assert len({tap.name for tap in taps}) == 4
        return taps[0].states

    compiled()


def test_outputs_and_other_gradients_are_the_same_bits(x, rng):
    layer = built("lstm", rng, truncate_gradient=3)

    def run(block):
        with tf.GradientTape() as tape, block:
            outputs = layer(x, mask=tf.constant(ANY))
            loss = loss_of(outputs)
        return outputs, *tape.gradient(loss, [w.value for w in layer.trainable_variables])

    plain = tf.function(lambda: run(tf.name_scope("plain")))()
    tapped = tf.function(lambda: run(tapping()))()
    for one, other in zip(plain, tapped, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


def test_without_taps_the_graph_is_unchanged(x, rng):
    layer = built("lstm", rng)
    before = tf.function(lambda: layer(x)).get_concrete_function().graph.as_graph_def()
    with tapping():
        pass
    after = tf.function(lambda: layer(x)).get_concrete_function().graph.as_graph_def()
    assert [node.op for node in before.node] == [node.op for node in after.node]
    tapped = tf.function(lambda: tapped_gradients(lambda: loss_of(layer(x)))).get_concrete_function()
    assert len(tapped.graph.as_graph_def().node) != len(before.node)


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_loops_equal_autodiff(cell, x, rng):
    """A decoder with input feeding and two layers, against the same steps in Python with zeros that are watched."""
    decoder = Decoder(DecoderOptions(cell=cell, layers=2, units=UNITS, input_feeding=True, residual=True), 6)
    values = tf.constant(rng.normal(size=(BATCH, 3, 4)), tf.float32)
    size = 2 if cell == "lstm" else 1
    start = tuple(
        tuple(tf.constant(rng.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(size)) for _ in range(2)
    )
    inputs = tf.constant(x)

    def memory():
        return decoder.remember(values, tf.ones([BATCH, 3], tf.bool))

    decoder(inputs, memory=memory(), states=start)
    found, recorded = tapped_gradients(lambda: loss_of(decoder(inputs, memory=memory(), states=start)))
    # The reference perturbs the kernels' result: h + 0 and c + 0 in every layer, before the layer above reads h.
    zeros = [[[tf.zeros([BATCH, UNITS]) for _ in range(size)] for _ in range(2)] for _ in range(TIME)]
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        seen = decoder.attention.remember(values, tf.ones([BATCH, 3], tf.bool))
        states, fed, outputs = start, tf.zeros([BATCH, 6]), []
        for t in range(TIME):
            below, new = tf.concat([inputs[:, t], fed], axis=1), []
            for number, layer in enumerate(decoder.recurrent.layers):
                _, state = layer.step(layer.project(below), states[number])
                state = tuple(s + zero for s, zero in zip(state, zeros[t][number], strict=True))
                below = state[0] + below if number else state[0]
                new.append(state)
            states = tuple(new)
            context, _ = decoder.attention(below[:, None], seen)
            fed = decoder.output_layer(tf.concat([context[:, 0], below], axis=1))
            outputs.append(fed)
        loss = loss_of(tf.stack(outputs, axis=1))
    expected = tape.gradient(loss, zeros, unconnected_gradients="zero")
    for number in range(2):
        assert_close(found[number], [np.stack([g[number][s] for g in expected]) for s in range(size)])
        assert_close([recorded[number][1][0][0]], [start[number][0]])


@pytest.mark.parametrize("name", LAYERS)
def test_jacobians_equal_autodiff(name, x, rng):
    layer = built(name, rng)
    _, ((kept, previous, *_),) = tapped_gradients(lambda: loss_of(layer(x)))
    row = 2
    ours = jacobians(
        layer.cell,
        tuple(k[:, row] for k in kept),
        tuple(p[:, row] for p in previous),
        layer.weight(layer.recurrent_kernel),
        [1, 3, TIME],
    )
    for matrix, distance in zip(ours, (1, 3, TIME), strict=True):
        start = tf.concat([p[TIME - distance, row] for p in previous], axis=0)
        with tf.GradientTape() as tape:
            tape.watch(start)
            state = tf.split(start[None], layer.cell.state_count, axis=1)
            for t in range(TIME - distance, TIME):
                _, state = layer.step(layer.project(tf.constant(x[row : row + 1, t])), state)
            last = tf.concat(state, axis=1)[0]
        assert_close([matrix], [tape.jacobian(last, start)])


def test_taps_in_mixed_precision(x):
    layer = LSTM(UNITS, return_sequences=True, dtype=keras.DTypePolicy("mixed_bfloat16"))
    (found,), _ = tapped_gradients(lambda: loss_of(tf.cast(layer(x), tf.float32)))
    assert {g.dtype for g in found} == {tf.bfloat16}


def test_truncation_of_step_by_step_loops_can_be_ignored(x, rng):
    values = tf.constant(rng.normal(size=(BATCH, 3, 4)), tf.float32)
    start = ((tf.zeros([BATCH, UNITS]), tf.zeros([BATCH, UNITS])),)

    def last_output(decoder):
        memory = decoder.remember(values, tf.ones([BATCH, 3], tf.bool))
        return tf.reduce_sum(decoder(tf.constant(x), memory=memory, states=start)[:, -1])

    decoder = Decoder(DecoderOptions(units=UNITS, input_feeding=True, truncate_gradient=3), 6)
    last_output(decoder)
    ((cut, _),), _ = tapped_gradients(lambda: last_output(decoder))
    ((whole, _),), _ = tapped_gradients(lambda: last_output(decoder), truncated=False)
    assert not cut[: TIME - 3].numpy().any()
    assert whole[0].numpy().any()
    assert_close([cut[TIME - 3 :]], [whole[TIME - 3 :]])
