"""The recurrent decoder with attention: from what was written so far to what comes next."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ..blocks.configured import Configured
from ..blocks.random import ReplicaSeedGenerator
from ..options import DecoderOptions, RecurrentOptions
from ..recurrent import RecurrentStack, States, tracing
from ..recurrent.loop import block_edges
from .attention import Attention, Memory, at_each_step

# Of the recurrent layers, and with input feeding the last output.
DecoderStates = tuple[States, tuple[tf.Tensor, ...]]


@keras.saving.register_keras_serializable("unroll")
class Decoder(Configured, keras.layers.Layer):
    """Stacked recurrent layers whose output looks into a memory (Luong et al., 2015, https://arxiv.org/abs/1508.04025).

    With h_t the output of the recurrent layers, and context_t what attention sees with h_t as its query,

        o_t = tanh(W [context_t, h_t] + b)

    is the output; without attention it is W h_t + b alone within the tanh. As a context is a weighted mean, its share
    of the product is a mean of products, which are computed once for all steps. With a gate the context is multiplied
    by a number that says how much the decoder needs to see, sigmoid(v . h_t + c) (Xu et al., 2015,
    https://arxiv.org/abs/1502.03044). With input feeding the recurrent layers read [x_t, o_{t-1}], so that attention
    knows where it has looked; the training then goes step by step, its gradient left to autodiff. Without it the
    recurrent layers go through the whole sequence first, by their own loop, and attention follows in one product.

    Args:
        options: Of the decoder.
        output_size: Size of o_t.
        seed: Seed of dropout.

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

    options_class = DecoderOptions

    def __init__(self, options: DecoderOptions, output_size: int, *, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.arguments = {"output_size": output_size, "seed": seed}
        self.supports_masking = True
        self.output_size = output_size
        self.seed_generator = ReplicaSeedGenerator(seed)
        self.recurrent = RecurrentStack(RecurrentOptions.of(options), seed=seed, name="recurrent")
        looks = options.attention != "none"
        self.attention = Attention(options.attention, options.units, name="attention") if looks else None
        self.gate = None
        if looks and options.gated_context:
            self.gate = keras.layers.Dense(1, activation="sigmoid", name="gate")
        self.output_layer = keras.layers.Dense(output_size, activation="tanh", name="output")

    def remember(self, values: tf.Tensor, mask: tf.Tensor) -> Memory:
        """The memory of some values, [batch, places, features], and their mask, bool [batch, places]: what is looked at
        is what they add to the outputs, [batch, places, output_size]."""
        if self.attention is None:
            return Memory(values, mask, values)
        features = values.shape[2]
        self._build_output(features)
        memory = self.attention.remember(values, mask)
        added = tf.matmul(tf.reshape(values, [-1, features]), self._output_weights()[0][:features])
        return memory._replace(
            values=tf.reshape(added, [*tf.unstack(tf.shape(values)[:2]), self.output_size])
        )

    def build(
        self, inputs_shape: tuple, memory_shape: Memory, states_shape: Any = None, mask_shape: Any = None
    ) -> None:
        # Here, not at the first call, which may be inside a loop.
        fed = self.output_size if self.options.input_feeding else 0
        self.recurrent.build((None, None, inputs_shape[-1] + fed))
        if self.attention is not None:
            self.attention.build((None, None, self.options.units), memory_shape)
        if self.gate is not None:
            self.gate.build((None, None, self.options.units))
        # Where something was remembered already, its values are not of their own size any more, and this is made.
        self._build_output(0 if self.attention is None else memory_shape[0][-1])

    def call(
        self,
        inputs: tf.Tensor,
        memory: Memory,
        states: States,
        mask: tf.Tensor | None = None,
        training: bool = False,
        return_weights: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        if self.options.input_feeding:
            outputs, weights = self._fed(inputs, memory, states, mask, training)
        else:
            hidden, _ = self.recurrent(inputs, states=states, mask=mask, training=training)
            outputs, weights = self._looker(memory)(hidden)
        if training and self.options.dropout:
            shape = (tf.shape(outputs)[0], 1, self.output_size)
            outputs = keras.random.dropout(
                outputs, self.options.dropout, noise_shape=shape, seed=self.seed_generator
            )
        return (outputs, weights) if return_weights else outputs

    def initial_states(self, states: States) -> DecoderStates:
        """What the first step is given, with the states of the recurrent layers at the start."""
        if not self.options.input_feeding:
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
        recurrent_step, look = self.recurrent.stepper(projected=False, dropped=dropped), self._looker(memory)

        def step(inputs: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates, tf.Tensor]:
            recurrent_states, fed = states
            hidden, recurrent_states = recurrent_step(tf.concat([inputs, *fed], axis=1), recurrent_states)
            output, weights = look(hidden[:, None])
            output = output[:, 0]
            fed = (output,) if self.options.input_feeding else ()
            return output, (recurrent_states, fed), weights[:, 0]

        return step

    def _looker(self, memory: Memory) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """For a loop that it is called before, a function of the outputs of the recurrent layers, [rows, time, units],
        to the outputs o_t and the attention weights, [rows, time, places]."""
        units = self.options.units
        kernel, bias = self._output_weights()
        kernel, activation = kernel[-units:], self.output_layer.activation
        batch, places = tf.unstack(tf.shape(memory.mask))

        def look(hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows, time, _ = tf.unstack(tf.shape(hidden))
            outputs = tf.matmul(tf.reshape(hidden, [-1, units]), kernel) + bias
            outputs = tf.reshape(outputs, [rows, time, self.output_size])
            if self.attention is None:
                return activation(outputs), tf.zeros([rows, time, places], hidden.dtype)
            # The rows that share a row of the memory ask as one.
            queries = tf.reshape(hidden, [batch, rows // tf.maximum(batch, 1) * time, units])
            context, weights = self.attention(queries, memory)
            context = tf.reshape(context, [rows, time, self.output_size])
            if self.gate is not None:
                context *= at_each_step(self.gate, hidden)
            return activation(outputs + context), tf.reshape(weights, [rows, time, places])

        return look

    def _build_output(self, features: int) -> None:
        if not self.output_layer.built:
            self.output_layer.build((None, None, features + self.options.units))

    def _output_weights(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The kernel, first the rows for the context and then those for h_t, and the bias."""
        return tuple(
            tf.cast(tf.convert_to_tensor(weight), self.compute_dtype)
            for weight in (self.output_layer.kernel, self.output_layer.bias)
        )

    def _fed(
        self, inputs: tf.Tensor, memory: Memory, states: States, mask: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The outputs and the attention weights with input feeding, step by step."""
        batch, length = tf.shape(inputs)[0], tf.shape(inputs)[1]
        dropped = None
        if training:
            dropped = self.recurrent.dropout_masks(batch, inputs.shape[2] + self.output_size)
        step = self.stepper(memory, dropped)
        truncated = self.options.truncate_gradient and tracing.current().truncates
        if truncated:
            real = tf.ones([batch, length], tf.bool) if mask is None else mask
            cut = block_edges(tf.transpose(real)[..., None], self.options.truncate_gradient)
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

        _, _, outputs, seen = tracing.current().while_loop(
            self.recurrent.layers,
            length,
            batch,
            write,
            (0, self.initial_states(states), outputs, seen),
        )
        return tf.transpose(outputs.stack(), [1, 0, 2]), tf.transpose(seen.stack(), [1, 0, 2])
