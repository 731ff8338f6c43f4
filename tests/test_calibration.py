"""The calibration error, and the factors of logits that reduce it."""

import numpy as np
import pytest

from unroll.tasks.sentiment.calibration import CalibrationError, fitted_factors


def test_the_error_is_the_distance_of_probabilities_from_accuracies():
    error = CalibrationError()
    # Two answers with 0.9, one of them right; one with 0.6, right.
    error.add(np.log([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))
    error.add(np.log([[0.4, 0.6]]), np.array([1]))
    assert error.value == pytest.approx((2 * 0.4 + 0.4) / 3)
    assert CalibrationError().value == 0


def draws(rng, logits):
    """Classes drawn from softmax(logits)."""
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_one_classifier_is_found(temperature, rng):
    logits = rng.normal(size=[5000, 3], scale=4)
    classes = draws(rng, logits / temperature)
    (factor,) = fitted_factors(logits[:, None], classes)
    assert factor == pytest.approx(1 / temperature, rel=0.08)
    error = CalibrationError()
    scaled = logits * factor
    error.add(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)), classes)
    assert error.value < 0.03


def test_two_classifiers_get_the_weights_that_they_deserve(rng):
    good, bad = rng.normal(size=[2, 5000, 2], scale=3)
    classes = draws(rng, good)
    factors = fitted_factors(np.stack([good, bad], axis=1), classes)
    np.testing.assert_allclose(factors, [1, 0.01], atol=0.06)


def test_few_examples_change_little(rng):
    logits = rng.normal(size=[5, 2, 3])
    np.testing.assert_allclose(fitted_factors(logits[:0], np.zeros(0, int)), [1, 0.01])
    # All right, so that without a prior no temperature would be low enough.
    (factor,) = fitted_factors(logits[:, :1], logits[:, 0].argmax(axis=1))
    assert 1 < factor < 1.5


def test_the_first_classifier_counts_until_examples_speak_for_another(rng):
    first, second = rng.normal(size=[2, 5000, 2])
    logits, classes = np.stack([first, second], axis=1), draws(rng, first + second)
    few, many = (fitted_factors(logits[:count], classes[:count])[1] for count in (20, 5000))
    assert few < 0.4
    assert many == pytest.approx(1, abs=0.1)


def test_far_too_sure_classifiers_are_calmed(rng):
    logits = rng.normal(size=[1000, 2], scale=500)
    (factor,) = fitted_factors(logits[:, None], draws(rng, logits / 200))
    assert factor == pytest.approx(1 / 200, abs=0.011)
