"""Training steps of an application on batches in memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from unroll.models.blocks.precision import dtype_policy
from unroll.tasks.task import Task
from unroll.tasks.training.clipping import Clipping
from unroll.tasks.training.config import TrainingConfig
from unroll.tasks.training.optimizers import build_optimizer
from unroll.tasks.training.step import TrainingStep

LEARNING_RATE = 1e-3


def training_steps(
    task: Task,
    config: TrainingConfig,
    sizes: Any,
    batches: Sequence[Mapping[str, np.ndarray]],
    element_spec: Mapping[str, tf.TensorSpec],
    *,
    precision: str = "float32",
    jit_compile: bool = False,
) -> Callable[[], None]:
    """Returns a function that makes a training step on each of some batches.

    Args:
        task: Application whose model is trained, by the objective of its first phase.
        config: Its options.
        sizes: Sizes that its data would decide.
        batches: Batches as its data would give them.
        element_spec: Shapes and dtypes for which the step is traced.
        precision: dtype policy of the model.
        jit_compile: Whether XLA compiles the step.
    """
    with dtype_policy(precision):
        model = task.build_model(config, sizes)
    optimizer = build_optimizer(config)
    optimizer.build(model.trainable_variables)
    objective = task.phases(config, sizes)[0].objective
    step = TrainingStep(
        objective,
        model,
        optimizer,
        dict(element_spec),
        clipping=Clipping(config.clipvalue, config.clipnorm, config.global_clipnorm),
        carry=tf.nest.map_structure(tf.Variable, objective.initial_carry(model)),
        jit_compile=jit_compile,
    )
    tensors = [{name: tf.constant(value) for name, value in batch.items()} for batch in batches]

    def steps() -> None:
        for batch in tensors:
            result = step(batch, LEARNING_RATE, 0)
        float(result.loss.total)

    return steps
