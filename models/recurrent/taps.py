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

if TYPE_CHECKING:
    from .layer import RecurrentLayer


class Tap(NamedTuple):
    """What a layer did, in the order in which it read: a layer that goes backwards begins with the last step.

    Attributes:
        layer: which it was.
        z: [time, batch, gates * units], W_x x_t + b + W_h h_{t-1}.
        previous, states: before and after each step, [time, batch, units] for each state.
        zeros: of the same shapes as `states`; the gradient with respect to them is dL/d(state). The state is seen as a
            whole: dL/dc_t of an LSTM is what reaches c_t from c_{t+1}, and what c_t does by way of h_t is in dL/dh_t.
        real: bool [time, batch], False where a step is masked.
    """

    layer: "RecurrentLayer"
    z: tf.Tensor
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

    def gates(self) -> loop.State:
        """What the recurrence keeps of each step, [time, batch, units] each: of an LSTM the gates i, f, g, o."""
        recurrence = self.layer.recurrence
        return recurrence.forward(tuple(tf.split(self.z, recurrence.gates, axis=2)), self.previous)[1]


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
    layer: "RecurrentLayer",
    projected: tf.Tensor,
    state: loop.State,
    recurrent_kernel: tf.Tensor,
    steps: loop.Steps,
) -> tuple[tf.Tensor, loop.State]:
    """`loop.run` of a layer's recurrence, tapped where taps are open."""
    opened, recurrence = _opened.get(), layer.recurrence
    if opened is None:
        return loop.run(recurrence, projected, state, recurrent_kernel, steps)
    time, batch = tf.shape(projected)[0], tf.shape(projected)[1]
    zeros = _zeros(layer, time, batch)
    states, final = loop.run_tapped(recurrence, projected, state, recurrent_kernel, steps, zeros)
    previous = loop.previous_states(state, states)
    added = tf.tensordot(loop.drop(previous[0], steps), recurrent_kernel, axes=1)
    real = tf.ones([time, batch], tf.bool) if steps.real is None else steps.real[..., 0]
    opened.taps.append(Tap(layer, projected + added, previous, states, zeros, real))
    return states[0], final


def step(layer: "RecurrentLayer", z: loop.Gates, state: loop.State, new_state: loop.State) -> loop.State:
    """The new state of a single step, tapped within `while_loop` where taps are open."""
    current = _stepping.get()
    if current is None or id(layer) not in current.zeros:
        return new_state
    tapped = tuple(s + zero for s, zero in zip(new_state, current.zeros[id(layer)], strict=True))
    current.seen[id(layer)] = (tf.concat(z, axis=1), *state, *tapped)
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
        z, *rest = (array.stack() for array in of_layer)
        previous, states = tuple(rest[: layer.state_size]), tuple(rest[layer.state_size :])
        opened.taps.append(Tap(layer, z, previous, states, zero, tf.ones([length, batch], tf.bool)))
    return tuple(after)


def _zeros(layer: "RecurrentLayer", time: tf.Tensor, batch: tf.Tensor) -> loop.State:
    return tuple(tf.zeros([time, batch, layer.units], layer.compute_dtype) for _ in range(layer.state_size))


def _arrays(layer: "RecurrentLayer", length: tf.Tensor) -> tuple[tf.TensorArray, ...]:
    """Empty arrays for z, the states before and the states after each step."""
    sizes = (layer.gates * layer.units, *[layer.units] * (2 * layer.state_size))
    return tuple(
        tf.TensorArray(layer.compute_dtype, size=length, element_shape=[None, size]) for size in sizes
    )
