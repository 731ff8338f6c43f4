"""Accuracy, macro F1, loss, the confusion matrix and the worst errors."""

import heapq
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ...models.text import WordCodec, pad
from ..datasets.batching import chunks, length_sorted_batches
from ..task import Evaluation
from .data import Example, SentimentData

# Texts held in memory at a time, and sorted by length.
_CHUNK = 4096
_WORST = 10
_SHOWN_CHARACTERS = 150


def evaluate(model: keras.Model, data: SentimentData, split: str) -> Evaluation:
    """Measures a classifier on a part of its data."""
    labels = data.labels
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    total_loss = 0.0
    worst: list[tuple[float, int, Example, int]] = []
    for chunk in chunks(data.labelled(split), _CHUNK):
        classes = np.array([number for _, number in chunk])
        log_probabilities = _log_probabilities(
            model, [example for example, _ in chunk], data.codec, data.config.batch_tokens
        )
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
    return _summary(confusion, total_loss, sorted(worst, reverse=True), labels)


@tf.function(reduce_retracing=True, autograph=False)
def _forward(model: keras.Model, ids: tf.Tensor) -> tf.Tensor:
    """Turns ids [batch, time] into log probabilities [batch, classes]. Traced once for a model."""
    return tf.nn.log_softmax(model(ids))


def _log_probabilities(
    model: keras.Model,
    examples: Sequence[Example],
    codec: WordCodec,
    batch_tokens: int,
) -> np.ndarray:
    """Returns the log probabilities of the classes, float32 [examples, classes]."""
    ids = codec.encode(tf.constant([example.text_bytes for example in examples]))
    lengths = ids.row_lengths().numpy()
    results: list[np.ndarray] = [np.empty(0)] * len(examples)
    for positions in length_sorted_batches(lengths, batch_tokens):
        batch = pad(tf.gather(ids, positions))
        for position, row in zip(positions, _forward(model, batch).numpy(), strict=True):
            results[position] = row
    return np.stack(results)


def _summary(
    confusion: np.ndarray,
    total_loss: float,
    worst: list[tuple[float, int, Example, int]],
    labels: Sequence[str],
) -> Evaluation:
    right = np.diag(confusion)
    # The F1 of a class that neither occurs nor is predicted is zero, as in scikit-learn.
    f1 = 2 * right / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    count = max(int(confusion.sum()), 1)
    metrics = {"loss": total_loss / count, "accuracy": float(right.sum() / count), "f1": float(f1.mean())}
    errors = [
        {
            "text": example.text_bytes.decode("utf-8", "replace"),
            "label": example.label,
            "predicted": labels[predicted],
            "loss": loss,
        }
        for loss, _, example, predicted in worst
    ]
    details = {
        "examples": int(confusion.sum()),
        "labels": list(labels),
        "f1_by_label": dict(zip(labels, f1.tolist(), strict=True)),
        "confusion": confusion.tolist(),
        "worst_errors": errors,
    }
    return Evaluation(metrics, details, _report(metrics, details))


def _report(metrics: dict[str, float], details: dict) -> str:
    labels, confusion = details["labels"], details["confusion"]
    width = max(8, *(len(label) + 1 for label in labels))
    lines = [f"{details['examples']} examples"]
    lines += [f"{name:10}{value:8.4f}" for name, value in metrics.items()]
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
