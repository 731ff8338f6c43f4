"""Traces recurrent layers for export to one graph for CPU and GPU.

Keras decides at trace time whether a layer uses cuDNN, which ties the file to one kind of device. Here the graph
contains both implementations, and the device selects one: a CPU runs the loop; a GPU runs cuDNN if it supports the
layer and its mask, and the loop otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from . import cudnn, loop
from .cell import State
from .traced_layer import TracedLayer
from .tracing import Tracing, tracing


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
        weights = layer.recurrent_weights()
        inference = loop.Masks(masks.real, zoneout=masks.zoneout)

        def by_loop() -> tuple[tf.Tensor, State]:
            return loop.run_forward(layer.cell, layer.projections(sequences), state, weights, inference)

        if not cudnn.suits(layer.cell, inference):
            return by_loop()
        # Traced once for the three places where it stands.
        on_cpu = tf.function(by_loop, autograph=False)

        def on_gpu() -> tuple[tf.Tensor, State]:
            return cudnn.run(layer, sequences, state, weights, inference.real, False, on_cpu)

        return tf.__internal__.execute_fn_for_device({"CPU": on_cpu, "GPU": on_gpu}, on_cpu)
