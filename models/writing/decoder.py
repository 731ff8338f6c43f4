"""The recurrent decoder with attention: reads tokens, and returns the outputs that predict the next ones."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ..blocks.configured import Configured
from ..blocks.random import ReplicaSeedGenerator
from ..blocks.transpose import transpose_discrete
from ..options import DecoderOptions, RecurrentOptions
from ..recurrent import RecurrentStack, States, tracing
from ..recurrent.loop import block_edges
from .attention import ATTENTIONS, Memory, apply_dense

# States of the recurrent layers, and with input feeding the last output.
DecoderStates = tuple[States, tuple[tf.Tensor, ...]]


@keras.saving.register_keras_serializable("unroll")
class Decoder(Configured[DecoderOptions]):
    """Stacked recurrent layers whose output attends to a memory (Luong et al., 2015, https://arxiv.org/abs/1508.04025).

    With h_t the output of the recurrent layers, and context_t the result of attention with h_t as its query,

        o_t = tanh(W [context_t, h_t] + b)

    is the output; without attention it is tanh(W h_t + b). A context is a weighted mean, so its part of the product is
    a weighted mean of products, which are computed once for all steps (`Memory.contributions`). With a gate the context
    is multiplied by sigmoid(v . h_t + c), the share of it that the decoder uses (Xu et al., 2015,
    https://arxiv.org/abs/1502.03044).

    Upper layers, which start from zeros, read [h_t, context_t], and their outputs replace h_t in o_t, so that the
    context enters a recurrence (Wu et al., 2016, https://arxiv.org/abs/1609.08144). With input feeding the lower layers
    read [x_t, o_{t-1}], so that attention knows its earlier alignments; training then runs step by step with autodiff.
    Without it each stack of layers runs through the whole sequence by its own loop, and attention is one product
    between them.

    Args:
        options: Options of the decoder.
        output_size: Size of o_t.
        seed: Seed of dropout.

    Call arguments:
        inputs: [rows, time, features].
        memory: Result of `remember`, with one row for each row of the inputs, or for several successive rows.
        states: Initial states of the recurrent layers, for each row.
        mask: bool [rows, time], True for real steps, which come first. The blocks of a truncated gradient are counted
            back from the last real step; outputs of masked steps are meaningless. None: all steps are real.
        training: Whether to apply dropout.
        return_weights: Whether to return the attention weights, too.

    Returns:
        The outputs o_t, [rows, time, output_size]; with `return_weights` a tuple of them and the attention weights,
        [rows, time, positions].
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
        self.attention = None
        if options.attention != "none":
            self.attention = ATTENTIONS[options.attention](options.units, name="attention")
        self.upper = None
        if self.attention is not None and options.upper_layers:
            above = RecurrentOptions.of(options, layers=options.upper_layers)
            self.upper = RecurrentStack(above, seed=seed + 501, name="upper")
        self.gate = None
        if self.attention is not None and options.gated_context:
            self.gate = keras.layers.Dense(1, activation="sigmoid", name="gate")
        self.output_layer = keras.layers.Dense(output_size, activation="tanh", name="output")

    def remember(self, values: tf.Tensor, mask: tf.Tensor) -> Memory:
        """Prepares a memory from values, [batch, positions, features], and their mask, bool [batch, positions].

        Each position contributes to the outputs before the tanh: its value times the context's rows of the kernel. But
        upper layers read the values themselves.
        """
        if self.attention is None:
            return Memory(values, values, mask)
        if self.upper is not None:
            return self.attention.remember(values, mask)
        features = values.shape[2]
        self._build_output(features)
        kernel, _ = self._output_weights()
        return self.attention.remember(values, mask, kernel[:features])

    def build(
        self, inputs_shape: tuple, memory_shape: Memory, states_shape: Any = None, mask_shape: Any = None
    ) -> None:
        # Not at the first call, which may be inside a loop.
        fed = self.output_size if self.options.input_feeding else 0
        self.recurrent.build((None, None, inputs_shape[-1] + fed))
        if self.attention is not None:
            self.attention.build((None, None, self.options.units), memory_shape)
        if self.gate is not None:
            self.gate.build((None, None, self.options.units))
        if self.upper is not None:
            self.upper.build((None, None, self.options.units + memory_shape.contributions[-1]))
        # `remember` may have built it, unless a model is built only to load its weights.
        self._build_output(0 if self.attention is None else memory_shape.contributions[-1])

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
            outputs, weights = self._step_by_step(inputs, memory, states, mask, training)
        else:
            top, _ = self.recurrent(inputs, states=states, mask=mask, training=training)
            context, weights = self._attention_function(memory)(top)
            if self.upper is not None:
                top, _ = self.upper(tf.concat([top, context], axis=2), mask=mask, training=training)
            outputs = self._output_function()(top, context)
        if training and self.options.dropout:
            shape = (tf.shape(outputs)[0], 1, self.output_size)
            outputs = keras.random.dropout(
                outputs, self.options.dropout, noise_shape=shape, seed=self.seed_generator
            )
        return (outputs, weights) if return_weights else outputs

    def initial_states(self, states: States) -> DecoderStates:
        """Returns the states before the first step: of all recurrent layers, and with input feeding a zero output."""
        rows = tf.shape(states[0][0])[0]
        if self.upper is not None:
            states += self.upper.get_initial_state(rows)
        if not self.options.input_feeding:
            return states, ()
        return states, (tf.zeros([rows, self.output_size], self.compute_dtype),)

    def stepper(
        self, memory: Memory, dropped: Any = None
    ) -> Callable[[tf.Tensor, DecoderStates], tuple[tf.Tensor, DecoderStates, tf.Tensor]]:
        """Prepares a loop, and returns the function for one step, differentiable by autodiff.

        Args:
            memory: Result of `remember`; each of its rows may serve several successive rows.
            dropped: Masks from `RecurrentStack.dropout_masks` for all recurrent layers; None: no dropout.

        Returns:
            A function of the inputs x_t, [rows, features], and the states, which returns o_t, the new states, and
            the attention weights, [rows, positions].
        """
        lower = len(self.recurrent.layers)
        recurrent_step = self.recurrent.stepper(projected=False, dropped=dropped and dropped[:lower])
        upper_step = None
        if self.upper is not None:
            upper_step = self.upper.stepper(projected=False, dropped=dropped and dropped[lower:])
        attend, output_of = self._attention_function(memory), self._output_function()

        def step(inputs: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates, tf.Tensor]:
            before, fed = states
            top, after = recurrent_step(tf.concat([inputs, *fed], axis=1), before[:lower])
            context, weights = attend(top[:, None])
            if upper_step is not None and context is not None:
                top, above = upper_step(tf.concat([top, context[:, 0]], axis=1), before[lower:])
                after += above
            output = output_of(top[:, None], context)[:, 0]
            fed = (output,) if self.options.input_feeding else ()
            return output, (after, fed), weights[:, 0]

        return step

    def _attention_function(
        self, memory: Memory
    ) -> Callable[[tf.Tensor], tuple[tf.Tensor | None, tf.Tensor]]:
        """Returns a function from h_t, [rows, time, units], to the result of attention, [rows, time, size] (None
        without attention), and the attention weights, [rows, time, positions].
        """
        batch, positions = tf.unstack(tf.shape(memory.mask))

        def attend(hidden: tf.Tensor) -> tuple[tf.Tensor | None, tf.Tensor]:
            rows, time, _ = tf.unstack(tf.shape(hidden))
            if self.attention is None:
                return None, tf.zeros([rows, time, positions], hidden.dtype)
            # The queries of all rows that share a row of the memory go together.
            queries = tf.reshape(hidden, [batch, rows // tf.maximum(batch, 1) * time, self.options.units])
            context, weights = self.attention(queries, memory)
            context = tf.reshape(context, [rows, time, memory.contributions.shape[2]])
            if self.gate is not None:
                context *= apply_dense(self.gate, hidden)
            return context, tf.reshape(weights, [rows, time, positions])

        return attend

    def _output_function(self) -> Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]:
        """Returns a function from the outputs of the top layer, [rows, time, units], and the result of attention to
        o_t.

        A loop calls this once, before its first step, so that the weights are cast and sliced once.
        """
        kernel, bias = self._output_weights()
        if self.upper is None:
            # The rows for the context are in the contributions.
            kernel = kernel[-self.options.units :]

        def output_of(top: tf.Tensor, context: tf.Tensor | None) -> tf.Tensor:
            rows, time, _ = tf.unstack(tf.shape(top))
            read = top if self.upper is None else tf.concat([context, top], axis=2)
            outputs = tf.matmul(tf.reshape(read, [-1, kernel.shape[0]]), kernel) + bias
            outputs = tf.reshape(outputs, [rows, time, self.output_size])
            if self.upper is None and context is not None:
                outputs += context
            return self.output_layer.activation(outputs)

        return output_of

    def _build_output(self, features: int) -> None:
        if not self.output_layer.built:
            self.output_layer.build((None, None, features + self.options.units))

    def _output_weights(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the kernel, first the rows for the context and then those for h_t, and the bias."""
        return tuple(
            tf.cast(tf.convert_to_tensor(weight), self.compute_dtype)
            for weight in (self.output_layer.kernel, self.output_layer.bias)
        )

    def _step_by_step(
        self, inputs: tf.Tensor, memory: Memory, states: States, mask: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the outputs and the attention weights of whole sequences with input feeding."""
        batch, length = tf.shape(inputs)[0], tf.shape(inputs)[1]
        dropped = None
        if training:
            dropped = self.recurrent.dropout_masks(batch, inputs.shape[2] + self.output_size)
            if self.upper is not None:
                above = self.options.units + memory.contributions.shape[2]
                dropped += self.upper.dropout_masks(batch, above)
        step = self.stepper(memory, dropped)
        cut = None
        if self.options.truncate_gradient and tracing.current().truncates:
            real = tf.ones([batch, length], tf.bool) if mask is None else mask
            cut = block_edges(transpose_discrete(real)[..., None], self.options.truncate_gradient)
        time_major = tf.transpose(inputs, [1, 0, 2])
        array = tf.TensorArray(self.compute_dtype, size=length, element_shape=[None, inputs.shape[2]])
        array = array.unstack(time_major)
        outputs = tf.TensorArray(self.compute_dtype, size=length, element_shape=[None, self.output_size])
        attention = tf.TensorArray(self.compute_dtype, size=length, element_shape=[None, None])

        def write(
            t: tf.Tensor, states: DecoderStates, outputs: tf.TensorArray, attention: tf.TensorArray
        ) -> tuple:
            if cut is not None:
                at_cut = cut[t]
                states = tf.nest.map_structure(lambda s: tf.where(at_cut, tf.stop_gradient(s), s), states)
            output, states, weights = step(array.read(t), states)
            return t + 1, states, outputs.write(t, output), attention.write(t, weights)

        _, _, outputs, attention = tracing.current().while_loop(
            self.recurrent.layers + (self.upper.layers if self.upper else []),
            length,
            batch,
            write,
            (0, self.initial_states(states), outputs, attention),
        )
        return tf.transpose(outputs.stack(), [1, 0, 2]), tf.transpose(attention.stack(), [1, 0, 2])
