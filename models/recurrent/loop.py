"""The one time loop of all recurrent layers, with its hand-written backward pass.

It is faster and easier to control than a loop with autodiff:

* the layer projects the inputs of all steps by one matrix product, before the loop; the loop adds only
  `h_{t-1} @ W_h` and the cell's element-wise part;
* the backward pass is *linear* in the incoming gradient: its factors (the derivatives of the gates, for example) are
  computed for all steps at once before the backward loop, which only carries dL/d(state) back;
* the gradient of the recurrent kernel is one matrix product over all steps, after the loop;
* inside the loops each gate has its own small matrix product (`cell.GateMatrices`);
* truncated backpropagation through time is a zero in the carried gradient between two blocks;
* the carried gradient *is* dL/d(state) of every step: `run_tapped` returns it, `run` drops it.

Everything here is time-major: sequences have shape [time, batch, features].
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from ..blocks.gradient_registry import release_with_graph
from .cell import Cell, Factors, GateMatrices, State, TransposedMatrices


class RecurrentWeights(NamedTuple):
    """The weights inside the loop.

    Attributes:
        kernel: W_h, [units, gates * units].
        bias: Bias of the recurrent product, [gates * units], or None.
    """

    kernel: tf.Tensor
    bias: tf.Tensor | None = None


class Masks(NamedTuple):
    """Masks of real steps, of gradient cuts, and of dropped units.

    Attributes:
        real: bool [time, batch, 1]; a masked step (False) carries the state on unchanged. None: all steps are real.
        cut: bool [time, batch, 1]; where True, no gradient flows to the step before. None: no cut.
        dropout: Factors of h_{t-1} before W_h, [batch, units], the same at each step (Gal and Ghahramani, 2016,
            https://arxiv.org/abs/1512.05287). None: no dropout.
        zoneout: For each state, the share of its old value that a step keeps (Krueger et al., 2017,
            https://arxiv.org/abs/1606.01305): 0 or 1 in training, the mean of these otherwise; [time, batch, units], or
            sizes of 1 in their place. None: no zoneout.
    """

    real: tf.Tensor | None = None
    cut: tf.Tensor | None = None
    dropout: tf.Tensor | None = None
    zoneout: State | None = None


def block_edges(real: tf.Tensor, block: int) -> tf.Tensor:
    """Returns where truncated backpropagation through time cuts the gradient.

    Each row's real steps are cut into blocks of `block`, counted back from the row's last real step, so that a
    loss on the last state always reaches `block` steps back and padding changes nothing. The initial state belongs
    to a row's first block.

        real steps   . 1 1 1 1 1 .      (block=2; '.' is padding)
        blocks         a b b c c
        cut            0 1 0 1 0        (at b's and c's first step)

    Args:
        real: bool [time, batch, 1].
        block: Number of steps in a block, at least 1.

    Returns:
        bool [time, batch, 1], True at each step that begins a block, except a row's first real step.
    """
    counts = tf.cast(real, tf.int32)
    steps_to_end = tf.cumsum(counts, axis=0, reverse=True)
    is_first = tf.equal(tf.cumsum(counts, axis=0), 1)
    return real & tf.equal(steps_to_end % block, 0) & ~is_first


def run(
    cell: Cell, projected: tf.Tensor, state: State, weights: RecurrentWeights, masks: Masks
) -> tuple[tf.Tensor, State]:
    """Runs a cell over whole sequences.

    Args:
        cell: One step of the recurrence.
        projected: x_t W_x + b of every step, [time, batch, gates * units].
        state: Initial state, a tuple of [batch, units].
        weights: Recurrent kernel and bias.
        masks: Masks over steps and units.

    Returns:
        h after each step, [time, batch, units], and the state after the last step.
    """
    (outputs,), final = _in_graph(_run, cell)(projected, state, weights, masks)
    return outputs, final


def run_forward(
    cell: Cell, projected: tf.Tensor, state: State, weights: RecurrentWeights, masks: Masks
) -> tuple[tf.Tensor, State]:
    """Does what `run` does, without the tensors that its backward pass would need."""
    forward = _in_graph(_forward, cell)
    (outputs,), _, final = forward(projected, state, weights, masks, shown=1, keeps=False)
    return outputs, final


def run_tapped(
    cell: Cell, projected: tf.Tensor, state: State, weights: RecurrentWeights, masks: Masks, taps: State
) -> tuple[State, State]:
    """Runs a cell over whole sequences, in a graph, and returns the whole state after each step.

    Args:
        cell, projected, state, weights, masks: As for `run`.
        taps: Zeros [time, batch, units] for each state. The gradient with respect to them is the total dL/d(state after
            the step), from the outputs of that step and of all later ones.

    Returns:
        The states after each step, [time, batch, units] each, and the state after the last step.
    """
    return _run(cell, projected, state, weights, masks, taps)


def jacobians(
    cell: Cell,
    kept: State,
    previous: State,
    states: State,
    recurrent_kernel: tf.Tensor,
    distances: Sequence[int],
) -> tf.Tensor:
    """Returns products of step Jacobians along one sequence: d(last state) / d(state k steps before).

    Args:
        cell: One step of the recurrence.
        kept: Tensors that the cell kept of each step, [time, units] each.
        previous, states: States before and after each step, [time, units] each.
        recurrent_kernel: [units, gates * units].
        distances: Numbers of steps k, ascending, at most `time`.

    Returns:
        [distances, size, size] with size = states * units: a row for each element of the last state (h first), a column
        for each element of the earlier state.
    """
    units = recurrent_kernel.shape[0]
    # Each row of the product is a gradient carried back by the same factors.
    kept, previous, states = tf.nest.map_structure(lambda s: s[:, None], (kept, previous, states))
    factors = cell.factors(kept, states, previous)
    identity = tf.eye(cell.state_count * units, dtype=states[0].dtype)
    product = tuple(tf.split(identity, cell.state_count, axis=1))
    products, end = [], tf.shape(states[0])[0]
    for nearer, distance in zip([0, *distances], distances, strict=False):
        stretch = tf.nest.map_structure(lambda f, a=nearer, b=distance: f[end - b : end - a], factors)
        _, product, _ = _backward(cell, stretch, (), product, recurrent_kernel, Masks())
        products.append(tf.concat(product, axis=1))
    return tf.stack(products)


def _run(
    cell: Cell,
    projected: tf.Tensor,
    state: State,
    weights: RecurrentWeights,
    masks: Masks,
    taps: State = (),
) -> tuple[State, State]:
    """Returns the states after each step (only h without taps), and the last state."""
    shown = len(taps) or 1
    present = tuple(weight for weight in weights if weight is not None)

    @tf.custom_gradient
    def differentiable(projected: tf.Tensor, *others: tf.Tensor) -> tuple[State, Callable]:
        weights, state = (
            RecurrentWeights(*others[: len(present)]),
            others[len(present) :][: cell.state_count],
        )
        states, kept, final = _forward(
            cell, projected, state, weights, masks, shown=cell.state_count, keeps=True
        )
        kept, computed = kept[: len(cell.kept_names)], kept[len(cell.kept_names) :]

        def gradient(*upstream: tf.Tensor) -> State:
            before = previous_states(state, states)
            factors = _masked(cell.factors(kept, computed or states, before), masks)
            d_states, d_final = upstream[:shown], upstream[shown:]
            d_gates, d_state, d_taps = _backward(
                cell, factors, d_states, d_final, weights.kernel, masks, tapped=len(taps)
            )
            products = cell.recurrent_products(kept, before[0], d_gates)
            d_weights = _weight_gradients(products, masks)[: len(present)]
            return tf.concat(d_gates, axis=2), *d_weights, *d_state, *d_taps

        return (*states[:shown], *final), gradient

    results = differentiable(projected, *present, *state, *taps)
    release_with_graph(results[0].op)
    return tuple(results[:shown]), tuple(results[shown:])


def _in_graph(function: Callable, cell: Cell) -> Callable:
    """Binds a cell to a function with a loop, which eager execution would run in Python, step by step."""
    return _compiled(function, cell) if tf.executing_eagerly() else functools.partial(function, cell)


@functools.cache
def _compiled(function: Callable, cell: Cell) -> Callable:
    return tf.function(functools.partial(function, cell), reduce_retracing=True, autograph=False)


def _forward(
    cell: Cell,
    projected: tf.Tensor,
    state: State,
    weights: RecurrentWeights,
    masks: Masks,
    shown: int,
    keeps: bool,
) -> tuple[State, State, State]:
    """Runs the forward loop.

    Args:
        cell, projected, state, weights, masks: As for `run`.
        shown: Number of states to return of each step.
        keeps: Whether to keep the tensors that a backward pass needs.

    Returns:
        The states after each step; the tensors kept of each step, and after them with zoneout the states as the cell
        computed them; and the last state.
    """
    length = tf.shape(projected)[0]
    projections = [_unstack(gate, length) for gate in tf.split(projected, cell.gate_count, axis=2)]
    kernel = GateMatrices.split(weights.kernel, weights.bias, cell.gate_count, masks.dropout)
    real = None if masks.real is None else _unstack(masks.real, length)
    zoneout = None if masks.zoneout is None else [_unstack(share, length) for share in masks.zoneout]

    def step(t: tf.Tensor, state: State, arrays: tuple[tf.TensorArray, ...]) -> tuple:
        new_state, kept = cell.forward(tuple(p.read(t) for p in projections), state, kernel)
        if zoneout is not None:
            kept = (*kept, *new_state)
            new_state = zoned_out(new_state, state, [share.read(t) for share in zoneout])
        if real is not None:
            new_state = tuple(tf.where(real.read(t), n, s) for n, s in zip(new_state, state, strict=True))
        return t + 1, new_state, _write(arrays, t, (*new_state[:shown], *(kept if keeps else ())))

    kept_count = len(cell.kept_names) + (0 if zoneout is None else cell.state_count)
    arrays = _arrays(shown + keeps * kept_count, length, state[0])
    _, final, arrays = tf.while_loop(
        lambda t, *_: t < length, step, (0, tuple(state), arrays), maximum_iterations=length
    )
    stacked = _stack(arrays, state[0])
    return stacked[:shown], stacked[shown:], final


def _backward(
    cell: Cell,
    factors: Factors,
    d_states: State,
    d_final: State,
    recurrent_kernel: tf.Tensor,
    masks: Masks,
    tapped: int = 0,
) -> tuple[State, State, State]:
    """Runs the backward loop.

    Args:
        cell, masks: As for `run`.
        factors: Factors of all steps.
        d_states: Gradients that arrive at each step from outside the loop, for h and possibly further states.
        d_final: Gradient of the state after the last step.
        recurrent_kernel: [units, gates * units].
        tapped: Number of states whose total gradient is kept.

    Returns:
        dL/d(projection) of each gate and step, [time, batch, units]; dL/d(initial state); and dL/d(state after each
        step), [time, batch, units], of each tapped state.
    """
    length = tf.shape(factors.inner[0])[0]
    kernel = TransposedMatrices.split(recurrent_kernel, cell.gate_count, masks.dropout)
    real = None if masks.real is None else _unstack(masks.real, length)
    cut = None if masks.cut is None else _unstack(masks.cut, length)
    zoneout = None if masks.zoneout is None else [_unstack(share, length) for share in masks.zoneout]
    arriving = [_unstack(d, length) for d in d_states]
    factors = tf.nest.map_structure(lambda factor: _unstack(factor, length), factors)

    def step(t: tf.Tensor, gradient: State, arrays: tuple[tf.TensorArray, ...]) -> tuple:
        added = [g + d.read(t) for g, d in zip(gradient, arriving, strict=False)]
        dh, *_ = gradient = (*added, *gradient[len(added) :])
        of_step = tf.nest.map_structure(lambda array: array.read(t), factors)
        if zoneout is None:
            d_gates, (dh_before, *d_others) = cell.backward(of_step, gradient, kernel)
        else:
            shares = [share.read(t) for share in zoneout]
            d_computed = tuple(g - g * share for g, share in zip(gradient, shares, strict=True))
            d_gates, d_before = cell.backward(of_step, d_computed, kernel)
            d_kept = [g * share for g, share in zip(gradient, shares, strict=True)]
            if cut is not None:
                d_kept = [tf.where(cut.read(t), tf.zeros_like(d), d) for d in d_kept]
            dh_before, *d_others = (d + kept for d, kept in zip(d_before, d_kept, strict=True))
        if cut is not None:
            dh_before = tf.where(cut.read(t), tf.zeros_like(dh), dh_before)
        if real is not None:
            dh_before = tf.where(real.read(t), dh_before, dh)
        return t - 1, (dh_before, *d_others), _write(arrays, t, (*d_gates, *gradient[:tapped]))

    arrays = _arrays(cell.gate_count + tapped, length, d_final[0])
    _, d_initial, arrays = tf.while_loop(
        lambda t, *_: t >= 0, step, (length - 1, tuple(d_final), arrays), maximum_iterations=length
    )
    stacked = _stack(arrays, d_final[0])
    return stacked[: cell.gate_count], d_initial, stacked[cell.gate_count :]


def _weight_gradients(
    products: tuple[tuple[tf.Tensor, tuple[tf.Tensor, ...]], ...], masks: Masks
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the gradients of the recurrent kernel and of its bias, each from all steps at once."""
    of_kernel, of_bias = [], []
    for h, d_gates in products:
        d_products = _merge(tf.concat(d_gates, axis=2))
        of_kernel.append(tf.matmul(_merge(_dropped(h, masks)), d_products, transpose_a=True))
        of_bias.append(tf.reduce_sum(d_products, axis=0))
    return tf.concat(of_kernel, axis=1), tf.concat(of_bias, axis=0)


def _masked(factors: Factors, masks: Masks) -> Factors:
    """Applies the masks: a masked step passes the whole gradient on and none to its gates; a cut passes none on."""
    inner, carry = factors
    if masks.cut is not None:
        carry = tuple(tf.where(masks.cut, tf.zeros_like(c), c) for c in carry)
    if masks.real is not None:
        inner = tuple(tf.where(masks.real, i, tf.zeros_like(i)) for i in inner)
        carry = tuple(tf.where(masks.real, c, tf.ones_like(c)) for c in carry)
    return Factors(inner, carry)


def zoned_out(new_state: State, state: State, shares: Sequence[tf.Tensor | float]) -> State:
    """Returns a new state that keeps shares of the old one."""
    return tuple(n + share * (s - n) for n, s, share in zip(new_state, state, shares, strict=True))


def previous_states(state: State, states: State) -> State:
    """Returns the states before each step, [time, batch, units], from the initial one and those after each step."""
    # Without steps there are no states before them, not even the initial one.
    length = tf.minimum(tf.shape(states[0])[0], 1)
    return tuple(tf.concat([s[None][:length], ss[:-1]], axis=0) for s, ss in zip(state, states, strict=True))


def _dropped(h: tf.Tensor, masks: Masks) -> tf.Tensor:
    """Applies recurrent dropout to h, [time, batch, units]."""
    return h if masks.dropout is None else h * masks.dropout


def _merge(sequence: tf.Tensor) -> tf.Tensor:
    """Merges time and batch: [time, batch, features] -> [time * batch, features]."""
    # Not `sequence.shape`: in eager calls, one trace serves layers of all sizes.
    return tf.reshape(sequence, [-1, tf.shape(sequence)[2]])


def _unstack(sequence: tf.Tensor, length: tf.Tensor) -> tf.TensorArray:
    """Returns the steps of a sequence of a given length."""
    return tf.TensorArray(sequence.dtype, size=length, element_shape=sequence.shape[1:]).unstack(sequence)


def _arrays(number: int, length: tf.Tensor, element: tf.Tensor) -> tuple[tf.TensorArray, ...]:
    """Returns empty arrays for `length` tensors like `element`."""
    return tuple(
        tf.TensorArray(element.dtype, size=length, element_shape=element.shape) for _ in range(number)
    )


def _stack(arrays: tuple[tf.TensorArray, ...], element: tf.Tensor) -> State:
    """Stacks arrays of tensors like `element`: -> [length, batch, units] each."""
    if tf.executing_eagerly():
        return tuple(array.stack() for array in arrays)
    # In a graph, `array.stack()` needs a static shape where the length is zero.
    shape = tf.shape(element)
    stacked = (
        tf.raw_ops.TensorListStack(input_handle=array.flow, element_shape=shape, element_dtype=element.dtype)
        for array in arrays
    )
    return tuple(tf.ensure_shape(tensor, [None, *element.shape]) for tensor in stacked)


def _write(
    arrays: tuple[tf.TensorArray, ...], t: tf.Tensor, values: tuple[tf.Tensor, ...]
) -> tuple[tf.TensorArray, ...]:
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=True))
