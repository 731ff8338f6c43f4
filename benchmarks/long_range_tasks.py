"""Tasks whose answer depends on early inputs, in the manner of Hochreiter and Schmidhuber (1997)."""

from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from unroll.tasks.training.objective import Loss


class LongRange(Protocol):
    """A task.

    Attributes:
        distance: Steps from the first input that must be remembered to the last step.
        features: Features of an input.
        outputs: Outputs of the layer on top of the recurrent one.
    """

    distance: int
    features: int
    outputs: int

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        """Returns a batch: `inputs`, float32 [rows, time, features], and `targets`."""

    def loss(
        self, model: keras.Model, batch: dict[str, tf.Tensor], training: bool, carry: tuple = ()
    ) -> tuple:
        """See `unroll.tasks.training.objective.Objective.loss`."""

    def solved(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Returns the share of right answers, from the outputs of the model, [rows, time, outputs]."""


class Recall(NamedTuple):
    """Recalls the first of eight symbols after a distance of other symbols."""

    distance: int
    symbols: int = 8

    @property
    def features(self) -> int:
        return 2 * self.symbols + 1

    @property
    def outputs(self) -> int:
        return self.symbols

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        ids = rng.integers(self.symbols, 2 * self.symbols, (rows, self.distance + 1))
        ids[:, 0] = rng.integers(self.symbols, size=rows)
        ids[:, -1] = 2 * self.symbols
        return {"inputs": np.eye(self.features, dtype="float32")[ids], "targets": ids[:, 0].astype("int32")}

    def loss(
        self, model: keras.Model, batch: dict[str, tf.Tensor], training: bool, carry: tuple = ()
    ) -> tuple:
        logits = model(batch["inputs"], training=training)[:, -1]
        return _total(tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], logits)), carry

    def solved(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.mean(outputs[:, -1].argmax(axis=1) == targets))


class Adding(NamedTuple):
    """Adds two marked numbers, one in each half of a sequence of random numbers."""

    length: int
    features: int = 2
    outputs: int = 1

    @property
    def distance(self) -> int:
        return self.length - 1

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        inputs = np.zeros((rows, self.length, 2), "float32")
        inputs[..., 0] = rng.random((rows, self.length))
        half = self.length // 2
        marked = np.stack([rng.integers(half, size=rows), rng.integers(half, self.length, size=rows)], axis=1)
        np.put_along_axis(inputs[..., 1], marked, 1, axis=1)
        return {"inputs": inputs, "targets": (inputs[..., 0] * inputs[..., 1]).sum(axis=1)}

    def loss(
        self, model: keras.Model, batch: dict[str, tf.Tensor], training: bool, carry: tuple = ()
    ) -> tuple:
        return _total(
            tf.square(model(batch["inputs"], training=training)[:, -1, 0] - batch["targets"])
        ), carry

    def solved(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.mean(np.abs(outputs[:, -1, 0] - targets) < 0.1))


class Copy(NamedTuple):
    """Copies five symbols after a pause, when a signal asks for them."""

    pause: int
    symbols: int = 8
    length: int = 5

    @property
    def distance(self) -> int:
        return self.pause + self.length

    @property
    def features(self) -> int:
        return self.symbols + 2

    @property
    def outputs(self) -> int:
        return self.symbols

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        written = rng.integers(self.symbols, size=(rows, self.length))
        blank = np.full((rows, self.pause), self.symbols)
        sign = np.full((rows, self.length), self.symbols + 1)
        ids = np.concatenate([written, blank, sign], axis=1)
        return {"inputs": np.eye(self.features, dtype="float32")[ids], "targets": written.astype("int32")}

    def loss(
        self, model: keras.Model, batch: dict[str, tf.Tensor], training: bool, carry: tuple = ()
    ) -> tuple:
        logits = model(batch["inputs"], training=training)[:, -self.length :]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], logits)
        return _total(tf.reduce_mean(losses, axis=1)), carry

    def solved(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.mean(outputs[:, -self.length :].argmax(axis=2) == targets))


def _total(losses: tf.Tensor) -> Loss:
    """Returns the sum of the rows' losses, with equal weights."""
    weight = tf.cast(tf.size(losses), tf.float32)
    return Loss(tf.reduce_sum(losses), weight, weight)
