"""The losses against autodiff of their formulas."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.writing.losses import smoothed_cross_entropy, symmetric_divergence, token_losses

ROWS, IDS = 7, 9


@pytest.fixture
def logits(rng):
    return tf.constant(rng.normal(scale=3, size=(ROWS, IDS)), tf.float32)


@pytest.fixture
def targets(rng):
    return tf.constant(rng.integers(0, IDS, ROWS), tf.int32)


def formula(logits, targets, smoothing):
    """The cross entropy with the distribution that the labels are to have."""
    wanted = (1 - smoothing) * tf.one_hot(targets, logits.shape[1]) + smoothing / logits.shape[1]
    return -tf.reduce_sum(wanted * tf.nn.log_softmax(logits), axis=1)


def losses_and_gradient(function, logits, targets, smoothing):
    """With a different weight for each row, one of them zero."""
    weights = tf.range(ROWS, dtype=tf.float32) - 2
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = function(logits, targets, smoothing)
        total = tf.reduce_sum(losses * weights)
    return losses, tape.gradient(total, logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_equals_autodiff_of_the_formula(logits, targets, smoothing):
    ours = losses_and_gradient(smoothed_cross_entropy, logits, targets, smoothing)
    expected = losses_and_gradient(formula, logits, targets, smoothing)
    assert ours[0].shape == (ROWS,)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_without_smoothing_it_is_the_plain_cross_entropy(logits, targets):
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    np.testing.assert_allclose(smoothed_cross_entropy(logits, targets, 0.0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_is_that_of_small_differences(logits, targets, smoothing):
    _, gradient = losses_and_gradient(smoothed_cross_entropy, logits, targets, smoothing)
    weights = np.arange(ROWS) - 2

    def total(moved):
        logs = moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))
        chosen = logs[np.arange(ROWS), targets.numpy()]
        return (weights * (-(1 - smoothing) * chosen - smoothing * logs.mean(axis=1))).sum()

    for position in ((0, 0), (3, int(targets[3])), (6, 4)):
        step = np.zeros((ROWS, IDS))
        step[position] = 1e-5
        exact = (total(np.float64(logits) + step) - total(np.float64(logits) - step)) / 2e-5
        assert float(gradient[position]) == pytest.approx(exact, abs=1e-5)


def test_large_logits_stay_finite():
    logits = tf.constant([[1e4, -1e4, 0.0], [0.0, 0.0, 1e4]])
    losses, gradient = None, None
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = smoothed_cross_entropy(logits, tf.constant([1, 2]), 0.1)
    gradient = tape.gradient(losses, logits)
    np.testing.assert_allclose(losses[0], 0.9 * 2e4 + 0.1 * (0 + 2e4 + 1e4) / 3, rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_no_rows_have_no_loss():
    empty = tf.zeros([0, IDS])
    with tf.GradientTape() as tape:
        tape.watch(empty)
        losses = smoothed_cross_entropy(empty, tf.zeros([0], tf.int32), 0.1)
        total = tf.reduce_sum(losses)
    assert (float(total), tape.gradient(total, empty).shape) == (0, (0, IDS))


def test_logits_of_any_number_of_rows_in_a_graph_are_traced_once(logits, targets):
    @tf.function(input_signature=[tf.TensorSpec([None, IDS]), tf.TensorSpec([None], tf.int32)])
    def graph(logits, targets):
        return tf.gradients(smoothed_cross_entropy(logits, targets, 0.1), logits)[0]

    for rows in (ROWS, 1, 3):
        expected = formula_gradient(logits[:rows], targets[:rows])
        np.testing.assert_allclose(graph(logits[:rows], targets[:rows]), expected, rtol=1e-5, atol=1e-6)
    assert graph.experimental_get_tracing_count() == 1


def divergence_formula(first, second):
    p, q = tf.nn.softmax(first), tf.nn.softmax(second)
    both = [tf.reduce_sum(a * tf.math.log(a / b), axis=1) for a, b in ((p, q), (q, p))]
    return tf.add_n(both) / 2


def test_divergence_of_two_passes_equals_autodiff_of_the_formula(rng):
    logits = [tf.constant(rng.normal(scale=2, size=(ROWS, IDS)), tf.float32) for _ in range(2)]
    found = []
    for function in (symmetric_divergence, tf.function(symmetric_divergence), divergence_formula):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            divergences = function(*logits)
            total = tf.reduce_sum(divergences * (tf.range(ROWS, dtype=tf.float32) - 2))
        found.append((divergences, *tape.gradient(total, logits)))
    *ours, expected = found
    assert float(tf.reduce_min(expected[0])) > 0.1
    for mine in ours:
        for a, b in zip(mine, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_divergence_of_certain_distributions_is_finite():
    first, second = tf.constant([[1e4, -1e4, 0.0], [0.0, 0.0, 1e4]]), tf.constant([[0.0, 0.0, 1e4]] * 2)
    with tf.GradientTape() as tape:
        tape.watch([first, second])
        divergences = symmetric_divergence(first, second)
    assert divergences.numpy().tolist() == [1e4, 0]
    assert np.isfinite(tape.gradient(divergences, [first, second])).all()


def test_the_loss_of_two_passes_is_that_of_r_drop(rng):
    passes = [tf.constant(rng.normal(size=(2, 3, IDS)), tf.float32) for _ in range(2)]
    targets = tf.constant([[4, 5, 0], [6, 0, 0]])
    identity = lambda outputs: outputs  # noqa: E731
    losses, real = token_losses(identity, tf.concat(passes, 0), targets, smoothing=0.1, r_drop=3.0)
    np.testing.assert_array_equal(real, targets > 0)
    one, other = (token_losses(identity, outputs, targets, smoothing=0.1).losses for outputs in passes)
    divergences = divergence_formula(*(tf.boolean_mask(outputs, real) for outputs in passes))
    np.testing.assert_allclose(losses, (one + other + 3 * divergences) / 2, rtol=1e-5)


def formula_gradient(logits, targets):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = formula(logits, targets, 0.1)
    return tape.gradient(losses, logits)
