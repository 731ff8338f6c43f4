"""The base class of all recurrent layers: everything but the cell."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from ..blocks.random import ReplicaSeedGenerator
from ..blocks.transpose import transpose_discrete
from . import activations, arguments, cudnn, loop
from .cell import Cell, GateMatrices, Gates
from .tracing import current


class RecurrentLayer(keras.layers.Layer):
    """A recurrent layer with Keras' constructor conventions and weight layout.

    Called on whole sequences, the layer runs the loop with the hand-written backward pass (`loop.run`). Loops that run
    step by step (a decoder with attention, beam search, streaming) call `project` and `step`, and leave the gradient to
    autodiff.

    Args:
        units: Number of units.
        activation: One of linear, tanh, sigmoid, relu, hard_sigmoid, softsign, softplus, elu.
        use_bias: Whether the layer has a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Keras initialisers.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Keras regularisers.
        kernel_constraint, recurrent_constraint, bias_constraint: Keras constraints.
        dropout: Share of the input features dropped in training, the same at all steps of a sequence.
        recurrent_dropout: Share of the units of h dropped in training before the recurrent kernel, the same at all
            steps of a sequence (Gal and Ghahramani, 2016).
        weight_drop: Share of the weights of the recurrent kernel dropped in training, the same for all rows and steps
            of a batch (Merity et al., 2018, https://arxiv.org/abs/1708.02182).
        zoneout: Share of the units of each state that keep their value at a step in training, drawn for each step
            (Krueger et al., 2017, https://arxiv.org/abs/1606.01305); at inference each keeps that share of its value.
        truncate_gradient: Length of the blocks of truncated backpropagation through time, in steps. Blocks are counted
            back from each row's last real step; no gradient crosses from a block to the one before. None: no
            truncation.
        memory_bias: Keras initialiser of the bias of the gate that keeps the state, the forget gate of an LSTM and the
            update gate of a GRU; None: as the other biases, but for `unit_forget_bias`.
        return_sequences: Whether to return the output of every step, or only of the last.
        return_state: Whether to return the last state, too.
        go_backwards: Whether to read the sequence from its end; outputs are in reading order.
        stateful: Whether a batch starts with the states after the previous batch, until `reset_state`; all batches then
            have the same size.
        zero_output_for_mask: Whether a masked step gives zeros instead of the previous output.
        seed: Seed of dropout.
        unroll, implementation: Hints to stock layers; accepted, without effect.

    Call arguments:
        sequences: [batch, time, features]; integers and booleans are cast to the layer's dtype.
        initial_state: A tensor [batch, units] for each state, or None for zeros (with `stateful`, for the states
            after the previous batch).
        mask: bool [batch, time], True for real steps, in any pattern. A masked step carries the state on; before the
            first real step the output is zero.
        training: Whether to apply dropout.
        sequences_mask: Mask that Keras attaches to `sequences` if the call also has an initial state; `mask` takes
            precedence.

    Returns:
        [batch, time, units] with `return_sequences`, else [batch, units]; with `return_state` a tuple of that and
        the states, each [batch, units].
    """

    # One step of the recurrence, set by each layer.
    cell: Cell
    # Names of the states; the first is h, the output.
    state_names: ClassVar[tuple[str, ...]] = Cell.state_names
    # Keras' `get` returns functions from a shape and a dtype to a tensor; its own hints say less.
    bias_initializer: Any
    memory_bias: Any
    # In a stateful layer, a variable for each state.
    states: list[keras.Variable] | None = None

    def __init__(
        self,
        units: int,
        *,
        activation: str = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        truncate_gradient: int | None = None,
        memory_bias: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        implementation: int = 2,
        zero_output_for_mask: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = arguments.count(units, "units", "the number of units, at least 1")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.dropout = arguments.share(dropout, "dropout")
        self.recurrent_dropout = arguments.share(recurrent_dropout, "recurrent_dropout")
        self.weight_drop = arguments.share(weight_drop, "weight_drop")
        self.zoneout = arguments.share(zoneout, "zoneout")
        if truncate_gradient is not None:
            wanted = "a number of steps, at least 1, or None"
            truncate_gradient = arguments.count(truncate_gradient, "truncate_gradient", wanted)
        self.truncate_gradient = truncate_gradient
        self.memory_bias = keras.initializers.get(memory_bias)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.implementation = implementation
        self.zero_output_for_mask = zero_output_for_mask
        self.seed = seed
        draws = dropout or recurrent_dropout or weight_drop or zoneout
        self.seed_generator = ReplicaSeedGenerator(seed) if draws else None
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def allows_cudnn(self) -> bool:
        """Whether a GPU may run the layer by cuDNN."""
        # As in Keras, SimpleRNN has no such argument.
        return bool(getattr(self, "use_cudnn", True))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """[gates * units], or [2, gates * units] if the product with the recurrent kernel has its own bias."""
        return (self.cell.gate_count * self.units,)

    def initial_bias(self, shape: tuple[int, ...], dtype: str) -> tf.Tensor:
        """Returns the bias at the start of training."""
        start = self.initial_memory_bias()
        if start is None:
            return self.bias_initializer(shape, dtype=dtype)
        names, draw = self.cell.gate_names, self.bias_initializer
        gate = names.index(self.cell.memory_gate)
        sizes = (gate * self.units, (len(names) - gate - 1) * self.units)
        before, after = ([draw((size,), dtype=dtype)] if size else [] for size in sizes)
        bias = tf.concat([*before, start((self.units,), dtype=dtype), *after], axis=0)
        return bias if len(shape) == 1 else tf.stack([bias, draw(shape[1:], dtype=dtype)])

    def initial_memory_bias(self) -> keras.initializers.Initializer | None:
        """Returns the separate initialiser of the memory gate's bias, if any."""
        return self.memory_bias

    def build(self, sequences_shape: tuple, initial_state_shape: Any = None) -> None:
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})
        width = self.cell.gate_count * self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(sequences_shape[-1], width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self.bias_shape,
                initializer=self.initial_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

        if self.allows_cudnn and self.cell.cudnn and cudnn.has_gpu():
            # Keras then does not compile a model with XLA, which has no cuDNN RNNs.
            self.supports_jit = False
        if self.stateful:
            self._make_states(sequences_shape[0])

    def _make_states(self, batch_size: int | None) -> None:
        if batch_size is None:
            raise ValueError(
                f"{type(self).__name__} is stateful, and its batch has no fixed size; give the model's Input a "
                "batch_size."
            )
        states = [
            keras.Variable(state, trainable=False, dtype=self.variable_dtype, name=f"state_{name}")
            for name, state in zip(self.state_names, self.get_initial_state(batch_size), strict=True)
        ]
        # As in stock layers, states are not weights: they are neither saved nor counted.
        object.__setattr__(self, "states", states)

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to zero."""
        for state in self.states or ():
            state.assign(tf.zeros_like(state.value))

    def reset_states(self) -> None:
        """Calls `reset_state`; stock layers have both names."""
        self.reset_state()

    def weight(self, variable: keras.Variable) -> tf.Tensor:
        """Returns a weight in the layer's compute dtype, inside and outside of calls."""
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)

    def biases(self) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Returns the biases of the products with the kernel and with the recurrent kernel, [gates * units] or None."""
        if not self.use_bias:
            return None, None
        bias = self.weight(self.bias)
        return tuple(tf.unstack(bias)) if len(bias.shape) == 2 else (bias, None)

    def recurrent_weights(self, training: bool = False) -> loop.RecurrentWeights:
        """Returns the weights inside the time loop; in training some are dropped."""
        kernel = self.weight(self.recurrent_kernel)
        if training and self.weight_drop:
            kernel = keras.random.dropout(kernel, self.weight_drop, seed=self.seed_generator)
        return loop.RecurrentWeights(kernel, self.biases()[1])

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """Computes x W_x + b: [..., features] -> [..., gates * units], as one matrix product for any rank."""
        kernel, (bias, _) = self.weight(self.kernel), self.biases()
        flat = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), kernel)
        if bias is not None:
            flat = tf.nn.bias_add(flat, bias)
        return _unflattened(flat, inputs, kernel.shape[1])

    def projections(self, sequences: tf.Tensor) -> Gates:
        """Computes `project` for the time loop: [time, batch, features] -> [time, batch, units] for each gate."""
        gates, (bias, _) = self.cell.gate_count, self.biases()
        kernel = GateMatrices.split(self.weight(self.kernel), None, gates)
        flat = kernel.product(tf.reshape(sequences, [-1, sequences.shape[-1]]))
        if bias is not None:
            flat = (tf.nn.bias_add(gate, b) for gate, b in zip(flat, tf.split(bias, gates), strict=True))
        return tuple(_unflattened(gate, sequences, self.units) for gate in flat)

    def step(
        self, projected_input: tf.Tensor, state: Sequence[tf.Tensor], dropout_mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Computes one step of the recurrence, differentiable by autodiff.

        Args:
            projected_input: `project(x_t)`, [batch, gates * units].
            state: A tensor [batch, units] for each state.
            dropout_mask: Factors of h before the recurrent kernel, [batch, units]; None for no dropout.

        Returns:
            The output [batch, units] and the new state.
        """
        return self.stepper()(projected_input, state, dropout_mask)

    def stepper(self, projected: bool = True) -> Callable[..., tuple[tf.Tensor, tuple[tf.Tensor, ...]]]:
        """Prepares a loop and returns its `step`: splits the kernels by gates once, not at every step.

        The step drops no weights, and keeps the share `zoneout` of each state.

        Args:
            projected: Whether the step takes `project(x_t)`, like `step`, instead of x_t.
        """
        cell, (kernel, recurrent_bias) = self.cell, self.recurrent_weights()
        gates, (bias, _) = cell.gate_count, self.biases()
        joined = not projected and not cell.separate_input
        if joined:
            kernel = tf.concat([self.weight(self.kernel), kernel], axis=0)
            bias = tf.zeros([kernel.shape[1]], kernel.dtype) if bias is None else bias
        inputs_kernel = None
        if not projected and not joined:
            inputs_kernel = GateMatrices.split(self.weight(self.kernel), bias, gates)
        kernel = GateMatrices.split(kernel, recurrent_bias, gates)

        def step(
            inputs: tf.Tensor, state: Sequence[tf.Tensor], dropout_mask: tf.Tensor | None = None
        ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
            here = kernel._replace(dropout=dropout_mask, inputs=inputs if joined else None)
            if inputs_kernel is None:
                x = tuple(tf.split(inputs if projected else bias, gates, axis=-1))
            else:
                x = inputs_kernel.product(inputs)
            new_state, kept = cell.forward(x, tuple(state), here)
            if self.zoneout:
                new_state = loop.zoned_out(new_state, tuple(state), [self.zoneout] * cell.state_count)
            new_state = current().step(self, kept, tuple(state), new_state)
            return new_state[0], new_state

        return step

    def get_initial_state(self, batch_size: int | tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns zeros, [batch, units] for each state."""
        return tuple(
            tf.zeros([batch_size, self.units], self.compute_dtype) for _ in range(self.cell.state_count)
        )

    def dropout_mask(self, rate: float, batch_size: int | tf.Tensor, size: int) -> tf.Tensor:
        """Draws a dropout mask [batch, size] of zeros and 1 / (1 - rate)."""
        ones = tf.ones([batch_size, size], self.compute_dtype)
        return keras.random.dropout(ones, rate, seed=self.seed_generator)

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
        sequences_mask: tf.Tensor | None = None,
    ) -> tf.Tensor | tuple[tf.Tensor, ...]:
        mask = sequences_mask if mask is None else mask
        sequences = tf.cast(tf.convert_to_tensor(sequences), self.compute_dtype)
        batch_size = tf.shape(sequences)[0]
        if training and self.dropout:
            sequences *= self.dropout_mask(self.dropout, batch_size, sequences.shape[-1])[:, None]
        real = None
        if mask is not None:
            wanted = "a mask [batch, time] of the sequences"
            mask = arguments.of_shape(tf.cast(mask, tf.bool), tuple(sequences.shape[:2]), "mask", wanted)
            real = transpose_discrete(mask)[..., None]
        sequences = tf.transpose(sequences, [1, 0, 2])
        if self.go_backwards:
            sequences = tf.reverse(sequences, [0])
            real = None if real is None else tf.reverse(real, [0])

        state = self._as_state(initial_state, sequences)
        how = current()
        masks = self._masks(sequences, real, training, how.truncates)
        outputs, state = how.run(self, sequences, state, masks, training)
        if self.states is not None:
            for variable, after in zip(self.states, state, strict=True):
                variable.assign(after)
        output = self._masked_output(outputs, state[0], real)
        return (output, *state) if self.return_state else output

    def _as_state(
        self, initial_state: Sequence[tf.Tensor] | tf.Tensor | None, sequences: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        if initial_state is None and self.states is None:
            return self.get_initial_state(tf.shape(sequences)[1])
        if self.states is not None:
            batch_size, given = self.states[0].shape[0], sequences.shape[1]
            if given not in (None, batch_size):
                raise ValueError(
                    f"{type(self).__name__} is stateful with a batch of {batch_size} rows, but got {given} rows."
                )
        initial_state = self.states if initial_state is None else initial_state
        tensors = initial_state if isinstance(initial_state, list | tuple) else [initial_state]
        if len(tensors) != self.cell.state_count:
            raise ValueError(
                f"{type(self).__name__} has {self.cell.state_count} state tensor(s), but initial_state has "
                f"{len(tensors)}."
            )
        shape = (sequences.shape[1], self.units)
        tensors = (tf.cast(tf.convert_to_tensor(t), self.compute_dtype) for t in tensors)
        return tuple(arguments.of_shape(t, shape, "initial_state", "states [batch, units]") for t in tensors)

    def _masks(
        self, sequences: tf.Tensor, real: tf.Tensor | None, training: bool, truncates: bool
    ) -> loop.Masks:
        """Returns the masks of the loop for time-major sequences."""
        cut = None
        if self.truncate_gradient and truncates:
            every = tf.ones(tf.shape(sequences)[:2], tf.bool)[..., None]
            cut = loop.block_edges(every if real is None else real, self.truncate_gradient)
        dropped = None
        if training and self.recurrent_dropout:
            dropped = self.dropout_mask(self.recurrent_dropout, tf.shape(sequences)[1], self.units)
        return loop.Masks(real, cut, dropped, self._zoneout(tf.shape(sequences), training))

    def _zoneout(self, shape: tf.Tensor, training: bool) -> tuple[tf.Tensor, ...] | None:
        """Returns the share of each state that a step keeps."""
        if not self.zoneout:
            return None
        count = self.cell.state_count
        if not training:
            return (tf.fill([shape[0], 1, 1], tf.cast(self.zoneout, self.compute_dtype)),) * count
        drawn = keras.random.uniform([count, shape[0], shape[1], self.units], seed=self.seed_generator)
        kept = tf.cast(drawn < self.zoneout, self.compute_dtype)
        return tuple(tf.ensure_shape(share, [None, None, self.units]) for share in tf.unstack(kept))

    def _masked_output(self, outputs: tf.Tensor, last: tf.Tensor, real: tf.Tensor | None) -> tf.Tensor:
        """Returns the output, batch-major: zeros before the first real step, or at all masked steps."""
        if self.return_sequences:
            if real is not None:
                shown = real if self.zero_output_for_mask else tf.cumsum(tf.cast(real, tf.int32), axis=0) > 0
                # A product, forward and backward, takes a third of the time of `tf.where` with a broadcast condition.
                outputs *= tf.cast(shown, outputs.dtype)
            return tf.transpose(outputs, [1, 0, 2])
        if real is None:
            return last
        # With `zero_output_for_mask` the last step must be real; otherwise any step.
        shown = tf.reduce_any(real[-1:] if self.zero_output_for_mask else real, axis=0)
        return tf.where(shown, last, tf.zeros_like(last))

    def compute_output_shape(self, sequences_shape: tuple, initial_state_shape: Any = None) -> tuple:
        batch, time = sequences_shape[:2]
        output = (batch, time, self.units) if self.return_sequences else (batch, self.units)
        return (output, *[(batch, self.units)] * self.cell.state_count) if self.return_state else output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        output_mask = mask if self.return_sequences else None
        return [output_mask, *[None] * self.cell.state_count] if self.return_state else output_mask

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return super().get_config() | {
            "units": self.units,
            "activation": self.activation.name,
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "recurrent_initializer": serialize(self.recurrent_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer),
            "recurrent_regularizer": serialize(self.recurrent_regularizer),
            "bias_regularizer": serialize(self.bias_regularizer),
            "activity_regularizer": serialize(self.activity_regularizer),
            "kernel_constraint": serialize(self.kernel_constraint),
            "recurrent_constraint": serialize(self.recurrent_constraint),
            "bias_constraint": serialize(self.bias_constraint),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "weight_drop": self.weight_drop,
            "zoneout": self.zoneout,
            "truncate_gradient": self.truncate_gradient,
            "memory_bias": serialize(self.memory_bias),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "implementation": self.implementation,
            "zero_output_for_mask": self.zero_output_for_mask,
            "seed": self.seed,
        }


def _unflattened(rows: tf.Tensor, inputs: tf.Tensor, width: int) -> tf.Tensor:
    """Gives rows the leading dimensions of the inputs that they come from: [rows, width] -> [..., width]."""
    shape = tf.concat([tf.shape(inputs)[:-1], [width]], axis=0)
    return tf.ensure_shape(tf.reshape(rows, shape), [*inputs.shape[:-1], width])
