"""All tensors of a training, which a checkpoint holds beside `Progress`."""

from typing import Any

import tensorflow as tf

from ..data import PreparedData
from ..task import Task
from .averaging import EpochAverage, WeightAverage
from .checkpoints import variables_of
from .clipping import Clipping
from .optimizers import build_optimizer
from .phases import Phase, find_phase
from .step import TrainingStep


class TrainingState:
    """Model, optimiser, averaged weights, random state, carried state, and position in the data.

    Args:
        task: The application.
        data: Its data, prepared.
        strategy: Strategy in whose scope the variables are made.
        jit_compile: Whether to compile the step with XLA, in the phases that allow it.
        epoch: The first epoch, counted from 0.
        loads_rows: Whether each replica loads its rows alone; else they are loaded beforehand, while others are
            trained on.
    """

    def __init__(
        self,
        task: Task,
        data: PreparedData,
        strategy: tf.distribute.Strategy,
        jit_compile: bool,
        epoch: int,
        loads_rows: bool = False,
    ) -> None:
        config, sizes = data.config, data.sizes
        self._data, self._loads_rows = data, loads_rows
        self.phases = task.phases(config, sizes)
        self._jit_compile = jit_compile
        with strategy.scope():
            self.model = task.build_model(config, sizes)
            self.optimizer = build_optimizer(config)
            self.optimizer.build(self.model.trainable_variables)
            self.average = None
            if config.average_decay:
                self.average = WeightAverage(self.model.trainable_variables, config.average_decay)
            elif config.average_last:
                self.average = EpochAverage(self.model.trainable_variables, config.average_last)
            self.carry = tf.nest.map_structure(
                lambda tensor: tf.Variable(tensor, trainable=False),
                self.phases[0].objective.initial_carry(self.model),
            )
        averages = {"average": self.average} if self.average else {}
        self.tensors = tf.train.Checkpoint(
            model=variables_of(self.model),
            optimizer=self.optimizer,
            carry=tf.nest.flatten(self.carry),
            **averages,
        )
        self._strategy = strategy
        self.phase, self.phase_begin = find_phase(self.phases, epoch)
        self._begin_data(epoch)
        self.step = self._training_step(self.phase)

    def begin_epoch(self, epoch: int) -> None:
        """Starts an epoch: resets the data, and switches to the epoch's phase."""
        self._begin_data(epoch)
        phase, self.phase_begin = find_phase(self.phases, epoch)
        if phase is self.phase:
            return
        if phase.resets_moments:
            # The moments belong to the gradients of another loss.
            for variable in self.optimizer.variables:
                variable.assign(tf.zeros_like(variable))
        self.phase, self.step = phase, self._training_step(phase)

    # No function of the pipeline has Python's control flow, which AutoGraph would look for anew in each epoch.
    @tf.autograph.experimental.do_not_convert
    def _begin_data(self, epoch: int) -> None:
        self._batches = self._data.batches(epoch, self._jit_compile, loaded=not self._loads_rows)
        self.iterator = iter(self._batches.prefetch(4))
        # Replaces the previous epoch's iterator in the checkpoint.
        self.tensors.iterator = self.iterator

    def _training_step(self, phase: Phase) -> TrainingStep:
        config = self._data.config
        phase.objective.prepare(self._data)
        return TrainingStep(
            phase.objective,
            self.model,
            self.optimizer,
            self._batches.element_spec,
            load=self._data.load if self._loads_rows else None,
            clipping=Clipping(config.clipvalue, config.clipnorm, config.global_clipnorm),
            strategy=self._strategy,
            average=self.average,
            carry=self.carry,
            jit_compile=self._jit_compile and phase.compilable,
        )

    @property
    def loaded_spec(self) -> Any:
        """Shapes and dtypes of a loaded batch."""
        return (self._batches.map(self._data.load) if self._loads_rows else self._batches).element_spec

    def loaded(self, batch: Any) -> Any:
        """Returns a batch with all that the model is given."""
        return self._data.load(batch) if self._loads_rows else batch

    def weights(self) -> list[tf.Tensor]:
        """Returns a copy of the trained weights."""
        return [tf.identity(v.value) for v in self.model.trainable_variables]
