"""Probabilities that mean something: their expected calibration error, and the temperatures that reduce it (Guo et al.,
2017, On calibration of modern neural networks, https://arxiv.org/abs/1706.04599)."""

import numpy as np

_BINS = 15
# Few examples say little: the precision of a normal prior of the factors. An example adds about 0.2 where logits are
# near 1, so that this prior counts as fifty.
_PRIOR = 10.0
_SMALLEST = 0.01
_STEPS = 20


class CalibrationError:
    """The expected calibration error: over 15 equal bins of the answers' probabilities, the mean distance of the mean
    probability from the accuracy, weighted by the number of answers."""

    def __init__(self) -> None:
        # By bin: answers, right answers, sum of probabilities.
        self._sums = np.zeros([3, _BINS])

    def add(self, log_probabilities: np.ndarray, classes: np.ndarray) -> None:
        """Counts the answers to some examples.

        Args:
            log_probabilities: float [examples, classes].
            classes: int [examples], the true classes.
        """
        confidence = np.exp(log_probabilities.max(axis=1).astype(np.float64))
        right = log_probabilities.argmax(axis=1) == classes
        bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        for sums, values in zip(self._sums, (np.ones_like(confidence), right, confidence), strict=True):
            np.add.at(sums, bins, values)

    @property
    def value(self) -> float:
        """The error, in [0, 1]."""
        answers, right, confidence = self._sums
        return float(np.abs(right - confidence).sum() / max(answers.sum(), 1))


def fitted_factors(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns the factors, 1 / temperature, with which the sum of some classifiers' logits has the smallest
    cross-entropy.

    The problem is convex; Newton's method solves it. A prior draws the factors towards the first classifier alone, as
    it is: give first the one that learns from the fewest examples.

    Args:
        logits: float [examples, classifiers, classes].
        classes: int [examples], the true classes.

    Returns:
        float64 [classifiers], positive.
    """
    logits = logits.astype(np.float64)
    count = logits.shape[1]
    expected = np.eye(count)[0]
    factors = np.maximum(expected, _SMALLEST)
    rows = np.arange(len(classes))
    for _ in range(_STEPS):
        probabilities = np.exp(_log_softmax(np.einsum("nsc,s->nc", logits, factors)))
        means = np.einsum("nc,nsc->ns", probabilities, logits)
        gradient = (means - logits[rows, :, classes]).sum(axis=0) + _PRIOR * (factors - expected)
        squares = np.einsum("nc,nsc,ntc->st", probabilities, logits, logits)
        hessian = squares - means.T @ means + _PRIOR * np.eye(count)
        step = np.linalg.solve(hessian, gradient)
        # Far from the solution a whole step may overshoot.
        factors = np.maximum(factors - step * min(1, 0.5 / np.abs(step).max(initial=1e-9)), _SMALLEST)
    return factors


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
