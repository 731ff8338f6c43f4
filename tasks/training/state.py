"""All tensors of a training: what a checkpoint holds, beside `Progress`."""

from typing import Any

import keras
import tensorflow as tf

from ..task import Batch, Loss, Task
from .averaging import WeightAverage
from .clipping import Clipping
from .optimizers import build_optimizer
from .step import TrainingStep


class TrainingState:
    """Model, optimiser, averaged weights, random state, what goes from batch to batch, and the place in the data.

    Args:
        task: the application.
        strategy: in whose scope the variables are made.
        jit_compile: whether XLA compiles the step.
        epoch: to begin with, from 0.
    """

    def __init__(self, task: Task, strategy: tf.distribute.Strategy, jit_compile: bool, epoch: int) -> None:
        config = task.config
        self._task = task
        self._jit_compile = jit_compile
        with strategy.scope():
            self.model = task.build_model()
            self.optimizer = build_optimizer(config)
            self.optimizer.build(self.model.trainable_variables)
            self.average = None
            if config.average_decay:
                self.average = WeightAverage(self.model.trainable_variables, config.average_decay)
            self.carry = tf.nest.map_structure(
                lambda tensor: tf.Variable(tensor, trainable=False), task.initial_carry(self.model)
            )
        averages = {"average": self.average} if self.average else {}
        # Seeds are among `variables` but not `weights`, and TensorFlow does not find them in the model.
        weights = {id(weight) for weight in self.model.weights}
        random_state = [v.value for v in self.model.variables if id(v) not in weights]
        self.tensors = tf.train.Checkpoint(
            model=self.model,
            optimizer=self.optimizer,
            random_state=random_state,
            carry=tf.nest.flatten(self.carry),
            **averages,
        )
        self._strategy = strategy
        self._rewarded: bool | None = None
        self.begin_epoch(epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Goes to the start of an epoch's data, and to the step that trains in it."""
        self._batches = self._task.batches(epoch, fixed_shapes=self._jit_compile)
        self.iterator = iter(self._batches.prefetch(4))
        # Replaces that of the epoch before.
        self.tensors.iterator = self.iterator
        rewarded = self._task.is_rewarded(epoch)
        if rewarded == self._rewarded:
            return
        if self._rewarded is not None:
            # The moments of the gradients of another loss say nothing of those to come.
            for variable in self.optimizer.variables:
                variable.assign(tf.zeros_like(variable))
        self._rewarded, self.step = rewarded, self._training_step(rewarded)

    def _training_step(self, rewarded: bool) -> TrainingStep:
        config = self._task.config

        def rewarded_loss(model: keras.Model, batch: Batch, training: bool, carry: Any) -> tuple[Loss, Any]:
            del training
            return self._task.rewarded_loss(model, batch), carry

        return TrainingStep(
            rewarded_loss if rewarded else self._task.loss,
            self.model,
            self.optimizer,
            self._strategy,
            Clipping(config.clipvalue, config.clipnorm, config.global_clipnorm),
            self.average,
            self.carry,
            self.element_spec,
            # XLA cannot compile the loop that draws texts.
            self._jit_compile and not rewarded,
        )

    @property
    def element_spec(self) -> Any:
        """Of a batch."""
        return self._batches.element_spec

    def weights(self) -> list[tf.Tensor]:
        """A copy of the trained weights."""
        return [tf.identity(v.value) for v in self.model.trainable_variables]
