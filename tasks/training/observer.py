"""The interface of observers of a training."""

from typing import Protocol

import tensorflow as tf

from ...common.json_lines import JsonLines
from .objective import Batch
from .state import TrainingState


class Observer(Protocol):
    """Watches a training without changing it.

    Attributes:
        lines: JSON Lines file of the observer. A resumed training cuts the file back to its size at the checkpoint.
    """

    lines: JsonLines

    def begin(self, state: TrainingState, writer: tf.summary.SummaryWriter) -> None:
        """Called once, before the first step of a process; `writer` is TensorBoard's."""

    def before_step(self, step: int, batch: Batch) -> None:
        """Called before each step with the number of completed steps and the batch of the step, which the
        state loads."""
