"""Accuracy, macro F1, loss and calibration, beside those of a linear model; the confusion matrix and the worst
errors."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.progress_bar import ProgressBar
from ...models.blocks.traced import traced_per_model
from ...models.explained import ExplainedClassifier
from ...models.text import WordCodec, pad
from ..datasets.batching import chunks, length_sorted_batches
from ..task import Evaluation
from .calibration import CalibrationError, fitted_factors
from .data import Example, SentimentData
from .linear_model import LinearModel

# Texts held in memory at a time, and sorted by length.
_CHUNK = 4096
# Enough examples to fit a few factors to.
_CALIBRATED = 10_000
_WORST = 10
_SHOWN_CHARACTERS = 150


class Measured(NamedTuple):
    """The answers of a classifier on some examples.

    Attributes:
        confusion: int64 [classes, classes], the number of examples by label and answer.
        loss: Sum over all examples, in nats; None for a classifier without probabilities.
        worst: The wrong answers with the largest losses, the worst first: loss, running number, example, answer.
        calibration_error: The expected calibration error; None as for the loss.
    """

    confusion: np.ndarray
    loss: float | None
    worst: list[tuple[float, int, Example, int]]
    calibration_error: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Loss, accuracy, macro F1 and expected calibration error."""
        count = max(int(self.confusion.sum()), 1)
        metrics = {
            "loss": None if self.loss is None else self.loss / count,
            "accuracy": float(np.diag(self.confusion).sum() / count),
            "f1": float(self.f1_by_label.mean()),
            "calibration_error": self.calibration_error,
        }
        return {name: value for name, value in metrics.items() if value is not None}

    @property
    def f1_by_label(self) -> np.ndarray:
        """The F1 of each class; zero for one that neither occurs nor is predicted, as in scikit-learn."""
        sums = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        return 2 * np.diag(self.confusion) / np.maximum(sums, 1)


def calibrate(model: Any, data: SentimentData) -> None:
    """Fits the factors of the model's sides to the validation part, or to the beginning of a large one."""
    read = islice(data.labelled("validation"), _CALIBRATED)
    logits, numbers = [], []
    for chunk in chunks(read, _CHUNK):
        examples = [example for example, _ in chunk]
        logits.append(_rows(partial(_sides, model), examples, data.codec, data.config.batch_tokens))
        numbers += [number for _, number in chunk]
    if numbers:
        model.factors.assign(fitted_factors(np.concatenate(logits), np.array(numbers)))


def evaluate(model: keras.Model, data: SentimentData, split: str) -> Evaluation:
    """Measures a classifier on a part of its data."""
    return _summary(data.labels, _measure(model, data, split))


def report(model: keras.Model, data: SentimentData, split: str) -> Evaluation:
    """Does the work of `evaluate`, and compares with a linear model and with the most frequent label."""
    network = _measure(model, data, split)
    linear = _measure(LinearModel.learn(data), data, split)
    counts = data.label_counts
    frequent = max(counts, key=counts.__getitem__)
    always = np.zeros_like(network.confusion)
    always[:, data.labels.index(frequent)] = network.confusion.sum(axis=1)
    others = {"linear": linear, f"always {frequent}": Measured(always, None, [])}
    return _summary(data.labels, network, others)


def _measure(model: keras.Model | LinearModel, data: SentimentData, split: str) -> Measured:
    labels = data.labels
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    total_loss, calibration = 0.0, CalibrationError()
    worst: list[tuple[float, int, Example, int]] = []
    of_ids, kind = partial(_log_probabilities, model), ""
    if isinstance(model, LinearModel):
        of_ids, kind = lambda ids: model.log_probabilities(ids.numpy()), " with the linear model"
    with ProgressBar(f"evaluating {split}{kind}", "examples") as bar:
        for chunk in chunks(data.labelled(split), _CHUNK):
            classes = np.array([number for _, number in chunk])
            examples = [example for example, _ in chunk]
            log_probabilities = _rows(of_ids, examples, data.codec, data.config.batch_tokens, bar)
            calibration.add(log_probabilities, classes)
            predicted = log_probabilities.argmax(axis=1)
            losses = -log_probabilities[np.arange(len(chunk)), classes]
            np.add.at(confusion, (classes, predicted), 1)
            total_loss += float(losses.sum())
            for position in np.flatnonzero(predicted != classes):
                # The running number keeps the order of equal losses.
                entry = (
                    float(losses[position]),
                    -confusion.sum() - position,
                    chunk[position][0],
                    int(predicted[position]),
                )
                (heapq.heappush if len(worst) < _WORST else heapq.heappushpop)(worst, entry)
    return Measured(confusion, total_loss, sorted(worst, reverse=True), calibration.value)


def _log_probabilities(model: ExplainedClassifier, ids: tf.Tensor) -> tf.Tensor:
    """Turns ids [batch, time] into log probabilities [batch, classes]."""
    return tf.nn.log_softmax(model.combined(tf.unstack(_sides(model, ids), axis=1)))


@traced_per_model
def _sides(model: ExplainedClassifier, ids: tf.Tensor) -> tf.Tensor:
    """Turns ids [batch, time] into the logits of each side, [batch, sides, classes]. Traced once for a model."""
    return tf.stack(model.sides(ids), axis=1)


def _rows(
    function: Callable[[tf.Tensor], Any],
    examples: Sequence[Example],
    codec: WordCodec,
    batch_tokens: int,
    bar: ProgressBar | None = None,
) -> np.ndarray:
    """Applies a function of ids, [batch, time] -> [batch, ...], to examples in batches: [examples, ...]."""
    ids = codec.encode(tf.constant([example.text_bytes for example in examples]))
    lengths = ids.row_lengths().numpy()
    results: list[np.ndarray] = [np.empty(0)] * len(examples)
    for positions in length_sorted_batches(lengths, batch_tokens):
        rows = np.asarray(function(pad(tf.gather(ids, positions))))
        for position, row in zip(positions, rows, strict=True):
            results[position] = row
        if bar:
            bar.update(len(positions))
    return np.stack(results)


def _summary(
    labels: Sequence[str], network: Measured, others: Mapping[str, Measured] = MappingProxyType({})
) -> Evaluation:
    """Returns the metrics of the network, and a report that compares it with others, by name."""
    errors = [
        {
            "text": example.text_bytes.decode("utf-8", "replace"),
            "label": example.label,
            "predicted": labels[predicted],
            "loss": loss,
        }
        for loss, _, example, predicted in network.worst
    ]
    details = {
        "examples": int(network.confusion.sum()),
        "labels": list(labels),
        "f1_by_label": dict(zip(labels, network.f1_by_label.tolist(), strict=True)),
        "confusion": network.confusion.tolist(),
        "baselines": {name: other.metrics for name, other in others.items()},
        "worst_errors": errors,
    }
    metrics = network.metrics
    return Evaluation(metrics, details, _report(metrics, details), _warning(network.confusion, labels))


def _warning(confusion: np.ndarray, labels: Sequence[str]) -> str:
    """Returns a sentence about a model that gives the same label to examples of different labels."""
    answers, occurring = np.flatnonzero(confusion.sum(axis=0)), np.flatnonzero(confusion.sum(axis=1))
    if len(answers) != 1 or len(occurring) < 2:
        return ""
    return (
        f"The model gives all {confusion.sum():,} examples the label {labels[answers[0]]!r}: it has not learnt to tell "
        "them apart. Train it in more steps (more --epochs, less --batch_tokens) or with another --learning_rate."
    )


def _report(metrics: dict[str, float], details: dict) -> str:
    labels, confusion, baselines = details["labels"], details["confusion"], details["baselines"]
    width = max(8, *(len(label) + 1 for label in labels))
    lines = [f"{details['examples']} examples"]
    if baselines:
        lines += [f"{'':18}{'network':>8}" + "".join(f"  {name}" for name in baselines)]
    for name, value in metrics.items():
        cells = (
            f"{other[name]:{len(head) + 2}.4f}" if name in other else "" for head, other in baselines.items()
        )
        lines += [f"{name.replace('_', ' '):18}{value:8.4f}" + "".join(cells)]
    lines += ["", "confusion (rows: label, columns: predicted)"]
    lines += [" " * width + "".join(f"{label:>{width}}" for label in labels) + f"{'F1':>{width}}"]
    for label, row in zip(labels, confusion, strict=True):
        cells = "".join(f"{number:>{width}}" for number in row)
        lines.append(f"{label:<{width}}{cells}{details['f1_by_label'][label]:>{width}.3f}")
    if details["worst_errors"]:
        lines += ["", "worst errors (loss, label -> predicted, text)"]
    for error in details["worst_errors"]:
        text = " ".join(error["text"].split())
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."
        lines.append(f"{error['loss']:6.2f}  {error['label']} -> {error['predicted']}  {shown}")
    return "\n".join(lines)
