"""Recurrent layers on top of each other, in one direction or two."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from .gru import GRU
from .lstm import LSTM
from .simple_rnn import SimpleRNN

CELLS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SimpleRNN}

# The state of each layer, each a tensor [batch, units] for each of its states.
States = tuple[tuple[tf.Tensor, ...], ...]
# For each layer, what its input and its h are multiplied with, [batch, features] and [batch, units].
DropoutMasks = list[tuple[tf.Tensor | None, tf.Tensor | None]]


@keras.saving.register_keras_serializable("unroll")
class RecurrentStack(keras.layers.Layer):
    """Stacked recurrent layers, each of which reads the outputs of the one below.

    Args:
        cell: lstm, gru or simple_rnn.
        layers: their number.
        units: of each layer and direction.
        bidirectional: read from both ends and concatenate the outputs.
        residual: add a layer's input to its output, but for the lowest layer, whose input may be of another size.
        dropout: share dropped of the features that a layer reads, the same at all steps of a sequence.
        input_dropout: the same for the lowest layer; None means as `dropout`.
        recurrent_dropout: share of h dropped on its way through the recurrent kernel.
        truncate_gradient: steps that the gradient reaches back, or None for all.
        seed: of dropout.

    Call arguments:
        sequences: [batch, time, features].
        states: what an earlier call returned, to go on from there; None for zeros.
        mask: bool [batch, time], True for real steps, of any pattern.
        training: whether to drop.

    Returns:
        The outputs of the uppermost layer, [batch, time, units] (2 * units with two directions), and the states
        after the last step: for each layer a tuple of tensors [batch, units], those of the backward direction last.
    """

    def __init__(
        self,
        cell: str,
        layers: int,
        units: int,
        *,
        bidirectional: bool = False,
        residual: bool = False,
        dropout: float = 0.0,
        input_dropout: float | None = None,
        recurrent_dropout: float = 0.0,
        truncate_gradient: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = {
            "cell": cell,
            "layers": layers,
            "units": units,
            "bidirectional": bidirectional,
            "residual": residual,
            "dropout": dropout,
            "input_dropout": input_dropout,
            "recurrent_dropout": recurrent_dropout,
            "truncate_gradient": truncate_gradient,
            "seed": seed,
        }
        self.residual = residual
        self.supports_masking = True
        self.layers = []
        for number in range(layers):
            options = {
                "dropout": input_dropout if number == 0 and input_dropout is not None else dropout,
                "recurrent_dropout": recurrent_dropout,
                "truncate_gradient": truncate_gradient,
                "return_sequences": True,
                "return_state": True,
                "name": f"{cell}_{number}",
            }
            layer = CELLS[cell](units, seed=seed + 2 * number + 1, **options)
            if bidirectional:
                # Each direction drops units of its own; left to itself, `Bidirectional` copies the seed.
                backward = CELLS[cell](units, go_backwards=True, seed=seed + 2 * number + 2, **options)
                layer = keras.layers.Bidirectional(layer, backward_layer=backward, name=layer.name)
            self.layers.append(layer)

    def build(self, sequences_shape: tuple, states_shape: Any = None, mask_shape: Any = None) -> None:
        # Here, not at the first call: stepping alone would never make the weights.
        features = sequences_shape[-1]
        for layer in self.layers:
            layer.build((None, None, features))
            features = self.config["units"] * (2 if self.config["bidirectional"] else 1)

    def call(
        self,
        sequences: tf.Tensor,
        states: States | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, States]:
        last = []
        for number, layer in enumerate(self.layers):
            before = None if states is None else list(states[number])
            outputs, *after = layer(sequences, initial_state=before, mask=mask, training=training)
            sequences = outputs + sequences if self.residual and number else outputs
            last.append(tuple(after))
        return sequences, tuple(last)

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """x W_x + b of the lowest layer: [..., features] -> [..., gates * units]."""
        return self.layers[0].project(inputs)

    def stepper(
        self, projected: bool = True, dropped: DropoutMasks | None = None
    ) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        """One step of all layers, in one direction, for a loop that it is called before; differentiable by autodiff.

        Args:
            projected: whether the step is given `project(x_t)`, [batch, gates * units], or x_t itself.
            dropped: `dropout_masks`, the same at all steps; None drops nothing.

        Returns:
            A function of the input and the states of all layers, which returns the output of the uppermost layer,
            [batch, units], and the new states.
        """
        steps = [layer.stepper(projected and number == 0) for number, layer in enumerate(self.layers)]
        dropped = dropped or [(None, None)] * len(steps)

        def step(inputs: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
            new = []
            for number, (layer_step, (of_input, of_h)) in enumerate(zip(steps, dropped, strict=True)):
                read = inputs if of_input is None else inputs * of_input
                output, state = layer_step(read, states[number], of_h)
                inputs = output + inputs if self.residual and number else output
                new.append(state)
            return inputs, tuple(new)

        return step

    def dropout_masks(self, batch_size: tf.Tensor, features: int) -> DropoutMasks:
        """For each layer what its input and its h are multiplied with in training, None for nothing.

        Args:
            batch_size: number of rows.
            features: of the lowest layer's input.
        """
        masks = []
        for layer in self.layers:
            rates = ((layer.dropout, features), (layer.recurrent_dropout, layer.units))
            drawn = (layer.dropout_mask(rate, batch_size, size) if rate else None for rate, size in rates)
            masks.append(tuple(drawn))
            features = layer.units
        return masks

    def get_initial_state(self, batch_size: int | tf.Tensor) -> States:
        """Zeros, in one direction: for each layer a tensor [batch, units] for each of its states."""
        return tuple(layer.get_initial_state(batch_size) for layer in self.layers)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.config
