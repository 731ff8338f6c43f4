"""The recurrent decoder with attention: from what was written so far to what comes next."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from unroll.models.attention import Attention, Memory, at_each_step
from unroll.models.random import ReplicaSeedGenerator
from unroll.models.recurrent import RecurrentStack, States, taps
from unroll.models.recurrent.loop import block_edges

# Of the recurrent layers, and with input feeding the last output.
DecoderStates = tuple[States, tuple[tf.Tensor, ...]]


@keras.saving.register_keras_serializable("unroll")
class Decoder(keras.layers.Layer):
    """Stacked recurrent layers whose output looks into a memory (Luong et al., 2015, https://arxiv.org/abs/1508.04025).

    With h_t the output of the recurrent layers, and context_t what attention sees with h_t as its query,

        o_t = tanh(W [context_t, h_t] + b)

    is the output; without attention it is W h_t + b alone within the tanh. With a gate the context is multiplied by a
    number that says how much the decoder needs to see, sigmoid(v . h_t + c) (Xu et al., 2015,
    https://arxiv.org/abs/1502.03044). With input feeding the recurrent layers read
    [x_t, o_{t-1}], so that attention knows where it has looked; the training then goes step by step, its gradient left
    to autodiff. Without it the recurrent layers go through the whole sequence first, by their own loop, and attention
    follows in one product.

    Args:
        cell, layers, units, residual, dropout, recurrent_dropout, truncate_gradient, seed: as for `RecurrentStack`.
        output_size: of o_t.
        attention: dot, scaled, general or additive; None: the decoder does not look.
        gated: whether there is a gate.
        input_feeding: whether there is.

    Call arguments:
        inputs: [rows, time, features].
        memory: what `remember` returned, for each row or for so many rows in succession.
        states: of the recurrent layers at the start, for each row.
        mask: bool [rows, time], True for real steps, which come first; the blocks of a truncated gradient are counted
            back from the last of them, and the outputs of the others mean nothing. None: all are real.
        training: whether to drop.
        return_weights: whether to return the attention weights, too.

    Returns:
        The outputs o_t, [rows, time, output_size]; with `return_weights` a tuple of them and the attention weights,
        [rows, time, places].
    """

    def __init__(
        self,
        cell: str,
        layers: int,
        units: int,
        output_size: int,
        *,
        attention: str | None = "general",
        gated: bool = False,
        input_feeding: bool = False,
        residual: bool = False,
        dropout: float = 0.0,
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
            "output_size": output_size,
            "attention": attention,
            "gated": gated,
            "input_feeding": input_feeding,
            "residual": residual,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "truncate_gradient": truncate_gradient,
            "seed": seed,
        }
        self.supports_masking = True
        self.input_feeding = input_feeding
        self.truncate_gradient = truncate_gradient
        self.output_size = output_size
        self.dropout = dropout
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.recurrent = RecurrentStack(
            cell,
            layers,
            units,
            residual=residual,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            truncate_gradient=truncate_gradient,
            seed=seed,
            name="recurrent",
        )
        self.attention = Attention(attention, units, name="attention") if attention else None
        self.gate = None
        if attention and gated:
            self.gate = keras.layers.Dense(1, activation="sigmoid", name="gate")
        self.output_layer = keras.layers.Dense(output_size, activation="tanh", name="output")

    def remember(self, values: tf.Tensor, mask: tf.Tensor) -> Memory:
        """The memory of some values, [batch, places, features], and their mask, bool [batch, places]."""
        return (
            Memory(values, mask, values) if self.attention is None else self.attention.remember(values, mask)
        )

    def build(
        self, inputs_shape: tuple, memory_shape: Memory, states_shape: Any = None, mask_shape: Any = None
    ) -> None:
        # Here, not at the first call, which may be inside a loop.
        fed = self.output_size if self.input_feeding else 0
        self.recurrent.build((None, None, inputs_shape[-1] + fed))
        seen = 0
        if self.attention is not None:
            self.attention.build((None, None, self.config["units"]), memory_shape)
            seen = memory_shape[0][-1]
        if self.gate is not None:
            self.gate.build((None, None, self.config["units"]))
        self.output_layer.build((None, None, self.config["units"] + seen))

    def call(
        self,
        inputs: tf.Tensor,
        memory: Memory,
        states: States,
        mask: tf.Tensor | None = None,
        training: bool = False,
        return_weights: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        if self.input_feeding:
            outputs, weights = self._fed(inputs, memory, states, mask, training)
        else:
            hidden, _ = self.recurrent(inputs, states=states, mask=mask, training=training)
            outputs, weights = self._look(hidden, memory)
        if training and self.dropout:
            shape = (tf.shape(outputs)[0], 1, self.output_size)
            outputs = keras.random.dropout(outputs, self.dropout, noise_shape=shape, seed=self.seed_generator)
        return (outputs, weights) if return_weights else outputs

    def initial_states(self, states: States) -> DecoderStates:
        """What the first step is given, with the states of the recurrent layers at the start."""
        if not self.input_feeding:
            return states, ()
        return states, (tf.zeros([tf.shape(states[0][0])[0], self.output_size], self.compute_dtype),)

    def stepper(
        self, memory: Memory, dropped: Any = None
    ) -> Callable[[tf.Tensor, DecoderStates], tuple[tf.Tensor, DecoderStates, tf.Tensor]]:
        """One step, for a loop that it is called before; differentiable by autodiff.

        Args:
            memory: of some rows.
            dropped: masks of `RecurrentStack.dropout_masks`.

        Returns:
            A function of the inputs x_t, [rows, features], and the states, which returns o_t, the new states, and
            the attention weights, [rows, places]. There may be several rows in succession for each row of the memory.
        """
        recurrent_step = self.recurrent.stepper(projected=False, dropped=dropped)

        def step(inputs: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates, tf.Tensor]:
            recurrent_states, fed = states
            hidden, recurrent_states = recurrent_step(tf.concat([inputs, *fed], axis=1), recurrent_states)
            output, weights = self._look(hidden[:, None], memory)
            output = output[:, 0]
            fed = (output,) if self.input_feeding else ()
            return output, (recurrent_states, fed), weights[:, 0]

        return step

    def _look(self, hidden: tf.Tensor, memory: Memory) -> tuple[tf.Tensor, tf.Tensor]:
        """[rows, time, units] -> the outputs and the attention weights, [rows, time, places]."""
        rows, time = tf.shape(hidden)[0], tf.shape(hidden)[1]
        batch, places = tf.shape(memory.mask)[0], tf.shape(memory.mask)[1]
        if self.attention is None:
            return at_each_step(self.output_layer, hidden), tf.zeros([rows, time, places], hidden.dtype)
        # The rows that share a row of the memory ask as one.
        queries = tf.reshape(hidden, [batch, rows // tf.maximum(batch, 1) * time, hidden.shape[2]])
        context, weights = self.attention(queries, memory)
        context = tf.reshape(context, [rows, time, context.shape[2]])
        if self.gate is not None:
            context *= at_each_step(self.gate, hidden)
        outputs = at_each_step(self.output_layer, tf.concat([context, hidden], axis=-1))
        return outputs, tf.reshape(weights, [rows, time, places])

    def _fed(
        self, inputs: tf.Tensor, memory: Memory, states: States, mask: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The outputs and the attention weights with input feeding, step by step."""
        batch, length = tf.shape(inputs)[0], tf.shape(inputs)[1]
        dropped = None
        if training:
            dropped = self.recurrent.dropout_masks(batch, inputs.shape[2] + self.output_size)
        step = self.stepper(memory, dropped)
        truncated = self.truncate_gradient and not taps.ignore_truncation()
        if truncated:
            real = tf.ones([batch, length], tf.bool) if mask is None else mask
            cut = block_edges(tf.transpose(real)[..., None], self.truncate_gradient)
        time_major = tf.transpose(inputs, [1, 0, 2])
        array = tf.TensorArray(self.compute_dtype, size=length, element_shape=[None, inputs.shape[2]])
        array = array.unstack(time_major)
        outputs = tf.TensorArray(self.compute_dtype, size=length, element_shape=[None, self.output_size])
        seen = tf.TensorArray(self.compute_dtype, size=length, element_shape=[None, None])

        def write(
            t: tf.Tensor, states: DecoderStates, outputs: tf.TensorArray, seen: tf.TensorArray
        ) -> tuple:
            if truncated:
                states = tf.nest.map_structure(lambda s: tf.where(cut[t], tf.stop_gradient(s), s), states)
            output, states, weights = step(array.read(t), states)
            return t + 1, states, outputs.write(t, output), seen.write(t, weights)

        _, _, outputs, seen = taps.while_loop(
            self.recurrent.layers,
            length,
            batch,
            write,
            (0, self.initial_states(states), outputs, seen),
        )
        return tf.transpose(outputs.stack(), [1, 0, 2]), tf.transpose(seen.stack(), [1, 0, 2])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.config
