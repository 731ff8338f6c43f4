"""Measures how gradients flow back through the recurrent layers of a model, in one compiled graph.

All sums are by layer and distance. The distance is the number of real steps back, in the layer's reading order, from
the row's last step with a gradient from the loss (padding follows it).

* `loss`: the norm of dL/dh_t and, for an LSTM, dL/dc_t, where L is the loss of the row. If every step has a prediction,
  every step adds to it.
* `reach`: the last step's gradient alone, sent back to the state k steps before, as a share of itself: an upper bound
  on learning from k steps back.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...models.recurrent.taps import Tap, gradients, tapping
from ..training.objective import Batch, Objective

# A gate counts as open above the first and as shut below the second.
OPEN, SHUT = 0.95, 0.05
# Smallest memory gate: keeps its logarithm finite.
_SMALLEST = 1e-12

Sums = dict[str, Any]


class Track(NamedTuple):
    """The tensors of a `Tap` for one sequence, real steps only, [time, units] each."""

    kept: tuple[np.ndarray, ...]
    previous: tuple[np.ndarray, ...]
    states: tuple[np.ndarray, ...]


class FlowMeter:
    """Measures batches; compiled once.

    It applies no dropout, draws no random numbers and changes nothing.

    Args:
        objective: Objective that gives the loss.
        model: Model whose recurrent layers are measured.
        element_spec: Shapes and dtypes of a batch.
        carry: Example of a carry, for its shapes and dtypes.
        truncated: Whether to truncate gradients as in training.
        closely: Whether to also measure gates and keep a sequence.
    """

    def __init__(
        self,
        objective: Objective,
        model: keras.Model,
        element_spec: Any,
        carry: Any,
        truncated: bool,
        closely: bool = False,
    ) -> None:
        self._objective = objective
        self._model = model
        self._truncated = truncated
        self._closely = closely
        self.layers: list[Any] = []
        self.names: list[str] = []
        carry_spec = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), carry)
        self._measure = tf.function(self._graph, input_signature=[element_spec, carry_spec], autograph=False)

    def __call__(self, batch: Batch, carry: Any = ()) -> tuple[list[Sums], Any]:
        """Returns sums by distance for each layer, to be combined by `add_up`, and the carry for the next batch."""
        sums, carry = self._measure(batch, tf.nest.map_structure(tf.convert_to_tensor, carry))
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), sums), carry

    def _graph(self, batch: Batch, carry: Any) -> tuple[list[Sums], Any]:
        with tapping(self._truncated) as taps:
            loss, carry = self._objective.loss(self._model, batch, training=False, carry=carry)
        self.layers = [tap.layer for tap in taps]
        self.names = [tap.name for tap in taps]
        of_loss = gradients(loss.total, taps)
        return [self._sums(tap, d) for tap, d in zip(taps, of_loss, strict=True)], carry

    def _sums(self, tap: Tap, of_loss: tuple[tf.Tensor, ...]) -> Sums:
        counted = counted_steps(tap.real, _norm(of_loss))
        # Number of real steps that follow, [time, batch].
        distance = tf.cumsum(tf.cast(counted, tf.int32), axis=0, reverse=True) - 1
        is_last = counted & tf.equal(distance, 0)
        upstream = [tf.where(is_last[..., None], d, tf.zeros_like(d)) for d in of_loss]
        (of_last,) = gradients(tap.states, [tap], upstream)
        reach = _norm(of_last)
        last = tf.reduce_sum(tf.where(is_last, reach, tf.zeros_like(reach)), axis=0)
        length = tf.shape(counted)[0]

        def by_distance(values: tf.Tensor) -> tf.Tensor:
            chosen = tf.boolean_mask(values, counted)
            return tf.math.unsorted_segment_sum(chosen, tf.boolean_mask(distance, counted), length)

        sums = {
            "rows": by_distance(tf.ones_like(reach)),
            "loss": [by_distance(_norm([d])) for d in of_loss],
            "reach": by_distance(reach),
            # Of the same rows, since each distance has fewer rows than the one before.
            "last": by_distance(tf.broadcast_to(last, tf.shape(reach))),
        }
        if self._closely:
            sums |= _gate_sums(tap, counted)
            row = tf.argmax(tf.reduce_sum(tf.cast(counted, tf.int32), axis=0))
            sums["sequence"] = tf.nest.map_structure(
                lambda s: tf.boolean_mask(tf.cast(s[:, row], tf.float32), counted[:, row]),
                Track(tap.kept, tap.previous, tap.states),
            )
        return sums


def counted_steps(real: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
    """Returns the real steps up to the row's last one with a gradient, bool [time, batch].

    Args:
        real: bool [time, batch].
        norms: Gradient norms, [time, batch].
    """
    has_gradient = tf.cast(real & (norms > 0), tf.int32)
    return real & (tf.cumsum(has_gradient, axis=0, reverse=True) > 0)


def add_up(batches: Iterable[list[Sums]]) -> list[Sums]:
    """Adds the sums of batches, whose sequences may differ in length; keeps the longest sequence."""
    totals: list[Sums] = []
    for of_layers in batches:
        if not totals:
            totals = list(of_layers)
            continue
        totals = [_added(one, other) for one, other in zip(totals, of_layers, strict=True)]
    return totals


def _added(one: Sums, other: Sums) -> Sums:
    flat = {
        name: tf.nest.map_structure(_added_arrays, one[name], other[name])
        for name in one
        if name != "sequence"
    }
    if "sequence" in one:
        flat["sequence"] = max(
            one["sequence"], other["sequence"], key=lambda sequence: len(sequence.previous[0])
        )
    return flat


def _added_arrays(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    longer, shorter = (one, other) if np.size(one) >= np.size(other) else (other, one)
    total = np.array(longer, np.float64)
    if total.ndim:
        total[: len(shorter)] += shorter
        return total
    return total + shorter


def _norm(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns the Euclidean norm over the units of all states, float32 [time, batch], without underflow of squares."""
    joined = tf.concat([tf.cast(t, tf.float32) for t in tensors], axis=-1)
    largest = tf.reduce_max(tf.abs(joined), axis=-1, keepdims=True)
    scaled = tf.math.divide_no_nan(joined, largest)
    return largest[..., 0] * tf.sqrt(tf.reduce_sum(tf.square(scaled), axis=-1))


def _gate_sums(tap: Tap, counted: tf.Tensor) -> Sums:
    """Returns the number of counted steps, and sums over them of the gates, or of |h|."""
    steps = tf.reduce_sum(tf.cast(counted, tf.float32))

    def shares(values: tf.Tensor) -> dict[str, tf.Tensor]:
        chosen = tf.boolean_mask(tf.cast(values, tf.float32), counted)
        return {
            "open": tf.reduce_sum(tf.cast(chosen > OPEN, tf.float32)),
            "shut": tf.reduce_sum(tf.cast(chosen < SHUT, tf.float32)),
            "sum": tf.reduce_sum(chosen),
        }

    switches, memory_gate = tap.switches, tap.layer.cell.memory_gate
    if memory_gate is None:
        return {"steps": steps, "output": shares(tf.abs(tap.states[0]))}
    memory = tf.boolean_mask(tf.cast(switches[memory_gate], tf.float32), counted)
    log_kept = tf.math.log(tf.maximum(memory, _SMALLEST))
    return {
        "steps": steps,
        "gates": {name: shares(gate) for name, gate in switches.items()},
        # For each unit, the log of the share of the state that is left after these steps if nothing is added.
        "log_kept": tf.reduce_sum(log_kept, axis=0),
    }
