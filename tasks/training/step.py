"""One training step, compiled once, on any number of replicas."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import keras
import tensorflow as tf

from ...models.blocks.gradient_registry import release_all_with_graph
from ...models.recurrent.tracing import loop_alone
from .averaging import Average
from .clipping import UNCLIPPED, Clipping
from .objective import Batch, Loss, Objective


class StepResult(NamedTuple):
    """The result of a step, all float32 scalars.

    Attributes:
        loss: Sums over the batch.
        stopped: Number of replicas whose process is to stop.
        gradient_norm: Euclidean norm of all gradients together, before clipping.
        clipped_norm: The same norm after clipping.
    """

    loss: Loss
    stopped: tf.Tensor
    gradient_norm: tf.Tensor
    clipped_norm: tf.Tensor


class TrainingStep:
    """Forward and backward pass in every replica, then sum, clip and apply, as on one device.

    Each replica takes every n-th row of the batch. Losses and gradients are summed over the replicas, then divided by
    the weight of the whole batch, so the update is the same on any number of replicas. Everything after the sum
    happens once, in cross-replica context.

    Args:
        objective: Loss to minimise.
        model, optimizer: Model and optimiser, made in the strategy's scope.
        element_spec: Shapes and dtypes of a batch.
        load: Reads the rest of a batch, for the rows of a replica; None: nothing is missing.
        clipping: Limits of the gradients.
        strategy: Any `tf.distribute` strategy; None: the current one.
        average: Average of the weights, or None.
        carry: Carried state, a nest of variables.
        jit_compile: Whether to compile forward and backward pass with XLA, once for each shape of batch.
    """

    def __init__(
        self,
        objective: Objective,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        element_spec: Any,
        *,
        load: Callable[[Batch], Batch] | None = None,
        clipping: Clipping = UNCLIPPED,
        strategy: tf.distribute.Strategy | None = None,
        average: Average | None = None,
        carry: Any = (),
        jit_compile: bool = False,
    ) -> None:
        self._objective = objective
        self._model = model
        self._optimizer = optimizer
        self._load = load
        self._strategy = strategy or tf.distribute.get_strategy()
        self._clipping = clipping
        self._average = average
        self._carry = carry
        self._jit_compile = jit_compile
        self._shapes: set[tuple] = set()
        self._gradients = self._replica_gradients
        if jit_compile:
            self._gradients = tf.function(self._compiled_gradients, jit_compile=True, autograph=False)
        scalar = tf.TensorSpec([], tf.float32)
        self._step = tf.function(
            self._whole_step, input_signature=[element_spec, scalar, scalar, scalar], autograph=False
        )

    def __call__(self, batch: Batch, learning_rate: float, step: int, stops: bool = False) -> StepResult:
        """Updates the model with a batch, after `step` earlier steps; `stops` says whether this process is to stop."""
        if self._jit_compile:
            self._shapes.add(tuple(tuple(tensor.shape) for tensor in tf.nest.flatten(batch)))
        scalars = (tf.constant(number, tf.float32) for number in (learning_rate, step, stops))
        return self._step(batch, *scalars)

    @property
    def compilations(self) -> int:
        """Number of compilations: with XLA one for each shape of batch, else one for each trace (more than one trace
        wastes time)."""
        return len(self._shapes) if self._jit_compile else self._step.experimental_get_tracing_count()

    def _replica_gradients(self, batch: Batch, carry: Any) -> tuple[Loss, list[tf.Tensor], Any]:
        variables = [v.value for v in self._model.trainable_variables]
        with tf.GradientTape() as tape:
            loss, carry = self._objective.loss(self._model, batch, training=True, carry=carry)
            objective = loss.total
            if self._model.losses:
                # The sum over all replicas is divided by their weight later.
                objective += loss.weight * tf.add_n(self._model.losses)
        gradients = tape.gradient(objective, variables, unconnected_gradients="zero")
        # Embeddings give sparse slices, whose norm is wrong if a row occurs twice.
        dense = map(tf.convert_to_tensor, gradients)
        return loss, [tf.ensure_shape(g, v.shape) for g, v in zip(dense, variables, strict=True)], carry

    def _compiled_gradients(self, batch: Batch, carry: Any) -> tuple[Loss, list[tf.Tensor], Any]:
        with loop_alone():
            return self._replica_gradients(batch, carry)

    def _replica_step(self, batch: Batch, carry: Any) -> tuple[Loss, list[tf.Tensor], Any]:
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        if replicas > 1:
            first = context.replica_id_in_sync_group
            batch, carry = tf.nest.map_structure(lambda rows: rows[first::replicas], (batch, carry))
        return self._gradients(self._load(batch) if self._load else batch, carry)

    def _whole_step(
        self, batch: Batch, learning_rate: tf.Tensor, step: tf.Tensor, stops: tf.Tensor
    ) -> StepResult:
        carried = tf.nest.map_structure(tf.convert_to_tensor, self._carry)
        loss, gradients, carried = self._strategy.run(self._replica_step, args=(batch, carried))
        stopping = self._strategy.run(lambda: tf.identity(stops))
        loss, gradients, stopped = self._sum((loss, gradients, stopping))
        variables: list[tf.Variable] = tf.nest.flatten(self._carry)
        for variable, value in zip(variables, tf.nest.flatten(carried), strict=True):
            variable.assign(self._in_row_order(value))
        gradients = [g / tf.cast(loss.weight, g.dtype) for g in gradients]
        clipped = self._clipping(gradients)
        cast(keras.Variable, self._optimizer.learning_rate).assign(learning_rate)
        self._optimizer.apply(clipped, self._model.trainable_variables)
        if self._average is not None:
            self._average.update(step)
        # The optimizer's sum over the replicas has a custom gradient, too.
        release_all_with_graph(tf.compat.v1.get_default_graph())
        return StepResult(loss, stopped, tf.linalg.global_norm(gradients), tf.linalg.global_norm(clipped))

    def _sum(self, values: Any) -> Any:
        """Returns the sums of a nest of float32 tensors over the replicas.

        The tensors travel together: the time of many small messages is their latency.
        """
        replicas, flat = self._strategy.num_replicas_in_sync, tf.nest.flatten(values)
        if replicas == 1:
            return values
        shapes = [self._strategy.experimental_local_results(value)[0].shape for value in flat]
        packed = self._strategy.run(
            lambda parts: tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0), args=(flat,)
        )
        total = self._strategy.reduce(tf.distribute.ReduceOp.SUM, packed, axis=None)
        sums = tf.split(total, [shape.num_elements() for shape in shapes])
        return tf.nest.pack_sequence_as(
            values, [tf.reshape(part, shape) for part, shape in zip(sums, shapes, strict=True)]
        )

    def _in_row_order(self, rows: Any) -> tf.Tensor:
        """Gathers the rows of all replicas, each of which has every n-th row."""
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return rows
        rows = self._strategy.gather(rows, axis=0)
        numbers = tf.range(tf.shape(rows)[0])
        return tf.gather(rows, tf.argsort(tf.concat([numbers[r::replicas] for r in range(replicas)], axis=0)))
