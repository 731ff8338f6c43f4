"""A cell: one step of a recurrence, forward and backward, which the time loop repeats.

A new cell is a file with a subclass of `Cell` and its layer, and a line in `stack.CELLS`. The cell has everything that
depends on its kind: equations, names for reports and signatures, the layout for cuDNN.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import tensorflow as tf

from .activations import Activation

# One tensor [..., units] for each state, h first.
State = tuple[tf.Tensor, ...]
# One tensor [..., units] for each gate, in the order of the kernel's columns.
Gates = tuple[tf.Tensor, ...]
# Blocks of the columns of a matrix, [size, columns] each.
Blocks = tuple[tf.Tensor, ...]

_ALL = slice(None)


class GateMatrices(NamedTuple):
    """A kernel [size, gates * units] for a loop: small matrices for each gate, and its bias.

    On two CPU cores, four products of [32, 256] with [256, 256] take half the time of one with [256, 1024], and need no
    splitting or joining: TensorFlow runs such a product on one core, and several side by side. A single gate therefore
    has two matrices.

    Attributes:
        matrices: For each gate, blocks of columns; [size, units] together.
        biases: [units] for each gate, or None.
        dropout: Factors of h, [batch, units], or None.
        inputs: Inputs to prepend to h, [batch, features], or None; the first rows of the matrices are then those of the
            input kernel.
    """

    matrices: tuple[Blocks, ...]
    biases: Gates | None = None
    dropout: tf.Tensor | None = None
    inputs: tf.Tensor | None = None

    @classmethod
    def split(
        cls, kernel: tf.Tensor, bias: tf.Tensor | None, gates: int, dropout: tf.Tensor | None = None
    ) -> "GateMatrices":
        """Splits a kernel [size, gates * units] and its bias [gates * units], before a loop."""
        biases = None if bias is None else tuple(tf.split(bias, gates))
        return cls(_blocks(tf.split(kernel, gates, axis=1)), biases, dropout)

    def product(self, h: tf.Tensor, gates: slice = _ALL) -> Gates:
        """Returns h W + b, [..., units], for each of the gates."""
        h = h if self.dropout is None else h * self.dropout
        h = h if self.inputs is None else tf.concat([self.inputs, h], axis=1)
        products = tuple(_product(h, blocks) for blocks in self.matrices[gates])
        if self.biases is None:
            return products
        # Not `bias_add`: TensorFlow would join it with the product, and a small product then takes twice as long.
        return tuple(p + bias for p, bias in zip(products, self.biases[gates], strict=True))


class TransposedMatrices(NamedTuple):
    """The transposed recurrent kernel, gate by gate, which carries gradients from the gates back to h.

    Attributes:
        matrices: For each gate, blocks of columns; [units, units] together.
        dropout: Factors of h in the forward pass, [batch, units], or None.
    """

    matrices: tuple[Blocks, ...]
    dropout: tf.Tensor | None = None

    @classmethod
    def split(cls, kernel: tf.Tensor, gates: int, dropout: tf.Tensor | None) -> "TransposedMatrices":
        """Splits a kernel [units, gates * units], before a loop."""
        # Transposed once: on a CPU a small product with `transpose_b=True` runs at half the speed.
        return cls(_blocks(tf.split(tf.transpose(kernel), gates, axis=0)), dropout)

    def product(self, gradients: Gates, gates: slice = _ALL) -> tf.Tensor:
        """Returns dL/dh, [batch, units], from dL/d(h W) of the gates."""
        products = [_product(d, blocks) for d, blocks in zip(gradients, self.matrices[gates], strict=True)]
        total = tf.add_n(products)
        return total if self.dropout is None else total * self.dropout


def _blocks(matrices: Sequence[tf.Tensor]) -> tuple[Blocks, ...]:
    """Returns the blocks of columns of each gate's matrix: one, or two of a single gate."""
    if len(matrices) > 1:
        return tuple((matrix,) for matrix in matrices)
    columns = tf.shape(matrices[0])[1]
    return (tuple(tf.split(matrices[0], [columns // 2, columns - columns // 2], axis=1)),)


def _product(values: tf.Tensor, blocks: Blocks) -> tf.Tensor:
    products = [tf.matmul(values, block) for block in blocks]
    return products[0] if len(products) == 1 else tf.concat(products, axis=-1)


class CudnnLayout(NamedTuple):
    """The layout of a cell in cuDNN.

    Attributes:
        mode: cuDNN's name of the recurrence.
        gate_order: Indices of our gates in cuDNN's order.
    """

    mode: str
    gate_order: tuple[int, ...]


@dataclass(frozen=True)
class Cell(ABC):
    """One step of a recurrence.

    The layer projects the inputs, x_t W_x + b, for all steps at once. The step receives these projections gate by gate,
    and multiplies h_{t-1} (or a function of it) with the matrices of the recurrent kernel itself. The backward step is
    *linear* in the incoming gradient, so that zeros stay zeros at masked steps.

    Attributes:
        activation: Activation of the candidate.
        gate_names: Gates in the order of the kernel's columns.
        state_names: Tensors of a state; the first is h, the output.
        kept_names: Tensors that `forward` keeps of each step. Keeping costs memory and no time.
        beside_names: Tensors of a backward step, beside the gradients of the gates, that the gradient of the recurrent
            kernel needs.
        switches: Kept tensors that open and close between 0 and 1.
        memory_gate: Switch whose value is the share of the old state in the new one, or None.
        separate_input: Whether a step needs the input part and the recurrent part of a gate separately. Otherwise it
            uses only their sum, and both may come from one product.
    """

    activation: Activation

    gate_names: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    kept_names: ClassVar[tuple[str, ...]] = ()
    beside_names: ClassVar[tuple[str, ...]] = ()
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
        """The cell's layout in cuDNN, or None if cuDNN lacks the cell."""
        return None

    @abstractmethod
    def forward(self, x: Gates, state: State, kernel: GateMatrices) -> tuple[State, State]:
        """Makes one step.

        Args:
            x: x_t W_x + b of each gate, [..., units].
            state: State before the step, [..., units] each.
            kernel: Recurrent kernel.

        Returns:
            The state after the step, and the tensors that `backward` needs, as named in `kept_names`.
        """

    @abstractmethod
    def backward(
        self, kept: State, previous: State, gradient: State, kernel: TransposedMatrices
    ) -> tuple[Gates, State, State]:
        """Makes one backward step.

        Args:
            kept: Kept tensors of the step, [batch, units] each.
            previous: State before the step.
            gradient: dL/d(state after the step).
            kernel: Recurrent kernel, transposed.

        Returns:
            dL/d(x_t W_x + b) of each gate; the tensors named in `beside_names`; and dL/d(state before the step).
        """

    def recurrent_products(
        self, h: tf.Tensor, d_gates: Gates, beside: State
    ) -> tuple[tuple[tf.Tensor, Gates], ...]:
        """Returns the tensors multiplied with the recurrent kernel, and the gradients of their products, at all steps.

        Args:
            h: h before each step, [time, batch, units].
            d_gates: dL/d(x_t W_x + b) of each gate, [time, batch, units].
            beside: What `backward` returned beside them.

        Returns:
            Pairs of a multiplied tensor, [time, batch, units], and dL/d(product) of each of its gates, [time, batch,
            units]; in the order of the gates.
        """
        del beside
        return ((h, d_gates),)


def summed(x: Gates, products: Gates) -> Gates:
    """Adds the input part and the recurrent part of each gate."""
    return tuple(a + b for a, b in zip(x, products, strict=True))
