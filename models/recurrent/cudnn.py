"""Recurrent layers by cuDNN, on GPUs: all steps of a layer in one call, forward and backward."""

from collections.abc import Callable

import tensorflow as tf

from ..blocks.transpose import transpose_discrete
from .cell import Cell, CudnnLayout, State
from .loop import Masks, RecurrentWeights
from .traced_layer import TracedLayer


def has_gpu() -> bool:
    """Returns whether TensorFlow has a GPU here."""
    return bool(tf.config.list_logical_devices("GPU"))


def suits(cell: Cell, masks: Masks) -> bool:
    """Returns whether cuDNN has the recurrence: the cell, and nothing that changes a step or cuts its gradient."""
    return cell.cudnn is not None and masks.cut is None and masks.dropout is None and masks.zoneout is None


def run(
    layer: TracedLayer,
    sequences: tf.Tensor,
    state: State,
    weights: RecurrentWeights,
    real: tf.Tensor | None,
    differentiable: bool,
    otherwise: Callable[[], tuple[tf.Tensor, State]],
) -> tuple[tf.Tensor, State]:
    """Runs a layer that `suits` over whole sequences.

    cuDNN needs the real steps at the start of each row, and at least one: the graph decides for each batch.

    Args:
        layer: The layer, for its cell and weights.
        sequences: [time, batch, features], reversed already if the layer goes backwards.
        state: The initial state, [batch, units] each.
        weights: Recurrent kernel and bias.
        real: bool [time, batch, 1], reversed as `sequences` is; False for masked steps. None: all steps are real.
        differentiable: Whether there may be a gradient.
        otherwise: Runs the layer without cuDNN, for any mask.

    Returns:
        h after each step, [time, batch, units], and the state after the last step.
    """
    if real is None:
        lengths = tf.fill([tf.shape(sequences)[1]], tf.shape(sequences)[0])
        starts, first = tf.constant(True), sequences
    else:
        lengths = tf.reduce_sum(tf.cast(real[..., 0], tf.int32), axis=0)
        starts = tf.equal(_real_first(real, lengths, layer)[..., 0], _mask(lengths, real))
        first = _real_first(sequences, lengths, layer)

    def by_cudnn() -> tuple[tf.Tensor, State]:
        # One step of padding more: TensorFlow's kernel keeps cuDNN's descriptor of the first batch, and that of a batch
        # without padding fails for a later one of the same shape with padding.
        padded = tf.pad(first, [[0, 1], [0, 0], [0, 0]])
        outputs, final = _call(layer, padded, state, weights, lengths, differentiable)
        outputs = outputs[:-1]
        if real is None:
            return outputs, final
        # After the last real step cuDNN returns zeros; this layer carries the state on.
        outputs = tf.where(_mask(lengths, real)[..., None], outputs, final[0])
        return _as_given(outputs, lengths, layer), final

    possible = (tf.size(lengths) > 0) & tf.reduce_all(lengths > 0) & tf.reduce_all(starts)
    return tf.cond(possible, by_cudnn, otherwise)


def parameters(layer: TracedLayer, weights: RecurrentWeights) -> tf.Tensor:
    """Packs the weights for cuDNN: the kernels of the gates, then their recurrent kernels, transposed and flat; then
    the biases of both (most cells have only the first).

    Returns:
        [units * gates * (features + units + 2)].
    """
    order = _layout(layer).gate_order
    kernel, (bias, _) = layer.weight(layer.kernel), layer.biases()
    recurrent_bias = weights.bias
    if recurrent_bias is None:
        zeros = tf.zeros(weights.kernel.shape[1:], kernel.dtype)
        bias, recurrent_bias = zeros, zeros if bias is None else bias

    def packed(matrix: tf.Tensor) -> tf.Tensor:
        gates = tf.split(matrix, len(order), axis=-1)
        return tf.concat([tf.reshape(tf.transpose(gates[gate]), [-1]) for gate in order], axis=0)

    return tf.concat([packed(w) for w in (kernel, weights.kernel, bias, recurrent_bias)], axis=0)


def _layout(layer: TracedLayer) -> CudnnLayout:
    layout = layer.cell.cudnn
    assert layout is not None
    return layout


def _call(
    layer: TracedLayer,
    sequences: tf.Tensor,
    state: State,
    weights: RecurrentWeights,
    lengths: tf.Tensor,
    differentiable: bool,
) -> tuple[tf.Tensor, State]:
    """Calls cuDNN for sequences [time, batch, features] whose first `lengths` steps are real."""
    h = state[0][None]
    # The op has an argument and a result for c, which only the LSTM uses.
    has_c = len(state) > 1
    c = state[1][None] if has_c else tf.zeros_like(h)
    result = tf.raw_ops.CudnnRNNV3(
        input=sequences,
        input_h=h,
        input_c=c,
        params=parameters(layer, weights),
        sequence_lengths=lengths,
        rnn_mode=_layout(layer).mode,
        is_training=differentiable,
        time_major=True,
    )
    outputs = tf.ensure_shape(result.output, [None, None, layer.units])
    final = (result.output_h[0], result.output_c[0]) if has_c else (result.output_h[0],)
    return outputs, tuple(tf.ensure_shape(s, [None, layer.units]) for s in final)


def _mask(lengths: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Returns bool [time, batch], True for the first `lengths` steps of each row."""
    return transpose_discrete(tf.sequence_mask(lengths, tf.shape(real)[0]))


def _real_first(sequences: tf.Tensor, lengths: tf.Tensor, layer: TracedLayer) -> tf.Tensor:
    """Moves the real steps to the start; reversing right-padded rows moved them to the end."""
    if not layer.go_backwards:
        return sequences
    return tf.reverse_sequence(tf.reverse(sequences, [0]), lengths, seq_axis=0, batch_axis=1)


def _as_given(sequences: tf.Tensor, lengths: tf.Tensor, layer: TracedLayer) -> tf.Tensor:
    """Undoes `_real_first`."""
    if not layer.go_backwards:
        return sequences
    return tf.reverse(tf.reverse_sequence(sequences, lengths, seq_axis=0, batch_axis=1), [0])
