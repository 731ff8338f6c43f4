"""Traces recurrent layers for export to one graph for CPU and GPU.

Keras decides at trace time whether a layer uses cuDNN, which ties the file to one kind of device. Here the graph
contains both implementations, and the device selects one: a CPU runs the loop; a GPU runs cuDNN if it supports the
layer and its mask, and the loop otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from ..blocks.transpose import transpose_discrete
from . import loop
from .cell import CudnnLayout, State
from .tracing import TracedLayer, Tracing, tracing


@contextmanager
def device_portable() -> Iterator[None]:
    """Traces recurrent layers with both implementations within a `with` block, for inference."""
    with tracing(_DevicePortable()):
        yield


class _DevicePortable(Tracing):
    """Traces the loop without a backward pass, and cuDNN beside it for a cell that it has."""

    def run(
        self, layer: TracedLayer, sequences: tf.Tensor, state: State, masks: loop.Masks, training: bool
    ) -> tuple[tf.Tensor, State]:
        if training:
            return super().run(layer, sequences, state, masks, training)
        layout, real = layer.cell.cudnn, masks.real
        inference = loop.Masks(real, zoneout=masks.zoneout)

        def on_cpu() -> tuple[tf.Tensor, State]:
            return loop.run_forward(
                layer.cell, layer.projections(sequences), state, layer.recurrent_weights(), inference
            )

        # cuDNN knows no zoneout.
        if layout is None or masks.zoneout is not None:
            return on_cpu()

        def on_gpu() -> tuple[tf.Tensor, State]:
            if real is None:
                time, batch = tf.shape(sequences)[0], tf.shape(sequences)[1]
                return _cudnn(layer, layout, sequences, state, tf.fill([batch], time))
            lengths = tf.reduce_sum(tf.cast(real[..., 0], tf.int32), axis=0)
            # cuDNN needs the real steps at the start of each row, and at least one.
            suits = tf.reduce_all(tf.equal(_real_first(real, lengths, layer)[..., 0], _mask(lengths, real)))
            return tf.cond(suits & tf.reduce_all(lengths > 0), lambda: _cudnn_masked(lengths), on_cpu)

        def _cudnn_masked(lengths: tf.Tensor) -> tuple[tf.Tensor, State]:
            outputs, final = _cudnn(layer, layout, _real_first(sequences, lengths, layer), state, lengths)
            # After the last real step cuDNN returns zeros; this layer carries the state on.
            outputs = tf.where(_mask(lengths, real)[..., None], outputs, final[0])
            return _as_given(outputs, lengths, layer), final

        return tf.__internal__.execute_fn_for_device({"CPU": on_cpu, "GPU": on_gpu}, on_cpu)


def cudnn_parameters(layer: TracedLayer, gate_order: tuple[int, ...]) -> tf.Tensor:
    """Packs the weights for cuDNN: the kernels of the gates, then their recurrent kernels, transposed and flat; then
    the biases of both (most cells have only the first).

    Returns:
        float32 [units * gates * (features + units + 2)].
    """
    kernel, recurrent_kernel = layer.weight(layer.kernel), layer.weight(layer.recurrent_kernel)
    zeros = tf.zeros(recurrent_kernel.shape[1:], kernel.dtype)
    bias, recurrent_bias = layer.biases()
    if recurrent_bias is None:
        bias, recurrent_bias = zeros, zeros if bias is None else bias

    def packed(weights: tf.Tensor) -> tf.Tensor:
        gates = tf.split(weights, len(gate_order), axis=-1)
        return tf.concat([tf.reshape(tf.transpose(gates[gate]), [-1]) for gate in gate_order], axis=0)

    return tf.concat([packed(w) for w in (kernel, recurrent_kernel, bias, recurrent_bias)], axis=0)


def _cudnn(
    layer: TracedLayer, layout: CudnnLayout, sequences: tf.Tensor, state: State, lengths: tf.Tensor
) -> tuple[tf.Tensor, State]:
    """Runs cuDNN over sequences [time, batch, features] whose real steps come first."""
    h = state[0][None]
    # The op has an argument and a result for c, which only the LSTM uses.
    has_c = len(state) > 1
    c = state[1][None] if has_c else tf.zeros_like(h)
    result = tf.raw_ops.CudnnRNNV3(
        input=sequences,
        input_h=h,
        input_c=c,
        params=cudnn_parameters(layer, layout.gate_order),
        sequence_lengths=lengths,
        rnn_mode=layout.mode,
        is_training=False,
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
