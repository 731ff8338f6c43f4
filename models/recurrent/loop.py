"""The one time loop of all recurrent layers, with its hand-written backward pass.

It is faster and easier to control than a loop with autodiff:

* the layer projects the inputs of all steps by one matrix product, before the loop; the loop adds only
  `h_{t-1} @ W_h` and the cell's element-wise part;
* the forward loop keeps references to what it computes, and the backward loop reads them there: nothing that a single
  step needs is stacked, split or joined;
* the gradient of the recurrent kernel is a matrix product over all steps, after the loop;
* each gate has its own tensors and its own matrix products, inside the loops and outside (`cell.GateMatrices`);
* truncated backpropagation through time is a zero in the carried gradient between two blocks;
* the carried gradient *is* dL/d(state) of every step: `run_tapped` returns it, `run` drops it.

Everything here is time-major: sequences have shape [time, batch, features].
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from ..blocks.gradient_registry import release_with_graph
from .cell import Cell, GateMatrices, Gates, State, TransposedMatrices


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
    cell: Cell, projections: Gates, state: State, weights: RecurrentWeights, masks: Masks
) -> tuple[tf.Tensor, State]:
    """Runs a cell over whole sequences.

    Args:
        cell: One step of the recurrence.
        projections: x_t W_x + b of every step, [time, batch, units] for each gate.
        state: Initial state, a tuple of [batch, units].
        weights: Recurrent kernel and bias.
        masks: Masks over steps and units.

    Returns:
        h after each step, [time, batch, units], and the state after the last step.
    """
    (outputs,), final = _in_graph(_run, cell)(projections, state, weights, masks)
    return outputs, final


def run_forward(
    cell: Cell, projections: Gates, state: State, weights: RecurrentWeights, masks: Masks
) -> tuple[tf.Tensor, State]:
    """Does what `run` does, without the tensors that its backward pass would need."""
    return _in_graph(_run_forward, cell)(projections, state, weights, masks)


def run_tapped(
    cell: Cell, projections: Gates, state: State, weights: RecurrentWeights, masks: Masks, taps: State
) -> tuple[State, State]:
    """Runs a cell over whole sequences, in a graph, and returns the whole state after each step.

    Args:
        cell, projections, state, weights, masks: As for `run`.
        taps: Zeros [time, batch, units] for each state. The gradient with respect to them is the total dL/d(state after
            the step), from the outputs of that step and of all later ones.

    Returns:
        The states after each step, [time, batch, units] each, and the state after the last step.
    """
    return _run(cell, projections, state, weights, masks, taps)


def jacobians(
    cell: Cell, kept: State, previous: State, recurrent_kernel: tf.Tensor, distances: Sequence[int]
) -> tf.Tensor:
    """Returns products of step Jacobians along one sequence: d(last state) / d(state k steps before).

    Args:
        cell: One step of the recurrence.
        kept: Tensors that the cell kept of each step, [time, units] each.
        previous: States before each step, [time, units] each.
        recurrent_kernel: [units, gates * units].
        distances: Numbers of steps k, ascending, at most `time`.

    Returns:
        [distances, size, size] with size = states * units: a row for each element of the last state (h first), a column
        for each element of the earlier state.
    """
    units = recurrent_kernel.shape[0]
    identity = tf.eye(cell.state_count * units, dtype=recurrent_kernel.dtype)
    # Each row of the product is a gradient carried back by the same steps.
    product = tuple(tf.split(identity, cell.state_count, axis=1))
    carried_back = _in_graph(_carried_back, cell)
    products, end = [], tf.shape(previous[0])[0]
    for nearer, distance in zip([0, *distances], distances, strict=False):
        steps = [tuple(sequence[end - distance : end - nearer] for sequence in of) for of in (previous, kept)]
        product = carried_back(*steps, product, recurrent_kernel)
        products.append(tf.concat(product, axis=1))
    return tf.stack(products)


# The tensor of each step, [batch, units].
_Steps = Callable[[tf.Tensor], tf.Tensor]


class _Trace(NamedTuple):
    """What a backward pass reads of each step.

    Attributes:
        previous: The state before the step.
        kept: The tensors that the cell kept.
    """

    previous: tuple[_Steps, ...]
    kept: tuple[_Steps, ...]


def _run(
    cell: Cell,
    projections: Gates,
    state: State,
    weights: RecurrentWeights,
    masks: Masks,
    taps: State = (),
) -> tuple[State, State]:
    """Returns the states after each step (only h without taps), and the last state."""
    shown = len(taps) or 1
    present = tuple(weight for weight in weights if weight is not None)

    @tf.custom_gradient
    def differentiable(*arguments: tf.Tensor) -> tuple[State, Callable]:
        projections, arguments = arguments[: cell.gate_count], arguments[cell.gate_count :]
        weights, arguments = RecurrentWeights(*arguments[: len(present)]), arguments[len(present) :]
        state = arguments[: cell.state_count]
        length = tf.shape(projections[0])[0]
        states, kept, final = _forward(cell, projections, state, weights, masks, keeps=True)
        stacked = [array.stack() for array in states[:shown]]
        trace = _Trace(tuple(array.read for array in states), tuple(array.read for array in kept))

        def gradient(*upstream: tf.Tensor) -> State:
            d_states, d_final = upstream[:shown], upstream[shown:]
            (d_gates, beside, d_taps), d_state = _backward(
                cell, trace, length, d_states, d_final, weights.kernel, masks, tapped=len(taps)
            )
            products = cell.recurrent_products(stacked[0][:-1], d_gates, beside)
            d_weights = _weight_gradients(products, masks)[: len(present)]
            return *d_gates, *d_weights, *d_state, *d_taps

        return (*(s[1:] for s in stacked), *final), gradient

    results = differentiable(*projections, *present, *state, *taps)
    release_with_graph(results[0].op)
    return tuple(results[:shown]), tuple(results[shown:])


def _run_forward(
    cell: Cell, projections: Gates, state: State, weights: RecurrentWeights, masks: Masks
) -> tuple[tf.Tensor, State]:
    states, _, final = _forward(cell, projections, state, weights, masks, keeps=False)
    return states[0].stack()[1:], final


def _carried_back(
    cell: Cell, previous: State, kept: State, gradients: State, recurrent_kernel: tf.Tensor
) -> State:
    """Carries gradients, [batch, units] for each state, back by some steps of one sequence, [time, units] each."""

    def steps(sequence: tf.Tensor) -> _Steps:
        return lambda t: tf.broadcast_to(sequence[t], tf.shape(gradients[0]))

    trace = _Trace(*(tuple(map(steps, sequences)) for sequences in (previous, kept)))
    length = tf.shape(previous[0])[0]
    return _backward(cell, trace, length, (), gradients, recurrent_kernel, Masks())[1]


def _in_graph(function: Callable, cell: Cell) -> Callable:
    """Binds a cell to a function with a loop, which eager execution would run in Python, step by step."""
    return _compiled(function, cell) if tf.executing_eagerly() else functools.partial(function, cell)


@functools.cache
def _compiled(function: Callable, cell: Cell) -> Callable:
    return tf.function(functools.partial(function, cell), reduce_retracing=True, autograph=False)


def _forward(
    cell: Cell, projections: Gates, state: State, weights: RecurrentWeights, masks: Masks, keeps: bool
) -> tuple[tuple[tf.TensorArray, ...], tuple[tf.TensorArray, ...], State]:
    """Runs the forward loop.

    Args:
        cell, projections, state, weights, masks: As for `run`.
        keeps: Whether to keep what a backward pass needs.

    Returns:
        The states before each step and after the last, `time + 1` tensors [batch, units] for each state (without
        `keeps` only h); the tensors that the cell keeps of each step; and the last state.
    """
    length = tf.shape(projections[0])[0]
    shown, count = (cell.state_count, len(cell.kept_names)) if keeps else (1, 0)
    kernel = GateMatrices.split(weights.kernel, weights.bias, cell.gate_count, masks.dropout)

    def step(t: tf.Tensor, state: State, states: tuple, kept: tuple) -> tuple:
        new_state, keeping = cell.forward(tuple(_at(p, t) for p in projections), state, kernel)
        if masks.zoneout is not None:
            new_state = zoned_out(new_state, state, [_at(share, t) for share in masks.zoneout])
        if masks.real is not None:
            # Rows are chosen by a vector: a broadcast `tf.where` takes half as long again.
            real = _at(masks.real, t)[:, 0]
            new_state = tuple(tf.compat.v1.where(real, n, s) for n, s in zip(new_state, state, strict=True))
        return t + 1, new_state, _write(states, t + 1, new_state[:shown]), _write(kept, t, keeping[:count])

    states = _write(_arrays(shown, length + 1, state[0]), 0, state[:shown])
    kept = _arrays(count, length, state[0])
    _, final, states, kept = tf.while_loop(
        lambda t, *_: t < length, step, (0, tuple(state), states, kept), maximum_iterations=length
    )
    return states, kept, final


def _backward(
    cell: Cell,
    trace: _Trace,
    length: tf.Tensor,
    d_states: State,
    d_final: State,
    recurrent_kernel: tf.Tensor,
    masks: Masks,
    tapped: int = 0,
) -> tuple[tuple[Gates, State, State], State]:
    """Runs the backward loop.

    Args:
        cell, masks: As for `run`.
        trace: What the forward loop left.
        length: Number of steps.
        d_states: Gradients that arrive at each step from outside the loop, for h and possibly further states.
        d_final: Gradient of the state after the last step.
        recurrent_kernel: [units, gates * units].
        tapped: Number of states whose total gradient is kept.

    Returns:
        Of each step, [time, batch, units]: dL/d(projection) of each gate, the tensors beside them for the gradient of
        the kernel, and dL/d(state after the step) of each tapped state; and dL/d(initial state).
    """
    kernel = TransposedMatrices.split(recurrent_kernel, cell.gate_count, masks.dropout)
    real = None if masks.real is None else tf.cast(masks.real, recurrent_kernel.dtype)

    def step(t: tf.Tensor, gradient: State, arrays: tuple[tf.TensorArray, ...]) -> tuple:
        added = [g + _at(d, t) for g, d in zip(gradient, d_states, strict=False)]
        total = inner = (*added, *gradient[len(added) :])
        if real is not None:
            here = _at(real, t)
            inner = tuple(g * here for g in inner)
        if masks.zoneout is not None:
            inner = tuple(g - g * _at(share, t) for g, share in zip(inner, masks.zoneout, strict=True))
        kept, previous = ([read(t) for read in steps] for steps in (trace.kept, trace.previous))
        d_gates, beside, before = cell.backward(tuple(kept), tuple(previous), inner, kernel)
        if inner is not total:
            # The rest passes by the cell, whose part is zero where `inner` is: it is linear.
            before = tuple(b + (g - i) for b, g, i in zip(before, total, inner, strict=True))
        if masks.cut is not None:
            cut = _at(masks.cut, t)
            before = tuple(tf.where(cut, tf.zeros_like(b), b) for b in before)
        return t - 1, before, _write(arrays, t, (*d_gates, *beside, *total[:tapped]))

    counts = (cell.gate_count, len(cell.beside_names), tapped)
    arrays = _arrays(sum(counts), length, d_final[0])
    _, d_initial, arrays = tf.while_loop(
        lambda t, *_: t >= 0, step, (length - 1, tuple(d_final), arrays), maximum_iterations=length
    )
    stacked = _stack(arrays, d_final[0])
    d_gates, beside = stacked[: counts[0]], stacked[counts[0] :][: counts[1]]
    return (d_gates, beside, stacked[sum(counts[:2]) :]), d_initial


def _weight_gradients(
    products: tuple[tuple[tf.Tensor, Gates], ...], masks: Masks
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the gradients of the recurrent kernel and of its bias, each from all steps at once."""
    of_kernel, of_bias = [], []
    for h, d_gates in products:
        h = _merge(h if masks.dropout is None else h * masks.dropout)
        for d in map(_merge, d_gates):
            of_kernel.append(tf.matmul(h, d, transpose_a=True))
            of_bias.append(tf.reduce_sum(d, axis=0))
    return tf.concat(of_kernel, axis=1), tf.concat(of_bias, axis=0)


def zoned_out(new_state: State, state: State, shares: Sequence[tf.Tensor | float]) -> State:
    """Returns a new state that keeps shares of the old one."""
    return tuple(n + share * (s - n) for n, s, share in zip(new_state, state, shares, strict=True))


def _merge(sequence: tf.Tensor) -> tf.Tensor:
    """Merges time and batch: [time, batch, features] -> [time * batch, features]."""
    # Not `sequence.shape`: in eager calls, one trace serves layers of all sizes.
    return tf.reshape(sequence, [-1, tf.shape(sequence)[2]])


def _at(sequence: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """Returns a step of a sequence: on a CPU a view, without a copy."""
    return sequence[t]


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
