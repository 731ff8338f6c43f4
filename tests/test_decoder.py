"""The decoder: whole sequences against single steps and against a plain loop, with and without input feeding."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from comparing import assert_same, gradients_of, randomize

from unroll.models.blocks.precision import dtype_policy
from unroll.models.options import DecoderOptions
from unroll.models.recurrent import CELLS
from unroll.models.writing.attention import ATTENTIONS
from unroll.models.writing.decoder import Decoder

BATCH, TIME, FEATURES, UNITS, SIZE, POSITIONS = 3, 5, 4, 6, 7, 4
LENGTHS = [5, 2, 4]
KINDS = {
    "plain": {"attention": "none"},
    "looking": {"attention": "general"},
    "fed": {"attention": "general", "input_feeding": True},
    "fed_blindly": {"attention": "none", "input_feeding": True},
    "deep": {"attention": "additive", "layers": 3, "residual": True},
    "deep_and_fed": {"attention": "scaled", "layers": 3, "residual": True, "input_feeding": True},
    "between": {"attention": "general", "upper_layers": 2, "gated_context": True},
    "between_and_fed": {"attention": "additive", "upper_layers": 1, "input_feeding": True},
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=CELLS)
def cell(request):
    return request.param


@pytest.fixture
def x(rng):
    return tf.constant(rng.normal(size=(BATCH, TIME, FEATURES)), tf.float32)


@pytest.fixture
def values(rng):
    return tf.constant(rng.normal(size=(BATCH, POSITIONS, UNITS)), tf.float32)


# Of the memory: padded, and with a row that has nothing in it.
SEEN = tf.sequence_mask([4, 0, 2], POSITIONS)


def built(kind, rng, cell="lstm", **options):
    options = {"layers": 1} | KINDS[kind] | options
    decoder = Decoder(DecoderOptions(cell=cell, units=UNITS, **options), SIZE)
    memory = decoder.remember(tf.zeros([1, 1, UNITS]), tf.ones([1, 1], tf.bool))
    decoder(tf.zeros([1, 1, FEATURES]), memory=memory, states=decoder.recurrent.get_initial_state(1))
    randomize(decoder, rng, scale=0.5)
    return decoder


def random_states(decoder, rng, rows=BATCH):
    return tf.nest.map_structure(
        lambda s: tf.constant(rng.normal(size=s.shape), tf.float32), decoder.recurrent.get_initial_state(rows)
    )


def call(decoder, x, values, states, **options):
    return decoder(x, memory=decoder.remember(values, SEEN), states=states, **options)


def stepped(decoder, x, values, states, dropped=None):
    """The outputs, the states after the last step, and the weights of attention, by single steps."""
    step = decoder.stepper(decoder.remember(values, SEEN), dropped)
    states = decoder.initial_states(states)
    outputs, weights = [], []
    for time in range(x.shape[1]):
        output, states, looked = step(x[:, time], states)
        outputs.append(output)
        weights.append(looked)
    return tf.stack(outputs, axis=1), states, tf.stack(weights, axis=1)


def plain_loop(decoder, x, values, states, dropped=None, block=None, lengths=None):
    """The outputs by the formulas, left to autodiff.

    Args:
        dropped: For each layer, the upper ones last, the factors of its input and of its h.
        block: Length of the blocks of each row's steps, counted back from its last.
        lengths: Lengths of the rows.
    """
    lower, attention = decoder.recurrent.layers, decoder.attention
    upper = decoder.upper.layers if decoder.upper else []
    lengths = np.array(lengths or [TIME] * BATCH)
    dropped = dropped or [(1.0, 1.0)] * len(lower + upper)
    states, _ = decoder.initial_states(states)
    output, outputs = tf.zeros([BATCH, SIZE]), []
    for time in range(TIME):
        cut = (block is not None) & (time > 0) & ((lengths - time) % (block or 1) == 0)
        states, output = tf.nest.map_structure(
            lambda s, cut=cut: tf.where(cut[:, None], tf.stop_gradient(s), s), (states, output)
        )
        hidden = tf.concat([x[:, time], output], axis=1) if decoder.options.input_feeding else x[:, time]
        seen, after = [], []
        for number, (layer, (of_input, of_h)) in enumerate(zip(lower + upper, dropped, strict=True)):
            h, state = layer.step(layer.project(hidden * of_input), states[number], of_h)
            residual = decoder.options.residual and number not in (0, len(lower))
            hidden = h + hidden if residual else h
            after.append(state)
            if number == len(lower) - 1 and attention is not None:
                context, _ = attention(hidden[:, None], attention.remember(values, SEEN))
                seen = [context[:, 0] * (decoder.gate(hidden) if decoder.gate else 1.0)]
                if upper:
                    hidden = tf.concat([hidden, *seen], axis=1)
        states = tuple(after)
        output = decoder.output_layer(tf.concat([*seen, hidden], axis=1))
        outputs.append(output)
    return tf.stack(outputs, axis=1)


def compare(ours, theirs, decoder, x, values, states):
    """Outputs and all gradients of two functions that return outputs."""
    sources = [x, values, states]
    expected = gradients_of(theirs, sources, decoder.trainable_variables)
    assert_same(gradients_of(ours, sources, decoder.trainable_variables), expected)
    return expected[1]


# Whole sequences.


def test_output_is_that_of_the_formula(x, values, rng):
    decoder = built("looking", rng)
    states = random_states(decoder, rng)
    hidden, _ = decoder.recurrent(x, states=states)
    context, _ = decoder.attention(hidden, decoder.attention.remember(values, SEEN))
    kernel, bias = map(np.array, decoder.output_layer.weights)
    expected = np.tanh(np.concatenate([context, hidden], axis=2) @ kernel + bias)
    assert_same(call(decoder, x, values, states), tf.constant(expected))


def test_whole_sequences_equal_a_plain_loop_with_its_gradients(kind, cell, x, values, rng):
    decoder = built(kind, rng, cell)
    states = random_states(decoder, rng)
    gradients = compare(
        lambda: call(decoder, x, values, states),
        lambda: plain_loop(decoder, x, values, states),
        decoder,
        x,
        values,
        states,
    )
    # But for the values where nothing looks.
    names = ["x", "values", *["states"] * len(tf.nest.flatten(states))]
    for number, gradient in enumerate(gradients):
        blind = decoder.attention is None and number < len(names) and names[number] == "values"
        assert np.any(gradient) != blind


def test_whole_sequences_equal_single_steps(kind, x, values, rng):
    decoder = built(kind, rng)
    states = random_states(decoder, rng)
    outputs, after, weights = stepped(decoder, x, values, states)
    assert_same(call(decoder, x, values, states), outputs)
    tf.nest.assert_same_structure(after, decoder.initial_states(states))
    assert len(after[1]) == decoder.options.input_feeding
    sums = np.array([1, 0, 1]) * (decoder.attention is not None)
    np.testing.assert_allclose(weights.numpy().sum(axis=2), np.tile(sums[:, None], TIME), atol=1e-5)
    if decoder.options.input_feeding:
        assert_same(after[1][0], outputs[:, -1])


def test_weights_of_single_steps_are_those_of_attention(x, values, rng):
    decoder = built("fed", rng)
    states = random_states(decoder, rng)
    step = decoder.stepper(decoder.remember(values, SEEN))
    _, (recurrent_states, _), weights = step(x[:, 0], decoder.initial_states(states))
    expected = decoder.attention(recurrent_states[-1][0][:, None], decoder.remember(values, SEEN))[1]
    assert_same(weights, expected[:, 0])


def test_several_rows_may_look_into_one_memory(kind, x, values, rng):
    decoder = built(kind, rng)
    rows = 2
    states = random_states(decoder, rng, BATCH * rows)
    inputs = tf.constant(rng.normal(size=(BATCH * rows, TIME, FEATURES)), tf.float32)
    together = stepped(decoder, inputs, values, states)
    for number in range(rows):
        own_states = tf.nest.map_structure(lambda s, n=number: s[n::rows], states)
        apart = stepped(decoder, inputs[number::rows], values, own_states)
        assert_same(tf.nest.map_structure(lambda t, n=number: t[n::rows], together), apart)


def test_a_memory_without_rows_is_no_mistake(kind, rng):
    decoder = built(kind, rng)
    memory = decoder.remember(tf.zeros([0, POSITIONS, UNITS]), tf.zeros([0, POSITIONS], tf.bool))
    states = decoder.recurrent.get_initial_state(0)
    assert decoder(tf.zeros([0, TIME, FEATURES]), memory=memory, states=states).shape == (0, TIME, SIZE)
    output, _, weights = decoder.stepper(memory)(tf.zeros([0, FEATURES]), decoder.initial_states(states))
    assert (output.shape, weights.shape) == ((0, SIZE), (0, POSITIONS))


def test_padding_of_the_memory_and_companions_change_nothing(kind, x, values, rng):
    decoder = built(kind, rng)
    states = random_states(decoder, rng)
    together = call(decoder, x, values, states)
    for row, positions in enumerate((4, 1, 2)):
        own = tf.nest.map_structure(lambda s, row=row: s[row : row + 1], states)
        mask = SEEN[row : row + 1, :positions]
        alone = decoder(
            x[row : row + 1], memory=decoder.remember(values[row : row + 1, :positions], mask), states=own
        )
        assert_same(together[row : row + 1], alone)


def test_no_step_knows_what_comes_after_it(kind, x, values, rng):
    decoder = built(kind, rng)
    states = random_states(decoder, rng)
    changed = tf.concat([x[:, :3], x[:, 3:] + 1], axis=1)
    ours, theirs = call(decoder, x, values, states), call(decoder, changed, values, states)
    assert_same(ours[:, :3], theirs[:, :3])
    assert (np.abs(ours - theirs)[:, 3:].max(axis=2) > 1e-3).all()


@pytest.mark.parametrize("input_feeding", [False, True])
def test_a_graph_serves_all_shapes(x, values, rng, input_feeding):
    decoder = built("looking", rng, input_feeding=input_feeding)
    states = random_states(decoder, rng)
    shaped = [tf.TensorSpec([None, None, n]) for n in (FEATURES, UNITS)]
    states_spec = tf.nest.map_structure(lambda s: tf.TensorSpec([None, UNITS]), states)

    @tf.function(input_signature=[*shaped, tf.TensorSpec([None, None], tf.bool), states_spec])
    def graph(x, values, seen, states):
        return decoder(x, memory=decoder.remember(values, seen), states=states)

    expected = call(decoder, x, values, states)
    for rows, time in ((BATCH, TIME), (1, 2), (2, 1)):
        own = tf.nest.map_structure(lambda s, rows=rows: s[:rows], states)
        assert_same(graph(x[:rows, :time], values[:rows], SEEN[:rows], own), expected[:rows, :time])


# Dropout.


def draw_once(decoder, monkeypatch):
    """Makes each layer drop the same whenever it draws; returns its masks, as the plain loop takes them."""
    masks = []
    fed = SIZE if decoder.options.input_feeding else 0
    lower, upper = decoder.recurrent.layers, decoder.upper.layers if decoder.upper else []
    firsts = {0: FEATURES + fed, len(lower): 2 * UNITS}
    for number, layer in enumerate(lower + upper):
        sizes = {layer.dropout: firsts.get(number, UNITS), layer.recurrent_dropout: UNITS}
        drawn = {rate: layer.dropout_mask(rate, BATCH, size) for rate, size in sizes.items()}
        monkeypatch.setattr(layer, "dropout_mask", lambda rate, batch, size, drawn=drawn: drawn[rate])
        masks.append((drawn[layer.dropout], drawn[layer.recurrent_dropout]))
    # Dropout of the outputs comes after all steps.
    decoder.options = dataclasses.replace(decoder.options, dropout=0.0)
    return masks


@pytest.mark.parametrize("kind", ["looking", "deep", "deep_and_fed", "between", "between_and_fed"])
def test_masks_of_dropout_are_the_same_at_all_steps(kind, cell, x, values, rng, monkeypatch):
    decoder = built(kind, rng, cell, dropout=0.4, recurrent_dropout=0.3)
    # With weights as large as elsewhere, rounding grows from step to step beyond the tolerance.
    randomize(decoder, rng, scale=0.3)
    states = random_states(decoder, rng)
    masks = draw_once(decoder, monkeypatch)
    assert all(0 < np.mean(mask == 0) < 1 for mask in tf.nest.flatten(masks))
    compare(
        lambda: call(decoder, x, values, states, training=True),
        lambda: plain_loop(decoder, x, values, states, masks),
        decoder,
        x,
        values,
        states,
    )
    assert_same(call(decoder, x, values, states), plain_loop(decoder, x, values, states))


@pytest.mark.parametrize("input_feeding", [False, True])
def test_the_same_outputs_are_dropped_at_all_steps(x, values, rng, input_feeding):
    decoder = built("looking", rng, input_feeding=input_feeding, dropout=0.5)
    states = random_states(decoder, rng)
    first, second = (call(decoder, x, values, states, training=True).numpy() == 0 for _ in range(2))
    assert (first == first[:, :1]).all()
    assert 0.2 < first[:, 0].mean() < 0.8
    assert (first[:, 0] != second[:, 0]).any()
    assert not (call(decoder, x, values, states).numpy() == 0).any()


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("kind", ["plain", "looking", "fed", "deep_and_fed", "between"])
def test_units_are_dropped_in_training_alone(kind, x, values, rng, option):
    decoder, plain = built(kind, rng, **{option: 0.5}), built(kind, rng)
    plain.set_weights([weight.numpy() for weight in decoder.trainable_variables])
    states = random_states(decoder, rng)
    expected = call(plain, x, values, states)
    assert_same(call(decoder, x, values, states), expected)
    assert_same(stepped(decoder, x, values, states)[0], expected)
    assert np.abs(call(decoder, x, values, states, training=True) - expected).max() > 1e-3
    assert_same(call(plain, x, values, states, training=True), expected)


# Truncation.


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        (1, "fed"),
        (2, "fed"),
        (9, "fed"),
        (2, "deep"),
        (2, "deep_and_fed"),
        (2, "between"),
        (2, "between_and_fed"),
    ],
)
def test_truncated_gradients_are_those_of_a_plain_loop(kind, block, cell, x, values, rng):
    decoder = built(kind, rng, cell, truncate_gradient=block)
    states = random_states(decoder, rng)
    truncated = compare(
        lambda: call(decoder, x, values, states),
        lambda: plain_loop(decoder, x, values, states, block=block),
        decoder,
        x,
        values,
        states,
    )
    _, whole = gradients_of(
        lambda: plain_loop(decoder, x, values, states),
        [x, values, states],
        decoder.trainable_variables,
    )
    assert (np.abs(truncated[0] - whole[0]).max() > 1e-3) == (block < TIME)


@pytest.mark.parametrize("kind", ["looking", "deep_and_fed", "between"])
def test_blocks_are_counted_back_from_the_last_real_step_of_each_row(kind, cell, x, values, rng):
    decoder = built(kind, rng, cell, truncate_gradient=2)
    states = random_states(decoder, rng)
    mask = tf.sequence_mask(LENGTHS, TIME)

    def real(outputs):
        return tf.where(mask[..., None], outputs, 0.0)

    compare(
        lambda: real(call(decoder, x, values, states, mask=mask)),
        lambda: real(plain_loop(decoder, x, values, states, block=2, lengths=LENGTHS)),
        decoder,
        x,
        values,
        states,
    )


def test_the_gradient_reaches_that_many_steps(x, values, rng):
    for input_feeding in (False, True):
        decoder = built("looking", rng, input_feeding=input_feeding, truncate_gradient=2)
        states = random_states(decoder, rng)
        _, (dx, *_) = gradients_of(lambda d=decoder, s=states: call(d, x, values, s)[:, -1], [x])
        assert np.any(dx, axis=(0, 2)).tolist() == [False, False, False, True, True]


# As a layer.


def test_number_of_weights(kind):
    decoder = built(kind, np.random.default_rng(0))
    layers = KINDS[kind].get("layers", 1) + KINDS[kind].get("upper_layers", 0)
    of_attention = {"none": 0, "general": 1, "scaled": 0, "additive": 4}[KINDS[kind]["attention"]]
    of_gate = 2 * KINDS[kind].get("gated_context", False)
    assert len(decoder.trainable_variables) == 3 * layers + of_attention + of_gate + 2
    assert len({weight.path for weight in decoder.trainable_variables}) == len(decoder.trainable_variables)
    fed = SIZE if decoder.options.input_feeding else 0
    assert decoder.recurrent.layers[0].kernel.shape[0] == FEATURES + fed
    looks = KINDS[kind]["attention"] != "none"
    assert decoder.output_layer.kernel.shape == (UNITS * (1 + looks), SIZE)


@pytest.mark.parametrize("attention", ["none", *ATTENTIONS])
def test_is_made_again_of_its_configuration(attention):
    options = {"attention": attention, "input_feeding": True, "residual": True, "truncate_gradient": 3}
    options |= {"cell": "simple_rnn", "layers": 2, "units": UNITS, "dropout": 0.1, "recurrent_dropout": 0.2}
    decoder = Decoder(DecoderOptions(**options), SIZE, seed=4)
    config = decoder.get_config()
    assert (config["output_size"], config["seed"]) == (SIZE, 4)
    assert config["options"].items() >= options.items()
    assert Decoder.from_config(config).get_config() == config


@pytest.mark.parametrize("kind", ["plain", "looking", "deep_and_fed", "between"])
def test_mixed_precision_comes_close(kind, x, values, rng):
    decoder = built(kind, rng)
    states = random_states(decoder, rng)
    expected = call(decoder, x, values, states)
    with dtype_policy("mixed_bfloat16"):
        small = built(kind, rng)
        small.set_weights(decoder.get_weights())
        small_x, small_values, small_states = tf.nest.map_structure(
            lambda t: tf.cast(t, tf.bfloat16), (x, values, states)
        )
        outputs = call(small, small_x, small_values, small_states)
        one_by_one = stepped(small, small_x, small_values, small_states)[0]
    assert outputs.dtype == one_by_one.dtype == tf.bfloat16
    assert_same(tf.cast(outputs, tf.float32), expected, tolerance=0.15)
    assert_same(tf.cast(one_by_one, tf.float32), expected, tolerance=0.15)
