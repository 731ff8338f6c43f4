"""Dynamic evaluation: a network that goes on learning from the text that it has just predicted."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...common.progress_bar import ProgressBar
from ...models.blocks.losses import masked_cross_entropy, shifted
from ...models.blocks.traced import traced_per_model
from ...models.recurrent import States
from ...models.text import BOUNDARY
from ..datasets.lanes import Window, cut_windows

# Segments of the training text whose gradients are measured.
_SEGMENTS = 1000
_EPSILON = 1e-8


class Adaptation(NamedTuple):
    """How a network adapts, by the RMS form of dynamic evaluation (Krause et al., 2018,
    https://arxiv.org/abs/1709.07432).

    After each segment, with g the gradient of its mean loss, s the root of the mean of g^2 over segments of the
    training text, and w_0 the trained weights:

        w += decay * min(s / mean(s), 1 / decay) * (w_0 - w) - rate * g / (s + epsilon)

    Attributes:
        rate: Learning rate.
        decay: Share of the way back to the trained weights.
        segment: Number of tokens that are predicted before the weights change.
    """

    rate: float
    decay: float
    segment: int


class _Slots(NamedTuple):
    """For each weight its trained value, and s / mean(s) clipped, and s."""

    trained: list[tf.Tensor]
    decays: list[tf.Tensor]
    scales: list[tf.Tensor]


def adapted_losses(
    model: keras.Model,
    documents: Iterable[Iterable[np.ndarray]],
    training: Iterable[Iterable[np.ndarray]],
    adaptation: Adaptation,
) -> list[np.ndarray]:
    """Returns the loss of each token of each document, in nats: each segment is predicted before it is learnt from.

    The weights are the trained ones again afterwards.

    Args:
        model: A language model.
        documents: Documents to read in this order, each as pieces of ids.
        training: Documents of the training part.
        adaptation: How to adapt.
    """
    slots = _slots(model, training, adaptation)
    losses = []
    with _restored(model), ProgressBar("adapting", "tokens") as bar:
        for document in documents:
            found = []
            for loss, _ in _segments(model, cut_windows(document, adaptation.segment), slots, adaptation):
                found.append(loss)
                bar.update(len(loss))
            losses.append(np.concatenate(found))
    return losses


def _slots(model: keras.Model, training: Iterable[Iterable[np.ndarray]], adaptation: Adaptation) -> _Slots:
    """Measures the gradients of the trained network on its training text."""
    windows = (window for document in training for window in cut_windows(document, adaptation.segment))
    squares, count = [tf.zeros(w.shape) for w in model.trainable_variables], 0
    for _, gradients in _segments(model, islice(windows, _SEGMENTS)):
        squares = [total + tf.square(g) for total, g in zip(squares, gradients, strict=True)]
        count += 1
    scales = [tf.sqrt(total / max(count, 1)) for total in squares]
    mean = tf.add_n([tf.reduce_sum(s) for s in scales]) / sum(tf.size(s, tf.float32) for s in scales)
    most = 1 / adaptation.decay if adaptation.decay else np.inf
    decays = [adaptation.decay * tf.minimum(s / tf.maximum(mean, _EPSILON), most) for s in scales]
    return _Slots([tf.identity(w.value) for w in model.trainable_variables], decays, scales)


def _segments(
    model: keras.Model,
    windows: Iterable[Window],
    slots: _Slots | None = None,
    adaptation: Adaptation | None = None,
) -> Iterator[tuple[np.ndarray, list[tf.Tensor]]]:
    """Yields the losses of the tokens of each segment, and the gradients of their mean; changes the weights after each
    segment if there are slots."""
    states = model.initial_states(1)
    for window in windows:
        if window.begins:
            states = tf.nest.map_structure(tf.zeros_like, states)
        losses, gradients, states = _read(model, tf.constant(window.ids[None]), states)
        real = window.ids[1:] != BOUNDARY
        yield losses.numpy()[0][real], gradients
        if slots and adaptation and real.any():
            _update(model, gradients, slots, tf.constant(adaptation.rate))


@traced_per_model
def _read(model: keras.Model, ids: tf.Tensor, states: States) -> tuple[tf.Tensor, list[tf.Tensor], States]:
    """Returns the losses of a segment, the gradients of their mean, and the states after it."""
    inputs, targets = shifted(ids)
    real = targets != BOUNDARY
    variables = [w.value for w in model.trainable_variables]
    with tf.GradientTape() as tape:
        logits, states = model(inputs, states=states)
        losses = masked_cross_entropy(logits, targets, real)
        mean = tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(tf.cast(real, tf.float32)), 1)
    gradients = tape.gradient(mean, variables, unconnected_gradients="zero")
    return losses, [tf.convert_to_tensor(g) for g in gradients], states


@traced_per_model
def _update(model: keras.Model, gradients: list[tf.Tensor], slots: _Slots, rate: tf.Tensor) -> None:
    """Changes the weights after a segment."""
    for weight, gradient, trained, decay, scale in zip(
        model.trainable_variables, gradients, *slots, strict=True
    ):
        back = decay * (trained - weight.value)
        weight.assign_add(back - rate * gradient / (scale + _EPSILON))


@contextmanager
def _restored(model: keras.Model) -> Iterator[None]:
    """Gives the model its weights back after a `with` block."""
    weights = [tf.identity(w.value) for w in model.trainable_variables]
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, weights, strict=True):
            weight.assign(value)
