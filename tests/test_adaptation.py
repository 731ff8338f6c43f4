"""Dynamic evaluation, and mixtures with a table of n-grams."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import best_model

from unroll.models.text import BOUNDARY, TextCounter
from unroll.tasks.language_modeling.adaptation import Adaptation, adapted_losses
from unroll.tasks.language_modeling.evaluation import measure, measure_windows
from unroll.tasks.language_modeling.mixture import fitted_weight, mixed


@pytest.fixture(scope="module")
def trained(language_model_run):
    data, model = best_model(language_model_run)
    return data, model, [np.concatenate([*pieces]) for pieces in data.encoded("train")]


def adapt(trained, documents, rate, decay=0.0, segment=16):
    _, model, training = trained
    return adapted_losses(
        model, ([ids] for ids in documents), ([ids] for ids in training), Adaptation(rate, decay, segment)
    )


def test_kept_losses_are_those_of_the_measure(trained):
    data, model, documents = trained
    measured = measure(model, ([ids] for ids in documents), TextCounter(data.codec), keeps=True)
    assert [len(of) for of in measured.losses] == [len(ids) for ids in documents]
    assert sum(of.sum() for of in measured.losses) == pytest.approx(measured.loss, rel=1e-5)
    logits, _ = model(tf.constant([[BOUNDARY, *documents[3][:-1]]]))
    found = tf.nn.sparse_softmax_cross_entropy_with_logits(documents[3][None], logits)
    assert np.allclose(measured.losses[3], found[0], atol=1e-4)


def test_without_a_rate_adapted_losses_are_the_ordinary_ones(trained):
    data, model, documents = trained
    expected = measure(model, ([ids] for ids in documents[:3]), TextCounter(data.codec), keeps=True).losses
    for found, of in zip(adapt(trained, documents[:3], 0.0), expected, strict=True):
        assert np.allclose(found, of, atol=1e-4)


def test_a_segment_is_predicted_before_it_is_learnt_from(trained, rng):
    _, model, _ = trained
    before = model.get_weights()
    # A text unlike the training text, which repeats itself.
    text = np.tile(rng.integers(2, 12, 16), 8)
    other = np.concatenate([text[:64], rng.integers(2, 12, 64)])
    static = adapt(trained, [text], 0.0)[0]
    (found,), (same_start,) = adapt(trained, [text], 2e-3), adapt(trained, [other], 2e-3)
    assert np.allclose(found[:16], static[:16], atol=1e-4)
    assert np.array_equal(found[:64], same_start[:64])
    assert found[-32:].mean() < 0.8 * static[-32:].mean()
    for weight, value in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(weight, value)


def test_the_decay_holds_the_trained_weights(trained, rng):
    text = np.tile(rng.integers(2, 12, 16), 8)
    static, free, held = (adapt(trained, [text], *of)[0] for of in ((0.0,), (2e-3,), (2e-3, 1.0)))
    assert np.abs(held - static).mean() < np.abs(free - static).mean()


def test_windows_begin_without_history(trained):
    data, model, documents = trained
    text = np.concatenate(documents)[:600]
    whole = measure(model, [[text]], TextCounter(data.codec))
    found = measure_windows(model, [[text]], whole)
    ids = np.concatenate([[BOUNDARY], text])
    expected = 0.0
    for start in range(0, 600, 256):
        logits, _ = model(tf.constant(ids[None, start : start + 256][:, : len(text) - start]))
        targets = text[None, start : start + 256]
        expected += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)).numpy()
    assert found.loss == pytest.approx(expected, rel=1e-4)
    assert found.tokens == whole.tokens


def test_the_weight_of_a_mixture_is_the_best(rng):
    network, table = ([rng.exponential(size=n) for n in (300, 200)] for _ in range(2))
    best = fitted_weight(network, table)
    assert 0 < best < 1
    assert mixed(network, table, best) < min(mixed(network, table, best + step) for step in (-0.05, 0.05))
    assert mixed(network, table, 0) == pytest.approx(sum(of.sum() for of in network))
    assert fitted_weight([np.full(50, 1.0)], [np.full(50, 3.0)]) < 1e-3
