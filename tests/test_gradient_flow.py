"""Measurements of gradients against plain computations, and the verdict on them."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.models.options import RecurrentOptions
from unroll.models.recurrent import LSTM, RecurrentStack, SimpleRNN
from unroll.tasks.applications import APPLICATIONS, config_class
from unroll.tasks.inspection.flow import FlowMeter, add_up
from unroll.tasks.inspection.kernels import jacobian_norms, spectrum, spread_distances
from unroll.tasks.inspection.measurements import clipping, curves, for_json
from unroll.tasks.inspection.verdict import judge, judge_layer
from unroll.tasks.training.objective import Loss, Objective

BATCH, TIME, FEATURES, UNITS = 4, 9, 3, 5
LENGTHS = np.array([9, 4, 1, 7])


class LastStep(Objective):
    """The loss is a weighted sum of a layer's output at the last real step."""

    weights = np.linspace(1, 2, UNITS).astype("float32")

    def loss(self, model, batch, training, carry=()):
        mask = tf.sequence_mask(batch["lengths"], tf.shape(batch["x"])[1])
        outputs = model(batch["x"], mask=mask)
        last = tf.gather(outputs, batch["lengths"] - 1, batch_dims=1)
        losses = tf.reduce_sum(last * self.weights, axis=1)
        return Loss(tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32), tf.constant(0.0)), carry


class EveryStep(Objective):
    """The loss has a part for every step of a padded batch whose layer has no mask."""

    def loss(self, model, batch, training, carry=()):
        real = tf.sequence_mask(batch["lengths"], tf.shape(batch["x"])[1])
        losses = tf.reduce_sum(tf.square(model(batch["x"])), axis=2)
        total = tf.reduce_sum(tf.where(real, losses, 0.0))
        return Loss(total, tf.constant(1.0), tf.constant(0.0)), carry


def layer_of(kind, rng, **options):
    layer = kind(UNITS, return_sequences=True, **options)
    layer.build((None, None, FEATURES))
    layer.set_weights([rng.normal(size=w.shape, scale=0.5).astype("float32") for w in layer.get_weights()])
    return layer


def batch_of(rng, lengths=LENGTHS, time=TIME):
    x = rng.normal(size=(len(lengths), time, FEATURES)).astype("float32")
    return {"x": tf.constant(x), "lengths": tf.constant(lengths, tf.int32)}


def meter_of(objective, model, truncated=True, closely=False):
    spec = {"x": tf.TensorSpec([None, None, FEATURES]), "lengths": tf.TensorSpec([None], tf.int32)}
    return FlowMeter(objective, model, spec, (), truncated, closely)


def plain_norms(layer, x, length, weights):
    """|dL/dh_t| for one row by autodiff of a Python loop, from the last step backwards."""
    zeros = [tf.zeros([1, UNITS]) for _ in range(length)]
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        state = layer.get_initial_state(1)
        for t in range(length):
            _, state = layer.step(layer.project(x[None, t]), state)
            state = (state[0] + zeros[t], *state[1:])
        loss = tf.reduce_sum(state[0] * weights)
    return [float(tf.norm(g)) for g in tape.gradient(loss, zeros)][::-1]


@pytest.mark.parametrize("kind", [LSTM, SimpleRNN])
def test_norms_by_distance_equal_autodiff_whatever_the_padding(kind, rng):
    layer, batch = layer_of(kind, rng), batch_of(rng)
    (sums,), _ = meter_of(LastStep(), layer)(batch)
    expected = [
        plain_norms(layer, batch["x"][row], length, LastStep.weights) for row, length in enumerate(LENGTHS)
    ]
    for distance in range(TIME):
        rows = [norms[distance] for norms in expected if distance < len(norms)]
        assert sums["rows"][distance] == len(rows)
        np.testing.assert_allclose(sums["loss"][0][distance], sum(rows), rtol=1e-5)


def test_reach_is_the_loss_where_only_the_last_step_has_one(rng):
    layer, batch = layer_of(SimpleRNN, rng), batch_of(rng)
    (sums,), _ = meter_of(LastStep(), layer)(batch)
    np.testing.assert_allclose(sums["reach"], sums["loss"][0], rtol=1e-6)
    found = curves(sums, sums)
    assert found["reach"][0] == 1
    assert len(found["reach"]) == LENGTHS.max()


def test_reach_leaves_out_what_other_steps_add(rng):
    layer, batch = layer_of(SimpleRNN, rng), batch_of(rng)
    (sums,), _ = meter_of(EveryStep(), layer)(batch)
    # Without a mask, the last step is the last one with a gradient.
    np.testing.assert_array_equal(sums["rows"], [(d < LENGTHS).sum() for d in range(TIME)])
    row, length = 0, LENGTHS[0]
    (alone,), _ = meter_of(EveryStep(), layer)({name: v[row : row + 1] for name, v in batch.items()})
    outputs = layer(batch["x"][row : row + 1])
    expected = plain_norms(layer, batch["x"][row], length, 2 * outputs[0, length - 1])
    np.testing.assert_allclose(alone["reach"][:length], expected, rtol=1e-4)
    assert abs(alone["loss"][0][3] - expected[3]) > 1e-3


def test_rows_and_padding_do_not_change_each_other(rng):
    layer, batch = layer_of(LSTM, rng), batch_of(rng)
    traced = []

    class Noted(LastStep):
        def loss(self, *arguments, **more):
            traced.append(True)
            return super().loss(*arguments, **more)

    meter = meter_of(Noted(), layer)
    (together,), _ = meter(batch)
    rows = [
        meter({"x": batch["x"][r : r + 1, :length], "lengths": batch["lengths"][r : r + 1]})[0]
        for r, length in enumerate(LENGTHS)
    ]
    (apart,) = add_up(rows)
    for name in ("rows", "reach", "last"):
        np.testing.assert_allclose(apart[name], together[name], rtol=1e-5)
    assert len(traced) == 1


def test_truncation_is_kept_or_ignored(rng):
    layer, batch = layer_of(SimpleRNN, rng, truncate_gradient=3), batch_of(rng)
    (kept,), _ = meter_of(LastStep(), layer, truncated=True)(batch)
    (ignored,), _ = meter_of(LastStep(), layer, truncated=False)(batch)
    assert not kept["loss"][0][3:].any()
    assert (ignored["loss"][0] > 0).all()
    np.testing.assert_allclose(kept["loss"][0][:3], ignored["loss"][0][:3], rtol=1e-6)


def test_backward_direction_counts_from_the_step_that_it_reads_last(rng):
    class FirstStep(LastStep):
        def loss(self, model, batch, training, carry=()):
            mask = tf.sequence_mask(batch["lengths"], tf.shape(batch["x"])[1])
            # A backward direction reads the first step last.
            outputs, _ = model(batch["x"], mask=mask)
            loss = tf.reduce_sum(outputs[:, 0, UNITS:] * self.weights)
            return Loss(loss, tf.constant(1.0), tf.constant(0.0)), carry

    stack = RecurrentStack(RecurrentOptions(cell="simple_rnn", units=UNITS), bidirectional=True)
    stack.build((None, None, FEATURES))
    meter, batch = meter_of(FirstStep(), stack), batch_of(rng)
    (forward, backward), _ = meter(batch)
    assert [name.rpartition(" ")[2] for name in meter.names] == ["forward", "backward"]
    assert not forward["rows"].any()
    layer = stack.layers[0].backward_layer
    expected = plain_norms(layer, batch["x"][1, : LENGTHS[1]][::-1], LENGTHS[1], LastStep.weights)
    (_, alone), _ = meter({name: v[1:2] for name, v in batch.items()})
    np.testing.assert_allclose(alone["reach"][: LENGTHS[1]], expected, rtol=1e-4)
    np.testing.assert_array_equal(backward["rows"], [(d < LENGTHS).sum() for d in range(TIME)])


def test_tiny_gradients_do_not_vanish_in_the_measure(rng):
    layer = layer_of(SimpleRNN, rng)
    kernel, recurrent, bias = layer.get_weights()
    layer.set_weights([kernel * 0, np.eye(UNITS, dtype="float32") * 1e-4, bias * 0])
    (sums,), _ = meter_of(LastStep(), layer)(batch_of(rng))
    # Squares of 1e-28 are no float32 any more.
    np.testing.assert_allclose(sums["reach"][7] / sums["last"][7], 1e-28, rtol=1e-3)
    assert len(recurrent) == UNITS


def test_gates_and_sequence(rng):
    layer, batch = layer_of(LSTM, rng, unit_forget_bias=False), batch_of(rng)
    kernel, recurrent, bias = layer.get_weights()
    forget = np.full(UNITS, 4.0)
    forget[0] = -4
    bias[:] = 0
    bias[UNITS : 2 * UNITS] = forget
    layer.set_weights([kernel * 0, recurrent * 0, bias])
    (sums,), _ = meter_of(LastStep(), layer, closely=True)(batch)
    assert sums["steps"] == LENGTHS.sum()
    assert sums["gates"]["forget"]["open"] == 4 * LENGTHS.sum()
    assert sums["gates"]["forget"]["shut"] == LENGTHS.sum()
    assert sums["gates"]["input"]["open"] == 0
    kept = np.log(1 / (1 + np.exp(-forget))) * LENGTHS.sum()
    np.testing.assert_allclose(sums["log_kept"], kept, rtol=1e-4)
    # The longest row, real steps only.
    assert len(sums["sequence"].previous[0]) == LENGTHS.max()


# Kernels.


def test_spectrum_of_known_kernels():
    layer = SimpleRNN(2)
    layer.build((None, None, 1))
    # A rotation by a right angle, stretched by 3 and 2: eigenvalues of size sqrt(6).
    kernel, _, bias = layer.get_weights()
    layer.set_weights([kernel, np.array([[0, 3], [-2, 0]], "float32"), bias])
    found = spectrum(layer)["recurrent"]
    np.testing.assert_allclose(found["singular_values"], [3, 2], rtol=1e-6)
    np.testing.assert_allclose(found["spectral_radius"], np.sqrt(6), rtol=1e-6)
    lstm = LSTM(4)
    lstm.build((None, None, 1))
    assert list(spectrum(lstm)) == ["input", "forget", "candidate", "output"]


def test_jacobians_of_a_linear_network_are_powers_of_its_kernel(rng):
    layer = layer_of(SimpleRNN, rng, activation="linear")
    (sums,), _ = meter_of(LastStep(), layer, closely=True)(batch_of(rng))
    found = jacobian_norms(layer, sums["sequence"])
    assert found["distances"] == [1, 2, 3, 4, 5, 7, 9]
    kernel = layer.recurrent_kernel.numpy()
    expected = [np.linalg.norm(np.linalg.matrix_power(kernel, k), 2) for k in found["distances"]]
    np.testing.assert_allclose(found["largest_singular_values"], expected, rtol=1e-4)


@pytest.mark.parametrize("longest", [0, 1, 2, 100])
def test_distances_end_with_the_longest(longest):
    distances = spread_distances(longest)
    assert distances == sorted(set(distances))
    assert distances[-1:] == ([longest] if longest else [])


# Verdict.


def measured(reach, rows=None, loss=None, truncation=None, clipping=None, cell="simple_rnn"):
    reach = list(reach)
    layer = {
        "name": "recurrent/rnn",
        "cell": cell,
        "reach": reach,
        "rows": rows or [10.0] * len(reach),
        "loss_h": loss or reach,
        "kernel": {"recurrent": {"largest_singular_value": 1.8, "spectral_radius": 1.1}},
        "memory_gate": "forget" if cell == "lstm" else None,
        "gates": {"forget": {"memory_longest_tenth": 3.0}},
    }
    common = {"step": "word", "truncation": truncation, "truncation_option": "truncate_gradient"}
    return common | {"clipping": clipping, "layers": [layer]}


class Config:
    clipvalue = clipnorm = global_clipnorm = None
    learning_rate = 0.01
    pooling = "last"


def test_vanishing_is_told_with_its_numbers():
    verdict = judge(measured(0.7**k for k in range(41)), Config())
    assert verdict.kind == "vanishing"
    (judgement,) = verdict.layers
    assert judgement.sentence == (
        "recurrent/rnn: vanishing: a word 40 steps back gets 6e-07 of the last word's gradient; after 20 steps less "
        "than a thousandth is left."
    )
    assert verdict.advice[0].startswith("--cell=lstm")
    assert any(advice.startswith("--pooling=max") for advice in verdict.advice)


def test_explosion_is_told_with_the_largest_singular_value():
    verdict = judge(measured(1.2**k for k in range(41)), Config())
    assert verdict.kind == "exploding"
    assert (
        "grows 1470 times on its way 40 words back; largest singular value 1.8" in verdict.layers[0].sentence
    )
    assert verdict.advice[0].startswith("--global_clipnorm=1:")


def test_beyond_all_numbers_is_an_explosion():
    verdict = judge(measured([1.0, 5.0, np.inf]), Config())
    assert verdict.kind == "exploding"
    assert "to infinity" in verdict.layers[0].sentence


def test_healthy_needs_no_advice():
    verdict = judge(measured([1.0] * 41), Config())
    assert (verdict.kind, verdict.advice) == ("healthy", [])
    assert "a word 40 steps back gets 1 of the last word's gradient" in verdict.layers[0].sentence


@pytest.mark.parametrize("application", APPLICATIONS)
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm"])
@pytest.mark.parametrize("factor", [0.7, 1.2])
def test_advice_names_flags_that_the_application_has(application, cell, factor):
    config = config_class(application)(
        **{"train_data": "x", "dataset": "files", "images": "x", "captions": "x"}
        if application == "captioning"
        else {"train_data": "x", "dataset": "files"}
    )
    flags = {field.name for field in dataclasses.fields(config)}
    for truncation in (None, 5):
        found = measured((factor**k for k in range(41)), cell=cell, truncation=truncation)
        found["truncation_option"] = (
            "truncation" if application == "language_modeling" else "truncate_gradient"
        )
        named = {name for advice in judge(found, config).advice for name in re.findall(r"--(\w+)", advice)}
        assert named
        assert named <= flags


def test_advice_against_forgetting_can_be_followed():
    (advice,) = [
        a for a in judge(measured([0.7**k for k in range(41)], cell="lstm"), Config()).advice if "forget" in a
    ]
    assert advice.startswith("--forget_bias=3.7:")
    advice = judge(measured(0.7**k for k in range(41)), Config()).advice
    assert any(line.startswith("--activation=relu --recurrent_initializer=identity") for line in advice)


def test_no_gradient_at_all_is_vanishing():
    layer = {"name": "rnn", "reach": [], "rows": []}
    judgement = judge_layer(layer, None, "step")
    assert judgement.kind == "vanishing"
    assert "no gradient at all" in judgement.sentence


def test_rare_long_rows_do_not_decide():
    rows = [100.0] * 10 + [1.0] * 90
    assert judge_layer(measured([1.0] * 10 + [0.0] * 90, rows)["layers"][0], None, "word").kind == "healthy"


def test_truncation_is_the_distance_that_counts_and_is_judged():
    cut = judge(measured([1.0] * 100, truncation=20), Config())
    assert cut.layers[0].distance == 19
    assert any("cuts off a gradient that is still 1 of" in note for note in cut.notes)
    spent = judge(measured((0.5**k for k in range(100)), truncation=64), Config())
    assert any(
        "at 64 words, but after 7 less than a hundredth of the gradient is left" in note
        for note in spent.notes
    )


def test_shorter_ways_of_the_loss_are_noted():
    verdict = judge(measured((0.5**k for k in range(41)), loss=[1.0] * 41), Config())
    assert any("by a shorter path than the recurrence" in note for note in verdict.notes)
    assert not any("shorter path" in note for note in judge(measured(0.5**k for k in range(41))).notes)


def test_clipping_is_counted_in_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert clipping(path) is None
    norms = [(0.5, 0.5), (2.0, 1.0), (40.0, 1.0), (0.7, 0.7)]
    lines = [
        f'{{"step": {n}, "gradient_norm": {before}, "clipped_gradient_norm": {after}}}'
        for n, (before, after) in enumerate(norms)
    ]
    # An epoch's line has no norms, and a killed process leaves half a line.
    path.write_text("\n".join([*lines, '{"step": 4, "validation_loss": 1}', '{"ste']), encoding="utf-8")
    found = clipping(path)
    assert (found["logged_steps"], found["share_clipped"], found["largest"]) == (4, 0.5, 40.0)
    verdict = judge(measured([1.0] * 5, clipping=found), Config())
    assert any(note.startswith("50 % of the 4 logged steps were clipped") for note in verdict.notes)
    assert any(note.startswith("Spikes: the largest norm is 30 times the median") for note in verdict.notes)


def test_json_has_no_infinite_numbers():
    assert for_json({"a": [1.0, np.inf], "b": (float("nan"), "text", 2)}) == {
        "a": [1.0, None],
        "b": [None, "text", 2],
    }


def test_models_in_mixed_precision_are_measured(rng):
    layer = LSTM(UNITS, return_sequences=True, dtype=keras.DTypePolicy("mixed_bfloat16"))
    layer.build((None, None, FEATURES))

    class LastStepInFloat32(LastStep):
        weights = tf.cast(LastStep.weights, tf.bfloat16)

        def loss(self, model, batch, training, carry=()):
            loss, carry = super().loss(model, batch, training, carry)
            return loss._replace(total=tf.cast(loss.total, tf.float32)), carry

    (sums,), _ = meter_of(LastStepInFloat32(), layer, closely=True)(batch_of(rng))
    assert sums["reach"].dtype == np.float32
    assert np.isfinite(sums["reach"]).all()
