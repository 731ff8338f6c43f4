"""The vanilla recurrent layer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras

from .cell import Cell, CudnnLayout, GateMatrices, Gates, State, TransposedMatrices, summed
from .layer import RecurrentLayer
from .positional import INITIALIZERS, PENALTIES, SEQUENCES, positional


@dataclass(frozen=True)
class _SimpleCell(Cell):
    gate_names: ClassVar = ("recurrent",)
    kept_names: ClassVar = ("output",)

    @property
    def cudnn(self) -> CudnnLayout | None:
        mode = {"tanh": "rnn_tanh", "relu": "rnn_relu"}.get(self.activation.name)
        return CudnnLayout(mode, (0,)) if mode else None

    def forward(self, x: Gates, state: State, kernel: GateMatrices) -> tuple[State, State]:
        (z,) = summed(x, kernel.product(state[0]))
        h = self.activation.function(z)
        return (h,), (h,)

    def backward(
        self, kept: State, previous: State, gradient: State, kernel: TransposedMatrices
    ) -> tuple[Gates, State, State]:
        d_gates = (self.activation.gradient(kept[0], gradient[0]),)
        return d_gates, (), (kernel.product(d_gates),)


@keras.saving.register_keras_serializable("unroll")
class SimpleRNN(RecurrentLayer):
    """The recurrent network of Elman (1990).

        h_t = tanh(x_t W_x + h_{t-1} W_h + b)

    Weights, as in `keras.layers.SimpleRNN`: kernel W_x [features, units], recurrent kernel W_h [units, units],
    bias b [units]. The state is (h,), [batch, units].
    """

    @positional(
        "units",
        "activation",
        *INITIALIZERS,
        *PENALTIES,
        *SEQUENCES,
        "seed",
    )
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.cell = _SimpleCell(self.activation)
        if self.memory_bias is not None:
            raise ValueError("SimpleRNN has no gates; leave memory_bias out.")

    @classmethod
    def irnn(cls, units: int, **kwargs: Any) -> "SimpleRNN":
        """Returns the IRNN of Le, Jaitly and Hinton (2015, https://arxiv.org/abs/1504.00941): ReLU units whose
        recurrent kernel starts as the identity, so that a new network forgets nothing."""
        return cls(units, activation="relu", recurrent_initializer="identity", **kwargs)
