"""Taps: dL/d(state) of every step of every recurrent layer, to see how gradients flow.

    with tapping() as taps:
        loss = ...                              # traced in this block, in a graph
    d_states = gradients(loss, taps)

A tap is a tensor of zeros for the states of a layer; its gradient is the gradient of these states. For whole sequences,
the backward loop carries this gradient anyway (`loop.run_tapped`). In a loop of single steps with autodiff, the zeros
are added to the states (`while_loop`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import tensorflow as tf

from . import loop
from .cell import GateMatrices, State
from .traced_layer import TracedLayer
from .tracing import Tracing, tracing


class Tap(NamedTuple):
    """The steps of one call of a layer, in reading order.

    Attributes:
        layer: The layer.
        kept: Tensors that the cell keeps of each step, [time, batch, units] each; of an LSTM the gates i, f, g, o.
        previous, states: States before and after each step, [time, batch, units] each.
        zeros: Zeros of the same shapes as `states`; the gradient with respect to them is dL/d(state). The state counts
            as a whole: dL/dc_t of an LSTM is the gradient that reaches c_t from c_{t+1}; the part through h_t is in
            dL/dh_t.
        real: bool [time, batch], False where a step is masked.
    """

    layer: TracedLayer
    kept: State
    previous: State
    states: State
    zeros: State
    real: tf.Tensor

    @property
    def name(self) -> str:
        """Path of the layer in its model, and its direction in a bidirectional layer."""
        parts = (self.layer.path or self.layer.name).split("/")
        # Without the model's own name.
        parts = parts[1:] or parts
        forward = parts[-1].startswith("forward_")
        if not (forward or self.layer.go_backwards):
            return "/".join(parts)
        return "/".join(parts[:-1] or parts) + (" forward" if forward else " backward")

    @property
    def switches(self) -> dict[str, tf.Tensor]:
        """The gates that open and shut, by name, [time, batch, units] each."""
        cell = self.layer.cell
        kept = dict(zip(cell.kept_names, self.kept, strict=True))
        return {name: kept[name] for name in cell.switches}


@contextmanager
def tapping(truncated: bool = True) -> Iterator[list[Tap]]:
    """Taps the recurrent layers traced within a `with` block.

    Args:
        truncated: Whether `truncate_gradient` stops the gradient, as in training.

    Yields:
        A list, filled with a tap for each call of a layer.
    """
    how = _Tapping(truncated)
    with tracing(how):
        yield how.taps


def gradients(
    targets: tf.Tensor | Sequence[tf.Tensor],
    taps: Sequence[Tap],
    upstream: Sequence[tf.Tensor] | None = None,
) -> list[State]:
    """Returns dL/d(state) of every step of each tap; call it in the taps' graph.

    Args:
        targets: Tensors whose sum is differentiated.
        taps: The taps.
        upstream: Gradients with respect to the targets, of the same shapes; None: ones.

    Returns:
        For each tap, [time, batch, units] for each state.
    """
    zeros = [tap.zeros for tap in taps]
    flat = tf.gradients(targets, tf.nest.flatten(zeros), upstream, unconnected_gradients="zero")
    return tf.nest.pack_sequence_as(zeros, flat)


class _Tapping(Tracing):
    """Traces layers with taps."""

    def __init__(self, truncates: bool) -> None:
        self.truncates = truncates
        self.taps: list[Tap] = []

    def run(
        self, layer: TracedLayer, sequences: tf.Tensor, state: State, masks: loop.Masks, training: bool
    ) -> tuple[tf.Tensor, State]:
        cell, weights = layer.cell, layer.recurrent_weights(training)
        projections = layer.projections(sequences)
        time, batch = tf.shape(sequences)[0], tf.shape(sequences)[1]
        zeros = _zeros(layer, time, batch)
        states, final = loop.run_tapped(cell, projections, state, weights, masks, zeros)
        previous = _previous(state, states)
        # Recomputed for all steps at once: the custom gradient hides the loop's own tensors.
        kernel = GateMatrices.split(weights.kernel, weights.bias, cell.gate_count, masks.dropout)
        _, kept = cell.forward(projections, previous, kernel)
        real = tf.ones([time, batch], tf.bool) if masks.real is None else masks.real[..., 0]
        self.taps.append(Tap(layer, kept, previous, states, zeros, real))
        return states[0], final

    def while_loop(
        self,
        layers: Sequence[TracedLayer],
        length: tf.Tensor,
        batch: tf.Tensor,
        body: Callable[..., tuple],
        variables: tuple,
    ) -> tuple:
        zeros = [_zeros(layer, length, batch) for layer in layers]
        zeros_by_step = tf.nest.map_structure(
            lambda z: tf.TensorArray(z.dtype, size=length, element_shape=z.shape[1:]).unstack(z), zeros
        )

        def tapped_body(recorded: Any, *variables: Any) -> tuple:
            here = tf.nest.map_structure(lambda array: array.read(variables[0]), zeros_by_step)
            step = _TappedStep(dict(zip(map(id, layers), here, strict=True)), self.truncates)
            with tracing(step):
                after = body(*variables)
            values = [step.recorded[id(layer)] for layer in layers]
            written = tf.nest.map_structure(lambda a, value: a.write(variables[0], value), recorded, values)
            return written, *after

        recorded = [_empty_records(layer, length) for layer in layers]
        recorded, *after = tf.while_loop(
            lambda _, t, *others: t < length, tapped_body, (recorded, *variables), maximum_iterations=length
        )
        for layer, of_layer, zero in zip(layers, recorded, zeros, strict=True):
            kept, previous, states = tf.nest.map_structure(lambda array: array.stack(), of_layer)
            self.taps.append(Tap(layer, kept, previous, states, zero, tf.ones([length, batch], tf.bool)))
        return tuple(after)


class _TappedStep(Tracing):
    """Traces one step of a loop with autodiff: adds each layer's zeros at this step to its new state."""

    def __init__(self, zeros: dict[int, State], truncates: bool) -> None:
        self.truncates = truncates
        self.zeros = zeros
        self.recorded: dict[int, tuple[State, State, State]] = {}

    def step(self, layer: TracedLayer, kept: State, state: State, new_state: State) -> State:
        if id(layer) not in self.zeros:
            return new_state
        tapped = tuple(s + zero for s, zero in zip(new_state, self.zeros[id(layer)], strict=True))
        self.recorded[id(layer)] = (kept, state, tapped)
        return tapped


def _zeros(layer: TracedLayer, time: tf.Tensor, batch: tf.Tensor) -> State:
    return tuple(
        tf.zeros([time, batch, layer.units], layer.compute_dtype) for _ in range(layer.cell.state_count)
    )


def _previous(state: State, states: State) -> State:
    """Returns the states before each step from the initial one and those after each step."""
    # Without steps there are no states before them, not even the initial one.
    length = tf.minimum(tf.shape(states[0])[0], 1)
    return tuple(tf.concat([s[None][:length], ss[:-1]], axis=0) for s, ss in zip(state, states, strict=True))


def _empty_records(layer: TracedLayer, length: tf.Tensor) -> tuple[tuple[tf.TensorArray, ...], ...]:
    """Returns empty arrays for the kept tensors, and for the states before and after each step."""
    counts = (len(layer.cell.kept_names), layer.cell.state_count, layer.cell.state_count)

    def array() -> tf.TensorArray:
        return tf.TensorArray(layer.compute_dtype, size=length, element_shape=[None, layer.units])

    return tuple(tuple(array() for _ in range(count)) for count in counts)
