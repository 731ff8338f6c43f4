"""Training one recurrent layer on a long-range task, and measuring its gradients."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from long_range_tasks import LongRange

from unroll.models.recurrent import LSTM, RecurrentLayer, SimpleRNN, loop
from unroll.tasks.inspection.flow import FlowMeter
from unroll.tasks.inspection.kernels import jacobian_norms
from unroll.tasks.inspection.measurements import curves
from unroll.tasks.training.clipping import Clipping

UNITS, ROWS = 64, 32
# Steps between tests, and rows of a test; a task is solved at this share of right answers.
_TEST_EVERY, _TEST_ROWS, SOLVED = 50, 256, 0.98


@keras.saving.register_keras_serializable("unroll_benchmarks")
class ScaledOrthogonal(keras.initializers.Initializer):
    """An orthogonal matrix times a number, which is then each of its singular values."""

    def __init__(self, scale: float, seed: int = 0) -> None:
        self.scale, self.seed = scale, seed

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        return self.scale * keras.initializers.Orthogonal(seed=self.seed)(shape, dtype=dtype)


@keras.saving.register_keras_serializable("unroll_benchmarks")
class ForgetBias(keras.initializers.Initializer):
    """Zeros, but for the forget gate of an LSTM, which is the second of four."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        return self.value * tf.repeat(tf.constant([0, 1, 0, 0], dtype), shape[0] // 4)


class Network(NamedTuple):
    """A network of the study.

    Attributes:
        name: Name in the tables.
        layer: (distance of the task, **options) -> the recurrent layer.
        learning_rate: Learning rate of Adam, the better of 1e-3 and 3e-3 on recall at 100 steps.
    """

    name: str
    layer: Callable[..., RecurrentLayer]
    learning_rate: float = 1e-3


def _lstm(forget_bias: float, **options: Any) -> LSTM:
    return LSTM(UNITS, unit_forget_bias=False, bias_initializer=ForgetBias(forget_bias), **options)


NETWORKS = (
    Network("vanilla RNN", lambda distance, **options: SimpleRNN(UNITS, **options), 3e-3),
    Network("IRNN", lambda distance, **options: SimpleRNN.irnn(UNITS, **options)),
    Network("LSTM, forget bias 0", lambda distance, **options: _lstm(0.0, **options)),
    Network("LSTM, forget bias 1", lambda distance, **options: _lstm(1.0, **options)),
    # Each unit then keeps 1/e of c for about as long as the task needs (Tallec and Ollivier, 2018).
    Network("LSTM, forget bias log T", lambda distance, **options: _lstm(math.log(distance), **options)),
)


@dataclasses.dataclass
class Outcome:
    """The outcome of a training.

    Attributes:
        right: Share of right answers in the last test.
        steps: Training steps until the task was solved, or all.
        solved: Whether the task was solved.
        diverged: Whether a loss or a gradient was not finite.
        norms: Norm of the gradient at each step, before clipping.
        share_clipped: Share of the steps that were clipped.
        ms: Median milliseconds of a step.
        reach_before, reach_after: Reach by distance, before and after training, without truncation.
    """

    right: float
    steps: int
    solved: bool
    diverged: bool
    norms: np.ndarray
    share_clipped: float
    ms: float
    reach_before: np.ndarray
    reach_after: np.ndarray


def train(
    task: LongRange,
    layer_of: Callable[..., RecurrentLayer],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    clip: float | None = 1.0,
    truncation: int | None = None,
    optimizer: str = "adam",
    seed: int = 0,
) -> Outcome:
    """Trains until the task is solved, or for all steps.

    Args:
        task: Task to learn.
        layer_of: Function that makes the layer.
        steps: Maximum number of steps.
        learning_rate: Learning rate of the optimiser.
        clip: Largest global norm of the gradient; None: no clipping.
        truncation: Number of steps that the gradient of the loss reaches back; None: all.
        optimizer: adam or sgd.
        seed: Seed of weights and data.
    """
    keras.utils.set_random_seed(seed)
    rng, test_rng = np.random.default_rng(seed), np.random.default_rng(10_000 + seed)
    model = build_model(task, layer_of)
    batch = task.draw(rng, ROWS)
    spec = {name: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for name, v in batch.items()}
    meter = FlowMeter(task, model, spec, (), truncated=False)
    before = _reach(meter, task.draw(test_rng, 128))
    step = _step(task, model, keras.optimizers.get(optimizer), learning_rate, clip, truncation, spec)
    test_batch = task.draw(test_rng, _TEST_ROWS)
    predict = tf.function(model)
    norms, times, right, diverged = [], [], 0.0, False
    for number in range(1, steps + 1):
        begun = time.perf_counter()
        loss, norm = step({name: tf.constant(v) for name, v in batch.items()})
        norms.append(float(norm))
        times.append(time.perf_counter() - begun)
        if not np.isfinite([float(loss), norms[-1]]).all():
            diverged = True
            break
        batch = task.draw(rng, ROWS)
        if number % _TEST_EVERY == 0:
            right = task.solved(predict(tf.constant(test_batch["inputs"])).numpy(), test_batch["targets"])
            if right >= SOLVED:
                break
    norms = np.array(norms)
    return Outcome(
        right=right,
        steps=number,
        solved=right >= SOLVED,
        diverged=diverged,
        norms=norms,
        share_clipped=float(np.mean(norms > clip)) if clip else 0.0,
        ms=1000 * float(np.median(times)),
        reach_before=before,
        reach_after=_reach(meter, task.draw(test_rng, 128)),
    )


def training_step(
    task: LongRange, layer_of: Callable[..., RecurrentLayer], truncation: int | None
) -> Callable[[], float]:
    """Returns a training step on one batch, for timing, which returns the norm of the gradient."""
    model = build_model(task, layer_of)
    batch = {name: tf.constant(v) for name, v in task.draw(np.random.default_rng(0), ROWS).items()}
    spec = {name: tf.TensorSpec(v.shape, v.dtype) for name, v in batch.items()}
    step = _step(task, model, keras.optimizers.Adam(), 1e-3, 1.0, truncation, spec)
    return lambda: float(step(batch)[1])


def jacobians(task: LongRange, layer_of: Callable[..., RecurrentLayer]) -> tuple[list[int], list[float]]:
    """Returns distances, and the largest singular values of the products of these numbers of step Jacobians, before
    training, along one sequence without its first step."""
    keras.utils.set_random_seed(0)
    model, batch = build_model(task, layer_of), task.draw(np.random.default_rng(0), 1)
    spec = {name: tf.TensorSpec(v.shape, v.dtype) for name, v in batch.items()}
    meter = FlowMeter(task, model, spec, (), truncated=False, closely=True)
    (sums,), _ = meter({name: tf.constant(v) for name, v in batch.items()})
    sequence = tf.nest.map_structure(lambda steps: steps[1:], sums["sequence"])
    found = jacobian_norms(meter.layers[0], sequence)
    return found["distances"], found["largest_singular_values"]


def reach(
    task: LongRange, layer_of: Callable[..., RecurrentLayer], rows: int = 128, seed: int = 0
) -> np.ndarray:
    """Returns the share of the last step's gradient that arrives at each distance, before training."""
    keras.utils.set_random_seed(seed)
    batch = task.draw(np.random.default_rng(seed), rows)
    spec = {name: tf.TensorSpec(v.shape, v.dtype) for name, v in batch.items()}
    return _reach(FlowMeter(task, build_model(task, layer_of), spec, (), truncated=False), batch)


def _reach(meter: FlowMeter, batch: dict[str, np.ndarray]) -> np.ndarray:
    (sums,), _ = meter({name: tf.constant(v) for name, v in batch.items()})
    found = np.array(curves(sums, sums)["reach"])
    # An IRNN whose units are all dead has no gradient.
    return found if len(found) else np.zeros(1)


def build_model(task: LongRange, layer_of: Callable[..., RecurrentLayer]) -> keras.Model:
    inputs = keras.Input((None, task.features))
    outputs = keras.layers.Dense(task.outputs)(layer_of(return_sequences=True)(inputs))
    return keras.Model(inputs, outputs)


def _step(
    task: LongRange,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    learning_rate: float,
    clip: float | None,
    truncation: int | None,
    spec: dict[str, tf.TensorSpec],
) -> Callable:
    optimizer.learning_rate = learning_rate
    optimizer.build(model.trainable_variables)
    clipping = Clipping(global_clipnorm=clip)
    trained = model if truncation is None else truncated(model, truncation)

    @tf.function(input_signature=[spec])
    def step(batch):
        with tf.GradientTape() as tape:
            loss, _ = task.loss(trained, batch, training=True)
            mean = loss.total / loss.weight
        gradients = tape.gradient(mean, [v.value for v in model.trainable_variables])
        optimizer.apply(clipping(gradients), model.trainable_variables)
        return mean, tf.linalg.global_norm(gradients)

    return step


def truncated(model: keras.Model, truncation: int) -> Callable:
    """Returns a call of the model with a gradient through its last steps only: the earlier ones pass on their state, as
    in the training on a long text in windows."""
    _, layer, dense = model.layers

    def call(inputs, training):
        early, late = inputs[:, :-truncation], inputs[:, -truncation:]
        time_major = tf.transpose(early, [1, 0, 2])
        state = layer.get_initial_state(tf.shape(inputs)[0])
        _, state = loop.run(
            layer.cell, layer.projections(time_major), state, layer.recurrent_weights(), loop.Masks()
        )
        state = tuple(tf.stop_gradient(s) for s in state)
        return dense(layer(late, initial_state=state, training=training))

    return call
