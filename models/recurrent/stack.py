"""Recurrent layers on top of each other, in one direction or two."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from unroll.models.recurrent.lstm import LSTM
from unroll.models.recurrent.simple_rnn import SimpleRNN

CELLS = {"lstm": LSTM, "simple_rnn": SimpleRNN}

# The state of each layer, each a tensor [batch, units] for each of its states.
States = tuple[tuple[tf.Tensor, ...], ...]


@keras.saving.register_keras_serializable("unroll")
class RecurrentStack(keras.layers.Layer):
    """Stacked recurrent layers, each of which reads the outputs of the one below.

    Args:
        cell: lstm or simple_rnn.
        layers: their number.
        units: of each layer and direction.
        bidirectional: read from both ends and concatenate the outputs.
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
            "dropout": dropout,
            "input_dropout": input_dropout,
            "recurrent_dropout": recurrent_dropout,
            "truncate_gradient": truncate_gradient,
            "seed": seed,
        }
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
            sequences, *after = layer(sequences, initial_state=before, mask=mask, training=training)
            last.append(tuple(after))
        return sequences, tuple(last)

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """What `step` wants of the inputs: [..., features] -> [..., gates * units] of the lowest layer."""
        return self.layers[0].project(inputs)

    def stepper(self) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        """One step of all layers, in one direction, for a loop that it is called before; differentiable by autodiff.

        Returns:
            A function of the projected input (`project(x_t)`, [batch, gates * units]) and the states of all layers,
            which returns the output of the uppermost layer, [batch, units], and the new states.
        """
        steps = [layer.stepper() for layer in self.layers]

        def step(projected_input: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
            output, state = steps[0](projected_input, states[0])
            new = [state]
            for number, layer in enumerate(self.layers[1:], start=1):
                output, state = steps[number](layer.project(output), states[number])
                new.append(state)
            return output, tuple(new)

        return step

    def get_initial_state(self, batch_size: int | tf.Tensor) -> States:
        """Zeros, in one direction: for each layer a tensor [batch, units] for each of its states."""
        return tuple(layer.get_initial_state(batch_size) for layer in self.layers)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.config
