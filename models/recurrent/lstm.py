"""The LSTM layer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras

from . import activations
from .cell import Cell, CudnnLayout, GateMatrices, Gates, State, TransposedMatrices, summed
from .layer import RecurrentLayer
from .positional import INITIALIZERS, PENALTIES, SEQUENCES, positional


@dataclass(frozen=True)
class _LSTMCell(Cell):
    recurrent_activation: activations.Activation

    gate_names: ClassVar = ("input", "forget", "candidate", "output")
    state_names: ClassVar = ("h", "c")
    kept_names: ClassVar = (*gate_names, "squashed")
    switches: ClassVar = ("input", "forget", "output")
    memory_gate: ClassVar = "forget"

    @property
    def cudnn(self) -> CudnnLayout | None:
        known = (self.activation.name, self.recurrent_activation.name) == ("tanh", "sigmoid")
        return CudnnLayout("lstm", (0, 1, 2, 3)) if known else None

    def forward(self, x: Gates, state: State, kernel: GateMatrices) -> tuple[State, State]:
        z_i, z_f, z_g, z_o = summed(x, kernel.product(state[0]))
        i = self.recurrent_activation.function(z_i)
        f = self.recurrent_activation.function(z_f)
        g = self.activation.function(z_g)
        o = self.recurrent_activation.function(z_o)
        c = f * state[1] + i * g
        squashed = self.activation.function(c)
        return (o * squashed, c), (i, f, g, o, squashed)

    def backward(
        self, kept: State, previous: State, gradient: State, kernel: TransposedMatrices
    ) -> tuple[Gates, State, State]:
        i, f, g, o, squashed = kept
        dh, dc = gradient
        gate, phi = self.recurrent_activation.gradient, self.activation.gradient
        dc += phi(squashed, dh * o)
        d_gates = (gate(i, dc * g), gate(f, dc * previous[1]), phi(g, dc * i), gate(o, dh * squashed))
        return d_gates, (), (kernel.product(d_gates), dc * f)


@keras.saving.register_keras_serializable("unroll")
class LSTM(RecurrentLayer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with forget gates (Gers et al., 2000).

    With sigma the recurrent activation, phi the activation, and z_t = x_t W_x + h_{t-1} W_h + b split in four
    in the gate order of Keras, i f g o:

        i_t = sigma(z_i)        f_t = sigma(z_f)        g_t = phi(z_g)        o_t = sigma(z_o)
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * phi(c_t)

    Weights, as in `keras.layers.LSTM`: kernel W_x [features, 4 units], recurrent kernel W_h [units, 4 units],
    bias b [4 units]. The state is (h, c), each [batch, units].

    Args:
        units: Number of units.
        recurrent_activation: Activation of the three gates.
        unit_forget_bias: Whether the bias of the forget gate starts at one (Jozefowicz et al., 2015), so that a new
            network remembers.
        **kwargs: As for `RecurrentLayer`.
    """

    state_names = _LSTMCell.state_names

    @positional(
        "units",
        "activation",
        "recurrent_activation",
        *INITIALIZERS,
        "unit_forget_bias",
        *PENALTIES,
        "seed",
        *SEQUENCES,
        "use_cudnn",
    )
    def __init__(
        self,
        units: int,
        *,
        recurrent_activation: str = "sigmoid",
        unit_forget_bias: bool = True,
        use_cudnn: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_cudnn = use_cudnn
        self.unit_forget_bias = unit_forget_bias
        self.cell = _LSTMCell(self.activation, self.recurrent_activation)

    def initial_memory_bias(self) -> keras.initializers.Initializer | None:
        if self.memory_bias is None and self.unit_forget_bias:
            return keras.initializers.Ones()
        return self.memory_bias

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "recurrent_activation": self.recurrent_activation.name,
            "unit_forget_bias": self.unit_forget_bias,
        }
