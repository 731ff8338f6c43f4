"""A cell: one step of a recurrence, forward and backward, which the time loop repeats.

A new cell is a subclass of `Cell` and a layer that has it, in one file, and a line in `stack.CELLS`. All that depends
on the kind of cell stands with the cell: names for reports and signatures, the layout for cuDNN, the equations.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import tensorflow as tf

from .activations import Activation

# One tensor [..., units] for each state, h first.
State = tuple[tf.Tensor, ...]
# One tensor [..., units] for each gate, in the order of the kernel's columns.
Gates = tuple[tf.Tensor, ...]

_ALL = slice(None)


class GateMatrices(NamedTuple):
    """A kernel [size, gates * units] for a loop: a small matrix for each gate, and its bias.

    On two CPU cores four products of [32, 256] with [256, 256] take half the time of one with [256, 1024], and nothing
    needs to be split or joined.

    Attributes:
        matrices: [size, units] for each gate.
        biases: [units] for each gate, or None.
        dropout: [batch, units] that h is multiplied with, or None.
        inputs: [batch, features] that stand before h, or None; the matrices' first rows are then those of the input
            kernel.
    """

    matrices: Gates
    biases: Gates | None = None
    dropout: tf.Tensor | None = None
    inputs: tf.Tensor | None = None

    @classmethod
    def split(
        cls, kernel: tf.Tensor, bias: tf.Tensor | None, gates: int, dropout: tf.Tensor | None = None
    ) -> "GateMatrices":
        """Splits a kernel [size, gates * units] and its bias [gates * units], before a loop."""
        biases = None if bias is None else tuple(tf.split(bias, gates))
        return cls(tuple(tf.split(kernel, gates, axis=1)), biases, dropout)

    def product(self, h: tf.Tensor, gates: slice = _ALL) -> Gates:
        """h W + b, [..., units], for each of the gates."""
        h = h if self.dropout is None else h * self.dropout
        h = h if self.inputs is None else tf.concat([self.inputs, h], axis=1)
        products = tuple(tf.matmul(h, matrix) for matrix in self.matrices[gates])
        if self.biases is None:
            return products
        return tuple(p + bias for p, bias in zip(products, self.biases[gates], strict=True))


class TransposedMatrices(NamedTuple):
    """The same for the way back: what carries a gradient from the gates to h.

    Attributes:
        matrices: [units, units] for each gate.
        dropout: [batch, units] that h was multiplied with, or None.
    """

    matrices: Gates
    dropout: tf.Tensor | None = None

    @classmethod
    def split(cls, kernel: tf.Tensor, gates: int, dropout: tf.Tensor | None) -> "TransposedMatrices":
        """Splits a kernel [units, gates * units], before a loop."""
        # Transposed once: on a CPU a small product with `transpose_b=True` runs at half the speed.
        return cls(tuple(tf.split(tf.transpose(kernel), gates, axis=0)), dropout)

    def product(self, gradients: Gates, gates: slice = _ALL) -> tf.Tensor:
        """dL/dh, [batch, units], from dL/d(h W) of the gates."""
        products = [tf.matmul(d, matrix) for d, matrix in zip(gradients, self.matrices[gates], strict=True)]
        total = tf.add_n(products)
        return total if self.dropout is None else total * self.dropout


class Factors(NamedTuple):
    """The numbers that the backward steps multiply gradients with, for all steps at once.

    Attributes:
        inner: the factors of the gradients of the gates and of the direct paths to h, each [time, batch, units]; at a
            masked step they are zero.
        carry: for each state beyond h, the factor between its gradients after and before the step,
            [time, batch, units]; at a masked step it is one, at a cut zero.
    """

    inner: State
    carry: State


class CudnnLayout(NamedTuple):
    """How cuDNN has the cell.

    Attributes:
        mode: its name for the recurrence.
        gate_order: indices of our gates in its order.
    """

    mode: str
    gate_order: tuple[int, ...]


@dataclass(frozen=True)
class Cell(ABC):
    """One step of a recurrence.

    The layer projects the inputs, x_t W_x + b, for all steps at once. The step gets these projections gate by gate, and
    multiplies h_{t-1}, or whatever it makes of it, with the recurrent kernel's matrices itself. The backward pass is
    *linear* in the incoming gradient: all factors are computed before the backward loop.

    Attributes:
        activation: of the candidate.
        gate_names: the gates in the order of the kernel's columns.
        state_names: the tensors of a state; h, the output, is the first.
        kept_names: the tensors that `forward` keeps of each step.
        switches: those of them which open and shut, between 0 and 1.
        memory_gate: the switch whose value is the share of the old state in the new one, or None.
        separate_input: whether a step needs a gate's two parts, of the input and of h, apart; otherwise it uses
            their sum alone, and both may come from one product.
    """

    activation: Activation

    gate_names: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    kept_names: ClassVar[tuple[str, ...]] = ()
    switches: ClassVar[tuple[str, ...]] = ()
    memory_gate: ClassVar[str | None] = None
    separate_input: ClassVar[bool] = False

    @property
    def gate_count(self) -> int:
        return len(self.gate_names)

    @property
    def state_count(self) -> int:
        return len(self.state_names)

    @property
    def cudnn(self) -> CudnnLayout | None:
        """None where cuDNN does not have the cell."""
        return None

    @abstractmethod
    def forward(self, x: Gates, state: State, kernel: GateMatrices) -> tuple[State, State]:
        """One step.

        Args:
            x: x_t W_x + b of each gate, [..., units].
            state: the state before the step, [..., units] each.
            kernel: the recurrent kernel.

        Returns:
            The state after the step, and the tensors that `factors` needs, as named in `kept_names`.
        """

    @abstractmethod
    def factors(self, kept: State, states: State, previous: State) -> Factors:
        """The factors of all backward steps.

        Args:
            kept: the kept tensors of each step, [time, batch, units] each.
            states: the states after each step, of the same shapes.
            previous: the states before each step, of the same shapes.
        """

    @abstractmethod
    def backward(self, factors: Factors, gradient: State, kernel: TransposedMatrices) -> tuple[Gates, State]:
        """One step back.

        Args:
            factors: those of the step, [batch, units] each.
            gradient: dL/d(state after the step).
            kernel: the recurrent kernel, transposed.

        Returns:
            dL/d(x_t W_x + b) of each gate and dL/d(state before the step).
        """

    def recurrent_products(
        self, kept: State, h: tf.Tensor, d_gates: Gates
    ) -> tuple[tuple[tf.Tensor, Gates], ...]:
        """The products with the recurrent kernel, and their gradients, at all steps.

        Args:
            kept: the kept tensors of each step, [time, batch, units] each.
            h: before each step, [time, batch, units].
            d_gates: dL/d(x_t W_x + b) of each gate, [time, batch, units].

        Returns:
            Pairs of a multiplied tensor, [time, batch, units], and dL/d(product) of each gate that it was multiplied
            for, [time, batch, units]; in the order of the gates.
        """
        del kept
        return ((h, d_gates),)


def summed(x: Gates, products: Gates) -> Gates:
    """The two parts of each gate, of the input and of h, added."""
    return tuple(a + b for a, b in zip(x, products, strict=True))
