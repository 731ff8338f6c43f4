"""What the ways of tracing need to know of a recurrent layer."""

from typing import Any, Protocol

import tensorflow as tf

from .cell import Cell, Gates
from .loop import RecurrentWeights


class TracedLayer(Protocol):
    """The part of a recurrent layer that tracing needs; `RecurrentLayer` says what each means."""

    cell: Cell
    units: int
    name: str
    path: str
    go_backwards: bool
    kernel: Any
    recurrent_kernel: Any

    @property
    def allows_cudnn(self) -> bool: ...

    @property
    def compute_dtype(self) -> str: ...

    def weight(self, variable: Any) -> tf.Tensor: ...

    def biases(self) -> tuple[tf.Tensor | None, tf.Tensor | None]: ...

    def recurrent_weights(self, training: bool = False) -> RecurrentWeights: ...

    def projections(self, sequences: tf.Tensor) -> Gates: ...
