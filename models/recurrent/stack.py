"""Stacked recurrent layers, in one direction or two."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ...common.errors import UserError
from ..blocks.configured import Configured
from ..options import LOG, RecurrentOptions
from .gru import GRU
from .initializers import LogUniform, recurrent_kernel
from .lstm import LSTM
from .simple_rnn import SimpleRNN

# The layer of each `RecurrentOptions.cell`.
CELLS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SimpleRNN}

# For each layer a tensor [batch, units] for each of its states.
States = tuple[tuple[tf.Tensor, ...], ...]
# For each layer the factors of its input and of its h, [batch, features] and [batch, units].
DropoutMasks = list[tuple[tf.Tensor | None, tf.Tensor | None]]


def state_count(options: RecurrentOptions) -> int:
    """Returns the number of state tensors of all layers of a stack, in one direction."""
    return options.layers * len(CELLS[options.cell].state_names)


def _memory_bias(options: RecurrentOptions, seed: int) -> keras.initializers.Initializer | None:
    if options.forget_bias is None:
        return None
    if options.forget_bias != LOG:
        return keras.initializers.Constant(float(options.forget_bias))
    if options.sequence_length is None:
        raise UserError(
            f"--forget_bias={LOG} needs a limit on the length of the sequences, which this run lacks; give a number."
        )
    return LogUniform(options.sequence_length, seed)


@keras.saving.register_keras_serializable("unroll")
class RecurrentStack(Configured[RecurrentOptions]):
    """Stacked recurrent layers, each of which reads the outputs of the layer below.

    Args:
        options: Options of the layers, with the units of each direction. `dropout` and `truncate_gradient` act in every
            layer; `residual` skips the lowest layer, whose input may have another size.
        bidirectional: Whether to read from both ends and concatenate the outputs.
        input_dropout: Dropout of the lowest layer's input; None: `options.dropout`.
        concatenates: Whether to return the outputs of all layers, concatenated, instead of those of the top layer.
        seed: Seed of dropout.

    Call arguments:
        sequences: [batch, time, features].
        states: Initial states, in the form of the returned ones; None: zeros.
        mask: bool [batch, time], True for real steps, in any pattern.
        training: Whether to apply dropout.

    Returns:
        The outputs of the top layer, [batch, time, units] (2 * units with two directions), and the states after the
        last step: for each layer a tuple of tensors [batch, units], those of the backward direction last.
    """

    options_class = RecurrentOptions

    def __init__(
        self,
        options: RecurrentOptions,
        *,
        bidirectional: bool = False,
        input_dropout: float | None = None,
        concatenates: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.arguments = {
            "bidirectional": bidirectional,
            "input_dropout": input_dropout,
            "concatenates": concatenates,
            "seed": seed,
        }
        self.concatenates = concatenates
        self.supports_masking = True
        self.layers = []
        cell = CELLS[options.cell]
        for number in range(options.layers):
            shared = {
                "dropout": input_dropout if number == 0 and input_dropout is not None else options.dropout,
                "recurrent_dropout": options.recurrent_dropout,
                "weight_drop": options.weight_drop,
                "zoneout": options.zoneout,
                "truncate_gradient": options.truncate_gradient,
                "activation": options.activation,
                "recurrent_initializer": recurrent_kernel(
                    options.recurrent_initializer, options.recurrent_gain
                ),
                "memory_bias": _memory_bias(options, seed + 2 * number + 1),
                "return_sequences": True,
                "return_state": True,
                "name": f"{options.cell}_{number}",
            }
            layer = cell(options.units, seed=seed + 2 * number + 1, **shared)
            if bidirectional:
                # Each direction has its own seed; `Bidirectional` would copy the seed of the forward layer.
                backward = cell(options.units, go_backwards=True, seed=seed + 2 * number + 2, **shared)
                layer = keras.layers.Bidirectional(layer, backward_layer=backward, name=layer.name)
            self.layers.append(layer)

    def build(self, sequences_shape: tuple, states_shape: Any = None, mask_shape: Any = None) -> None:
        # Here, since stepping alone would never build the layers.
        features = sequences_shape[-1]
        for layer in self.layers:
            layer.build((None, None, features))
            features = self.options.units * (2 if self.arguments["bidirectional"] else 1)

    def call(
        self,
        sequences: tf.Tensor,
        states: States | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, States]:
        last, outputs_of_layers = [], []
        for number, layer in enumerate(self.layers):
            before = None if states is None else list(states[number])
            outputs, *after = layer(sequences, initial_state=before, mask=mask, training=training)
            sequences = outputs + sequences if self.options.residual and number else outputs
            outputs_of_layers.append(sequences)
            last.append(tuple(after))
        if self.concatenates:
            sequences = tf.concat(outputs_of_layers, axis=2)
        return sequences, tuple(last)

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """Computes x W_x + b of the lowest layer: [..., features] -> [..., gates * units]."""
        return self.layers[0].project(inputs)

    def stepper(
        self, projected: bool = True, dropped: DropoutMasks | None = None
    ) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        """Prepares a loop, and returns the function for one step of all layers, in one direction.

        The step is differentiable by autodiff.

        Args:
            projected: Whether the step takes `project(x_t)`, [batch, gates * units], instead of x_t.
            dropped: `dropout_masks`, the same at all steps; None for no dropout.

        Returns:
            A function of the input and the states of all layers, which returns the output of the top layer, [batch,
            units], or with `concatenates` of all layers, and the new states.
        """
        steps = [layer.stepper(projected and number == 0) for number, layer in enumerate(self.layers)]
        dropped = dropped or [(None, None)] * len(steps)

        def step(inputs: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
            new, outputs = [], []
            for number, (layer_step, (of_input, of_h)) in enumerate(zip(steps, dropped, strict=True)):
                read = inputs if of_input is None else inputs * of_input
                output, state = layer_step(read, states[number], of_h)
                inputs = output + inputs if self.options.residual and number else output
                outputs.append(inputs)
                new.append(state)
            return tf.concat(outputs, axis=-1) if self.concatenates else inputs, tuple(new)

        return step

    def dropout_masks(self, batch_size: tf.Tensor, features: int) -> DropoutMasks:
        """Draws, for each layer, the dropout masks of its input and of its h; None for no dropout.

        Args:
            batch_size: Number of rows.
            features: Features of the lowest layer's input.
        """
        masks = []
        for layer in self.layers:
            rates = ((layer.dropout, features), (layer.recurrent_dropout, layer.units))
            drawn = (layer.dropout_mask(rate, batch_size, size) if rate else None for rate, size in rates)
            masks.append(tuple(drawn))
            features = layer.units
        return masks

    def get_initial_state(self, batch_size: int | tf.Tensor) -> States:
        """Returns zeros, in one direction: for each layer a tensor [batch, units] for each of its states."""
        return tuple(layer.get_initial_state(batch_size) for layer in self.layers)
