"""A log-linear model of the words in a text, the classical classifier to compare a network with."""

import math
from collections.abc import Iterator

import numpy as np

from ...common.progress_bar import tracked
from .data import SentimentData

# Rows whose features are held as a matrix at a time.
_ROWS = 128
_LEARNING_RATE = 0.3
# Examples to learn from in all epochs together, and the largest number of epochs.
_EXAMPLES, _EPOCHS = 60_000, 20


class LinearModel:
    """Multinomial logistic regression on the set of a text's tokens.

    The features of a text are its different tokens, each with the weight 1 / sqrt(their number), and a bias. AdaGrad
    (Duchi et al., 2011) minimises the cross-entropy in batches, so that memory does not grow with the data.

    Args:
        tokens: Number of ids.
        labels: Number of classes.
    """

    def __init__(self, tokens: int, labels: int) -> None:
        # The row of the padding holds the biases.
        self._weights = np.zeros([tokens, labels], np.float32)
        self._squares = np.full([tokens, labels], 1e-8, np.float32)

    @classmethod
    def learn(cls, data: SentimentData) -> "LinearModel":
        """Learns a model from the training part, in the order of its epochs."""
        model = cls(data.sizes.tokens, data.sizes.labels)
        epochs = min(_EPOCHS, math.ceil(_EXAMPLES / data.train_examples))
        batches = (
            batch for epoch in range(epochs) for batch in data.batches(epoch, False).as_numpy_iterator()
        )
        for batch in tracked(batches, "fitting the linear model", "batches", epochs * data.steps):
            model.update(batch["ids"], batch["label"])
        return model

    def update(self, ids: np.ndarray, classes: np.ndarray) -> None:
        """Learns from some texts.

        Args:
            ids: int [texts, time], zero-padded.
            classes: int [texts], their classes.
        """
        for rows, tokens, features in self._features(ids):
            errors = np.exp(_log_softmax(features @ self._weights[tokens]))
            errors[np.arange(len(errors)), classes[rows]] -= 1
            gradient = features.T @ errors / len(errors)
            self._squares[tokens] += gradient**2
            self._weights[tokens] -= _LEARNING_RATE * gradient / np.sqrt(self._squares[tokens])

    def log_probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Returns the log probabilities of the classes, float32 [texts, classes]; `ids` as for `update`."""
        parts = [features @ self._weights[tokens] for _, tokens, features in self._features(ids)]
        return _log_softmax(np.concatenate(parts))

    def _features(self, ids: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yields some rows, the tokens in them, and their features, float32 [rows, tokens]."""
        for first in range(0, len(ids), _ROWS):
            rows = slice(first, first + _ROWS)
            here = np.pad(ids[rows], [(0, 0), (1, 0)])
            tokens, columns = np.unique(here, return_inverse=True)
            features = np.zeros([len(here), len(tokens)], np.float32)
            np.put_along_axis(features, columns.reshape(here.shape), 1, axis=1)
            # Without the padding, which comes first.
            features[:, 0] = 0
            features /= np.sqrt(np.maximum(features.sum(axis=1, keepdims=True), 1))
            features[:, 0] = 1
            yield rows, tokens, features


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
