"""What may watch a training."""

from typing import Protocol

import tensorflow as tf

from ...common.json_lines import JsonLines
from .objective import Batch
from .state import TrainingState


class Observer(Protocol):
    """Watches a training without changing it.

    Attributes:
        lines: The file of JSON lines that it adds to. A training that is resumed cuts the file back to its size at the
            checkpoint.
    """

    lines: JsonLines

    def begin(self, state: TrainingState, writer: tf.summary.SummaryWriter) -> None:
        """Is called once, before the first step of a process; `writer` is TensorBoard's."""

    def before_step(self, step: int, batch: Batch) -> None:
        """Is called before each step with the number of steps made, and the batch that the step will train on."""
