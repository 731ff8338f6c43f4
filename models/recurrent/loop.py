"""The one time loop of all recurrent layers, with its hand-written backward pass.

What makes it faster than a loop left to autodiff, and what makes it controllable:

* The input projections of all steps are one matrix product, made before the loop by the layer. The loop adds
  only `h_{t-1} @ W_h` and the cell's element-wise part.
* The backward pass is *linear* in the incoming gradient. All that it multiplies with (the derivatives of the
  gates, say) is computed for all steps at once before the backward loop starts; the loop itself carries
  dL/dh and dL/dc back, one matrix product a step.
* The gradient of the recurrent kernel is one matrix product over all steps, after the loop.
* Inside the loops each gate has its own small matrix product. On two CPU cores four products of [32, 256] with
  [256, 256] take half the time of one with [256, 1024], and nothing needs to be split or joined.
* Truncated backpropagation through time is nothing but a zero in the carried gradient where two blocks meet.
* The carried gradient *is* dL/d(state) of every step: `run_tapped` hands it out, `run` does not keep it.

Everything here is time-major: sequences have shape [time, batch, features].
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf

State = tuple[tf.Tensor, ...]
Gates = tuple[tf.Tensor, ...]


class Factors(NamedTuple):
    """What the backward steps multiply gradients with, for all steps at once.

    Attributes:
        inner: the factors of dL/dz, each [time, batch, any].
        carry: for each state beyond h, by what its gradient is carried to the step before, [time, batch, units].
    """

    inner: State
    carry: State


class Recurrence(Protocol):
    """The element-wise part of a recurrence: what happens to z_t = W_x x_t + b + W_h h_{t-1}, gate by gate.

    A state is a tuple of tensors [batch, units] whose first is h, the one that feeds back through W_h.

    Attributes:
        gates: number of gates.
        state_size: number of tensors in a state.
        kept_size: number of tensors that `forward` keeps for the backward pass.
        cudnn_mode: the name under which cuDNN knows the recurrence, or None.
    """

    gates: int
    state_size: int
    kept_size: int
    cudnn_mode: str | None

    def forward(self, z: Gates, state: State) -> tuple[State, State]:
        """One step: (z [batch, units] of each gate, state) -> (new state, what `factors` wants to have kept)."""

    def factors(self, kept: State, states: State, previous: State) -> Factors:
        """The factors of all backward steps.

        Args:
            kept: what `forward` kept of each step, [time, batch, units] each.
            states: the states after each step, of the same shapes.
            previous: the states before each step, of the same shapes.
        """

    def backward(self, factors: Factors, gradient: State) -> tuple[Gates, State]:
        """One step back: (its factors, dL/d(state after it)) -> (dL/dz, dL/d(states beyond h before it))."""


class Steps(NamedTuple):
    """Which steps are real, which pass no gradient on, and which units of h are dropped at every step.

    Attributes:
        real: bool [time, batch, 1]; a step that is not real carries the state on unchanged. None: all are.
        cut: bool [time, batch, 1]; where True no gradient flows to the step before. None: nowhere.
        dropout: [batch, units] that h_{t-1} is multiplied with before W_h, the same mask at each step (Gal and
            Ghahramani, 2016, https://arxiv.org/abs/1512.05287). None: no dropout.
    """

    real: tf.Tensor | None = None
    cut: tf.Tensor | None = None
    dropout: tf.Tensor | None = None


def block_edges(real: tf.Tensor, block: int) -> tf.Tensor:
    """Where truncated backpropagation through time cuts.

    Each row's real steps are cut into blocks of `block`, counted back from the row's last real step, so that a
    loss on the last state always reaches `block` steps and padding changes nothing. The initial state belongs
    to a row's first block.

        real steps   . 1 1 1 1 1 .      (block=2; '.' is padding)
        blocks         a b b c c
        cut            0 1 0 1 0        (at b's and c's first step)

    Args:
        real: bool [time, batch, 1].
        block: number of steps in a block, at least 1.

    Returns:
        bool [time, batch, 1], True at each step that begins a block, but for a row's first real step.
    """
    counts = tf.cast(real, tf.int32)
    steps_to_end = tf.cumsum(counts, axis=0, reverse=True)
    is_first = tf.equal(tf.cumsum(counts, axis=0), 1)
    return real & tf.equal(steps_to_end % block, 0) & ~is_first


def run(
    recurrence: Recurrence, projected: tf.Tensor, state: State, recurrent_kernel: tf.Tensor, steps: Steps
) -> tuple[tf.Tensor, State]:
    """Runs a recurrence over whole sequences.

    Args:
        recurrence: the cell's element-wise part.
        projected: [time, batch, gates * units], W_x x_t + b of every step.
        state: the initial state, a tuple of [batch, units].
        recurrent_kernel: [units, gates * units], W_h.
        steps: masks over steps and units.

    Returns:
        h after each step, [time, batch, units], and the state after the last step.
    """
    # Without a graph the loop would be one of Python's, step by step.
    function = _run_as_graph if tf.executing_eagerly() else _run
    (outputs,), final = function(recurrence, projected, state, recurrent_kernel, steps)
    return outputs, final


def run_tapped(
    recurrence: Recurrence,
    projected: tf.Tensor,
    state: State,
    recurrent_kernel: tf.Tensor,
    steps: Steps,
    taps: State,
) -> tuple[State, State]:
    """The same, with the whole state after each step, in a graph.

    Args:
        recurrence, projected, state, recurrent_kernel, steps: as for `run`.
        taps: zeros [time, batch, units] for each state. The gradient with respect to them is dL/d(state after the
            step), by whatever way it arrives: from the outputs of that step and of all later ones.

    Returns:
        The states after each step, [time, batch, units] each, and the state after the last step.
    """
    return _run(recurrence, projected, state, recurrent_kernel, steps, taps)


def jacobians(
    recurrence: Recurrence,
    z: tf.Tensor,
    previous: State,
    states: State,
    recurrent_kernel: tf.Tensor,
    distances: Sequence[int],
) -> tf.Tensor:
    """Products of step Jacobians along one sequence: d(last state) / d(state k steps before).

    Args:
        recurrence: the cell's element-wise part.
        z: [time, gates * units], W_x x_t + b + W_h h_{t-1} of each step.
        previous, states: the states before and after each step, [time, units] each.
        recurrent_kernel: [units, gates * units].
        distances: the numbers of steps k, rising, none larger than `time`.

    Returns:
        [distances, size, size] with size = state_size * units: a row for each number of the last state (h first), a
        column for each of the earlier one.
    """
    units = recurrent_kernel.shape[0]
    # Each row of the product is a gradient carried back; the factors are the same for all of them.
    z, previous, states = tf.nest.map_structure(lambda s: s[:, None], (z, previous, states))
    _, kept = recurrence.forward(tuple(tf.split(z, recurrence.gates, axis=2)), previous)
    factors = recurrence.factors(kept, states, previous)
    identity = tf.eye(recurrence.state_size * units, dtype=z.dtype)
    product = tuple(tf.split(identity, recurrence.state_size, axis=1))
    products, end = [], tf.shape(z)[0]
    for nearer, distance in zip([0, *distances], distances, strict=False):
        stretch = tf.nest.map_structure(lambda f, a=nearer, b=distance: f[end - b : end - a], factors)
        _, product, _ = _backward(recurrence, stretch, (), product, recurrent_kernel, Steps())
        products.append(tf.concat(product, axis=1))
    return tf.stack(products)


def _run(
    recurrence: Recurrence,
    projected: tf.Tensor,
    state: State,
    recurrent_kernel: tf.Tensor,
    steps: Steps,
    taps: State = (),
) -> tuple[State, State]:
    """With taps the sequences of all states, else that of h alone; and the last state."""
    shown = len(taps) or 1

    @tf.custom_gradient
    def differentiable(
        projected: tf.Tensor, recurrent_kernel: tf.Tensor, *state_and_taps: tf.Tensor
    ) -> tuple[State, Callable]:
        state = state_and_taps[: recurrence.state_size]
        states, kept, final = _forward(recurrence, projected, state, recurrent_kernel, steps)

        def gradient(*upstream: tf.Tensor) -> State:
            before = previous_states(state, states)
            factors = _masked(recurrence.factors(kept, states, before), steps)
            d_states, d_final = upstream[:shown], upstream[shown:]
            dz, d_state, d_taps = _backward(
                recurrence, factors, d_states, d_final, recurrent_kernel, steps, kept=len(taps)
            )
            d_kernel = tf.matmul(_merge(drop(before[0], steps)), _merge(dz), transpose_a=True)
            return dz, d_kernel, *d_state, *d_taps

        return (*states[:shown], *final), gradient

    results = differentiable(projected, recurrent_kernel, *state, *taps)
    return tuple(results[:shown]), tuple(results[shown:])


_run_as_graph = tf.function(_run, reduce_retracing=True)


def _forward(
    recurrence: Recurrence, projected: tf.Tensor, state: State, recurrent_kernel: tf.Tensor, steps: Steps
) -> tuple[State, State, State]:
    """The states after each step, what the recurrence keeps of each step, and the last state."""
    length = tf.shape(projected)[0]
    projections = [_unstack(gate) for gate in tf.split(projected, recurrence.gates, axis=2)]
    kernels = tf.split(recurrent_kernel, recurrence.gates, axis=1)
    real = None if steps.real is None else _unstack(steps.real)

    def step(t: tf.Tensor, state: State, arrays: tuple[tf.TensorArray, ...]) -> tuple:
        h = drop(state[0], steps)
        z = tuple(p.read(t) + tf.matmul(h, kernel) for p, kernel in zip(projections, kernels, strict=True))
        new_state, kept = recurrence.forward(z, state)
        if real is not None:
            new_state = tuple(tf.where(real.read(t), n, s) for n, s in zip(new_state, state, strict=True))
        return t + 1, new_state, _write(arrays, t, (*new_state, *kept))

    arrays = _arrays(recurrence.state_size + recurrence.kept_size, length, state[0])
    _, final, arrays = tf.while_loop(
        lambda t, *_: t < length, step, (0, tuple(state), arrays), maximum_iterations=length
    )
    stacked = tuple(array.stack() for array in arrays)
    return stacked[: recurrence.state_size], stacked[recurrence.state_size :], final


def _backward(
    recurrence: Recurrence,
    factors: Factors,
    d_states: State,
    d_final: State,
    recurrent_kernel: tf.Tensor,
    steps: Steps,
    kept: int = 0,
) -> tuple[tf.Tensor, State, State]:
    """The backward loop.

    Args:
        recurrence, recurrent_kernel, steps: as for `run`.
        factors: of all steps.
        d_states: what arrives at each step from outside the loop, for the first states, h before all.
        d_final: the same for the state after the last step.
        kept: number of states whose total gradient is kept.

    Returns:
        dL/dz of each step, [time, batch, gates * units]; dL/d(initial state); and dL/d(state after each step),
        [time, batch, units], of as many states as are kept.
    """
    length = tf.shape(factors.inner[0])[0]
    # Transposed once: on a CPU a small product with `transpose_b=True` runs at half the speed.
    kernels = tf.split(tf.transpose(recurrent_kernel), recurrence.gates, axis=0)
    real, cut = _unstack(steps.real), _unstack(steps.cut)
    arriving = [_unstack(d) for d in d_states]
    factors = tf.nest.map_structure(_unstack, factors)

    def step(t: tf.Tensor, gradient: State, arrays: tuple[tf.TensorArray, ...]) -> tuple:
        added = [g + d.read(t) for g, d in zip(gradient, arriving, strict=False)]
        dh, *_ = gradient = (*added, *gradient[len(added) :])
        dz, d_others = recurrence.backward(
            tf.nest.map_structure(lambda array: array.read(t), factors), gradient
        )
        dh_before = drop(
            tf.add_n([tf.matmul(d, kernel) for d, kernel in zip(dz, kernels, strict=True)]), steps
        )
        if cut is not None:
            dh_before = tf.where(cut.read(t), tf.zeros_like(dh), dh_before)
        if real is not None:
            dh_before = tf.where(real.read(t), dh_before, dh)
        return t - 1, (dh_before, *d_others), _write(arrays, t, (*dz, *gradient[:kept]))

    arrays = _arrays(recurrence.gates + kept, length, d_final[0])
    _, d_initial, arrays = tf.while_loop(
        lambda t, *_: t >= 0, step, (length - 1, tuple(d_final), arrays), maximum_iterations=length
    )
    stacked = [array.stack() for array in arrays]
    dz, d_taps = stacked[: recurrence.gates], stacked[recurrence.gates :]
    return tf.concat(dz, axis=2), d_initial, tuple(d_taps)


def _masked(factors: Factors, steps: Steps) -> Factors:
    """At padding nothing flows into z and all is carried; at a cut nothing is carried."""
    inner, carry = factors
    if steps.cut is not None:
        carry = tuple(tf.where(steps.cut, tf.zeros_like(c), c) for c in carry)
    if steps.real is not None:
        inner = tuple(tf.where(steps.real, i, tf.zeros_like(i)) for i in inner)
        carry = tuple(tf.where(steps.real, c, tf.ones_like(c)) for c in carry)
    return Factors(inner, carry)


def previous_states(state: State, states: State) -> State:
    """The states before each step, [time, batch, units], from the initial one and those after each step."""
    return tuple(tf.concat([s[None], ss[:-1]], axis=0) for s, ss in zip(state, states, strict=True))


def drop(h: tf.Tensor, steps: Steps) -> tf.Tensor:
    """h, [..., batch, units], as the recurrent kernel sees it."""
    return h if steps.dropout is None else h * steps.dropout


def _merge(sequence: tf.Tensor) -> tf.Tensor:
    """[time, batch, features] -> [time * batch, features]."""
    # Not `sequence.shape`: without a graph around it, one trace serves layers of all sizes.
    return tf.reshape(sequence, [-1, tf.shape(sequence)[2]])


def _unstack(sequence: tf.Tensor | None) -> tf.TensorArray | None:
    if sequence is None:
        return None
    array = tf.TensorArray(sequence.dtype, size=tf.shape(sequence)[0], element_shape=sequence.shape[1:])
    return array.unstack(sequence)


def _arrays(number: int, length: tf.Tensor, element: tf.Tensor) -> tuple[tf.TensorArray, ...]:
    """Empty arrays for `length` tensors like `element`."""
    return tuple(
        tf.TensorArray(element.dtype, size=length, element_shape=element.shape) for _ in range(number)
    )


def _write(
    arrays: tuple[tf.TensorArray, ...], t: tf.Tensor, values: tuple[tf.Tensor, ...]
) -> tuple[tf.TensorArray, ...]:
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=True))
