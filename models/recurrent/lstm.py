"""The LSTM layer."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from . import activations
from .layer import RecurrentLayer
from .loop import Factors, Gates, State


class _LSTMRecurrence(NamedTuple):
    activation: activations.Activation
    recurrent_activation: activations.Activation

    gates = 4
    state_size = 2
    kept_size = 4

    @property
    def cudnn_mode(self) -> str | None:
        return (
            "lstm" if (self.activation.name, self.recurrent_activation.name) == ("tanh", "sigmoid") else None
        )

    def forward(self, z: Gates, state: State) -> tuple[State, State]:
        z_i, z_f, z_g, z_o = z
        i = self.recurrent_activation.function(z_i)
        f = self.recurrent_activation.function(z_f)
        g = self.activation.function(z_g)
        o = self.recurrent_activation.function(z_o)
        c = f * state[1] + i * g
        return (o * self.activation.function(c), c), (i, f, g, o)

    def factors(self, kept: State, states: State, previous: State) -> Factors:
        i, f, g, o = kept
        squashed = self.activation.function(states[1])
        gate = self.recurrent_activation.derivative
        return Factors(
            inner=(
                o * self.activation.derivative(squashed),
                g * gate(i),
                previous[1] * gate(f),
                i * self.activation.derivative(g),
                squashed * gate(o),
            ),
            carry=(f,),
        )

    def backward(self, factors: Factors, gradient: State) -> tuple[Gates, State]:
        (h_to_c, c_to_i, c_to_f, c_to_g, h_to_o), (forget,) = factors
        dh, dc = gradient
        dc += dh * h_to_c
        return (dc * c_to_i, dc * c_to_f, dc * c_to_g, dh * h_to_o), (dc * forget,)


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
        units: number of units.
        recurrent_activation: of the three gates.
        unit_forget_bias: start the forget gate's bias at one (Jozefowicz et al., 2015), so that a new network
            remembers.
        **kwargs: as for `RecurrentLayer`.
    """

    gates = _LSTMRecurrence.gates
    state_size = _LSTMRecurrence.state_size

    def __init__(
        self,
        units: int,
        *,
        recurrent_activation: str = "sigmoid",
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    @property
    def recurrence(self) -> _LSTMRecurrence:
        return _LSTMRecurrence(self.activation, self.recurrent_activation)

    def initial_bias(self, shape: tuple[int, ...], dtype: str) -> tf.Tensor:
        if not self.unit_forget_bias:
            return super().initial_bias(shape, dtype)
        draw = self.bias_initializer
        parts = [
            draw((self.units,), dtype=dtype),
            tf.ones([self.units], dtype),
            draw((2 * self.units,), dtype=dtype),
        ]
        return tf.concat(parts, axis=0)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "recurrent_activation": self.recurrent_activation.name,
            "unit_forget_bias": self.unit_forget_bias,
        }
