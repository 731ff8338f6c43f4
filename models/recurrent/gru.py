"""The GRU layer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from . import activations
from .cell import Cell, CudnnLayout, GateMatrices, Gates, State, TransposedMatrices
from .layer import RecurrentLayer
from .positional import INITIALIZERS, PENALTIES, SEQUENCES, positional

_GATES, _CANDIDATE = slice(0, 2), slice(2, 3)


@dataclass(frozen=True)
class _ResetAfter(Cell):
    """The reset gate multiplies the candidate's recurrent product."""

    recurrent_activation: activations.Activation

    gate_names: ClassVar = ("update", "reset", "candidate")
    kept_names: ClassVar = ("update", "reset", "candidate", "recurrent_product")
    beside_names: ClassVar = ("recurrent_product_gradient",)
    switches: ClassVar = ("update", "reset")
    memory_gate: ClassVar = "update"
    separate_input: ClassVar = True

    @property
    def cudnn(self) -> CudnnLayout | None:
        known = (self.activation.name, self.recurrent_activation.name) == ("tanh", "sigmoid")
        return CudnnLayout("gru", (1, 0, 2)) if known else None

    def forward(self, x: Gates, state: State, kernel: GateMatrices) -> tuple[State, State]:
        (x_z, x_r, x_c), (h,) = x, state
        p_z, p_r, p_c = kernel.product(h)
        z = self.recurrent_activation.function(x_z + p_z)
        r = self.recurrent_activation.function(x_r + p_r)
        c = self.activation.function(x_c + r * p_c)
        return (c + z * (h - c),), (z, r, c, p_c)

    def backward(
        self, kept: State, previous: State, gradient: State, kernel: TransposedMatrices
    ) -> tuple[Gates, State, State]:
        (z, r, c, p_c), (h,), (dh,) = kept, previous, gradient
        gate, phi = self.recurrent_activation.gradient, self.activation.gradient
        direct = dh * z
        d_c = phi(c, dh - direct)
        d_z, d_r, d_product = gate(z, dh * (h - c)), gate(r, d_c * p_c), d_c * r
        return (d_z, d_r, d_c), (d_product,), (direct + kernel.product((d_z, d_r, d_product)),)

    def recurrent_products(
        self, h: tf.Tensor, d_gates: Gates, beside: State
    ) -> tuple[tuple[tf.Tensor, Gates], ...]:
        return ((h, (*d_gates[_GATES], *beside)),)


@dataclass(frozen=True)
class _ResetBefore(Cell):
    """The reset gate multiplies h before the candidate's recurrent product."""

    recurrent_activation: activations.Activation

    gate_names: ClassVar = _ResetAfter.gate_names
    kept_names: ClassVar = gate_names
    beside_names: ClassVar = ("reset_h",)
    switches: ClassVar = _ResetAfter.switches
    memory_gate: ClassVar = _ResetAfter.memory_gate

    def forward(self, x: Gates, state: State, kernel: GateMatrices) -> tuple[State, State]:
        (x_z, x_r, x_c), (h,) = x, state
        p_z, p_r = kernel.product(h, _GATES)
        z = self.recurrent_activation.function(x_z + p_z)
        r = self.recurrent_activation.function(x_r + p_r)
        (p_c,) = kernel.product(r * h, _CANDIDATE)
        c = self.activation.function(x_c + p_c)
        return (c + z * (h - c),), (z, r, c)

    def backward(
        self, kept: State, previous: State, gradient: State, kernel: TransposedMatrices
    ) -> tuple[Gates, State, State]:
        (z, r, c), (h,), (dh,) = kept, previous, gradient
        gate, phi = self.recurrent_activation.gradient, self.activation.gradient
        direct = dh * z
        d_z, d_c = gate(z, dh * (h - c)), phi(c, dh - direct)
        d_reset = kernel.product((d_c,), _CANDIDATE)
        d_r = gate(r, d_reset * h)
        before = direct + d_reset * r + kernel.product((d_z, d_r), _GATES)
        return (d_z, d_r, d_c), (r * h,), (before,)

    def recurrent_products(
        self, h: tf.Tensor, d_gates: Gates, beside: State
    ) -> tuple[tuple[tf.Tensor, Gates], ...]:
        return ((h, d_gates[_GATES]), (*beside, d_gates[_CANDIDATE]))


@keras.saving.register_keras_serializable("unroll")
class GRU(RecurrentLayer):
    """The gated recurrent unit (Cho et al., 2014, https://arxiv.org/abs/1406.1078).

    With sigma the recurrent activation, phi the activation, and x_t W_x + b and h_{t-1} W_h + b' split in three in the
    gate order of Keras, z r c:

        z_t = sigma(x_z + h_z)        r_t = sigma(x_r + h_r)
        c_t = phi(x_c + r_t * h_c)
        h_t = z_t * h_{t-1} + (1 - z_t) * c_t

    This is the form of cuDNN, `reset_after`. Without it the reset gate comes before the product, as in the paper, and
    b' is missing:

        c_t = phi(x_c + (r_t * h_{t-1}) W_hc)

    Weights, as in `keras.layers.GRU`: kernel W_x [features, 3 units], recurrent kernel W_h [units, 3 units], bias
    [2, 3 units] with `reset_after`, b and b', else [3 units]. The state is (h,), [batch, units].

    Args:
        units: Number of units.
        recurrent_activation: Activation of the two gates.
        reset_after: Whether the reset gate multiplies the recurrent product, rather than h before it.
        **kwargs: As for `RecurrentLayer`.
    """

    @positional(
        "units",
        "activation",
        "recurrent_activation",
        *INITIALIZERS,
        *PENALTIES,
        "seed",
        *SEQUENCES,
        "reset_after",
        "use_cudnn",
    )
    def __init__(
        self,
        units: int,
        *,
        recurrent_activation: str = "sigmoid",
        reset_after: bool = True,
        use_cudnn: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_cudnn = use_cudnn
        self.reset_after = reset_after
        self.cell = (_ResetAfter if reset_after else _ResetBefore)(self.activation, self.recurrent_activation)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "recurrent_activation": self.recurrent_activation.name,
            "reset_after": self.reset_after,
        }
