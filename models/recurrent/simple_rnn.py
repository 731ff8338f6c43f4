"""The vanilla recurrent layer."""

from typing import Any, NamedTuple

import keras

from . import activations
from .layer import RecurrentLayer
from .loop import Factors, Gates, State


class _SimpleRecurrence(NamedTuple):
    activation: activations.Activation

    gates = 1
    state_size = 1
    kept_size = 0

    @property
    def cudnn_mode(self) -> str | None:
        return {"tanh": "rnn_tanh", "relu": "rnn_relu"}.get(self.activation.name)

    def forward(self, z: Gates, state: State) -> tuple[State, State]:
        return (self.activation.function(z[0]),), ()

    def factors(self, kept: State, states: State, previous: State) -> Factors:
        return Factors(inner=(self.activation.derivative(states[0]),), carry=())

    def backward(self, factors: Factors, gradient: State) -> tuple[Gates, State]:
        return (gradient[0] * factors.inner[0],), ()


@keras.saving.register_keras_serializable("unroll")
class SimpleRNN(RecurrentLayer):
    """The recurrent network of Elman (1990).

        h_t = tanh(x_t W_x + h_{t-1} W_h + b)

    Weights, as in `keras.layers.SimpleRNN`: kernel W_x [features, units], recurrent kernel W_h [units, units],
    bias b [units]. The state is (h,), [batch, units].
    """

    gates = _SimpleRecurrence.gates
    state_size = _SimpleRecurrence.state_size

    @classmethod
    def irnn(cls, units: int, **kwargs: Any) -> "SimpleRNN":
        """The preset of Le, Jaitly and Hinton (2015, https://arxiv.org/abs/1504.00941): ReLU units whose recurrent
        kernel starts as the identity, so that at first nothing is forgotten."""
        return cls(units, activation="relu", recurrent_initializer="identity", **kwargs)

    @property
    def recurrence(self) -> _SimpleRecurrence:
        return _SimpleRecurrence(self.activation)
