"""Taps: dL/d(state) of every step of every recurrent layer, for whoever wants to see how gradients flow.

    with tapping() as taps:
        loss = ...                              # in a graph: traced in this block
    d_states = gradients(loss, taps)

A tap is a tensor of zeros beside the states of a layer, whose gradient is the gradient of these states. A layer that
runs over whole sequences has it in hand already: the backward loop carries it (`loop.run_tapped`). In a loop that goes
step by step and is left to autodiff, the zeros are added to the states (`while_loop`). With no block open, a graph is
what it would be if there were no taps.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from . import loop
from .cell import GateMatrices

if TYPE_CHECKING:
    from .layer import RecurrentLayer


class Tap(NamedTuple):
    """What a layer did, in the order in which it read: a layer that goes backwards begins with the last step.

    Attributes:
        layer: which it was.
        kept: The tensors that the cell keeps of each step, [time, batch, units] each; of an LSTM the gates i, f, g, o.
        previous, states: before and after each step, [time, batch, units] for each state.
        zeros: of the same shapes as `states`; the gradient with respect to them is dL/d(state). The state is seen as a
            whole: dL/dc_t of an LSTM is what reaches c_t from c_{t+1}, and what c_t does by way of h_t is in dL/dh_t.
        real: bool [time, batch], False where a step is masked.
    """

    layer: "RecurrentLayer"
    kept: loop.State
    previous: loop.State
    states: loop.State
    zeros: loop.State
    real: tf.Tensor

    @property
    def name(self) -> str:
        """Path of the layer in its model, and its direction where it is one of two."""
        parts = (self.layer.path or self.layer.name).split("/")
        # Below the model's own name.
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


class _Opened(NamedTuple):
    taps: list[Tap]
    truncated: bool


class _Step:
    """One step of a loop that is left to autodiff: the zeros of each layer at this step, and what the layers did."""

    def __init__(self, zeros: dict[int, loop.State]) -> None:
        self.zeros = zeros
        self.seen: dict[int, loop.State] = {}


_opened: ContextVar[_Opened | None] = ContextVar("taps", default=None)
_stepping: ContextVar[_Step | None] = ContextVar("tapped_step", default=None)


@contextmanager
def tapping(truncated: bool = True) -> Iterator[list[Tap]]:
    """Recurrent layers that are traced in this block are tapped.

    Args:
        truncated: False lets the gradient through where `truncate_gradient` would stop it.

    Yields:
        A list which has a tap for each call of a layer when the block ends.
    """
    taps: list[Tap] = []
    token = _opened.set(_Opened(taps, truncated))
    try:
        yield taps
    finally:
        _opened.reset(token)


def gradients(
    targets: tf.Tensor | Sequence[tf.Tensor],
    taps: Sequence[Tap],
    upstream: Sequence[tf.Tensor] | None = None,
) -> list[loop.State]:
    """dL/d(state) of every step of each tap, [time, batch, units] for each state, in the graph that has the taps.

    Args:
        targets: what is differentiated, and summed up.
        taps: with respect to whose states.
        upstream: of the shapes of the targets, which are multiplied with it.
    """
    zeros = [tap.zeros for tap in taps]
    flat = tf.gradients(targets, tf.nest.flatten(zeros), upstream, unconnected_gradients="zero")
    return tf.nest.pack_sequence_as(zeros, flat)


def ignore_truncation() -> bool:
    """Whether layers are asked not to truncate."""
    opened = _opened.get()
    return opened is not None and not opened.truncated


def run(
    layer: "RecurrentLayer", projected: tf.Tensor, state: loop.State, masks: loop.Masks
) -> tuple[tf.Tensor, loop.State]:
    """`loop.run` of a layer's cell, tapped where taps are open."""
    opened, cell, weights = _opened.get(), layer.cell, layer.recurrent_weights()
    if opened is None:
        return loop.run(cell, projected, state, weights, masks)
    time, batch = tf.shape(projected)[0], tf.shape(projected)[1]
    zeros = _zeros(layer, time, batch)
    states, final = loop.run_tapped(cell, projected, state, weights, masks, zeros)
    previous = loop.previous_states(state, states)
    # All steps once more, at once: the loop's own are lost where its gradient is defined.
    kernel = GateMatrices.split(weights.kernel, weights.bias, cell.gate_count, masks.dropout)
    _, kept = cell.forward(tuple(tf.split(projected, cell.gate_count, axis=2)), previous, kernel)
    real = tf.ones([time, batch], tf.bool) if masks.real is None else masks.real[..., 0]
    opened.taps.append(Tap(layer, kept, previous, states, zeros, real))
    return states[0], final


def step(layer: "RecurrentLayer", kept: loop.State, state: loop.State, new_state: loop.State) -> loop.State:
    """The new state of a single step, tapped within `while_loop` where taps are open."""
    current = _stepping.get()
    if current is None or id(layer) not in current.zeros:
        return new_state
    tapped = tuple(s + zero for s, zero in zip(new_state, current.zeros[id(layer)], strict=True))
    current.seen[id(layer)] = (*kept, *state, *tapped)
    return tapped


def while_loop(
    layers: Sequence["RecurrentLayer"],
    length: tf.Tensor,
    batch: tf.Tensor,
    body: Callable[..., tuple],
    variables: tuple,
) -> tuple:
    """A loop over t = 0 .. length - 1 that calls the layers' steps, differentiable by autodiff.

    Args:
        layers: those stepped in the body, each once.
        length: number of steps.
        batch: number of rows.
        body: (t, *variables) -> (t + 1, *variables).
        variables: t = 0 and the others.

    Returns:
        The variables at the end.
    """
    opened = _opened.get()
    if opened is None:
        return tf.while_loop(lambda t, *_: t < length, body, variables, maximum_iterations=length)
    zeros = [_zeros(layer, length, batch) for layer in layers]
    arrays = tf.nest.map_structure(
        lambda z: tf.TensorArray(z.dtype, size=length, element_shape=z.shape[1:]).unstack(z), zeros
    )

    def tapped_body(seen: Any, *variables: Any) -> tuple:
        t = variables[0]
        current = _Step(
            {
                id(layer): tuple(a.read(t) for a in of_layer)
                for layer, of_layer in zip(layers, arrays, strict=True)
            }
        )
        token = _stepping.set(current)
        try:
            after = body(*variables)
        finally:
            _stepping.reset(token)
        values = [current.seen[id(layer)] for layer in layers]
        return (tf.nest.map_structure(lambda array, value: array.write(t, value), seen, values), *after)

    seen = [_arrays(layer, length) for layer in layers]
    seen, *after = tf.while_loop(
        lambda _, t, *others: t < length, tapped_body, (seen, *variables), maximum_iterations=length
    )
    for layer, of_layer, zero in zip(layers, seen, zeros, strict=True):
        stacked = tuple(array.stack() for array in of_layer)
        states = len(stacked) - layer.cell.state_count
        previous = states - layer.cell.state_count
        found = (stacked[:previous], stacked[previous:states], stacked[states:])
        opened.taps.append(Tap(layer, *found, zero, tf.ones([length, batch], tf.bool)))
    return tuple(after)


def _zeros(layer: "RecurrentLayer", time: tf.Tensor, batch: tf.Tensor) -> loop.State:
    return tuple(
        tf.zeros([time, batch, layer.units], layer.compute_dtype) for _ in range(layer.cell.state_count)
    )


def _arrays(layer: "RecurrentLayer", length: tf.Tensor) -> tuple[tf.TensorArray, ...]:
    """Empty arrays for the kept tensors, and the states before and after each step."""
    count = len(layer.cell.kept_names) + 2 * layer.cell.state_count
    return tuple(
        tf.TensorArray(layer.compute_dtype, size=length, element_shape=[None, layer.units])
        for _ in range(count)
    )
