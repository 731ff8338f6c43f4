"""Layers against stock Keras and PyTorch: forward passes and training steps, in one run.

    python benchmarks/layers.py [--cells=LSTM,GRU,SimpleRNN --cases=batch_32,masked --seconds=3]

A training step is a forward and a backward pass, with the gradients of the weights and of the input. Around one case
(a batch of 32, 100 steps, 128 features, 256 units) the table varies one size or option at a time. Prints medians over
rounds in which each contender takes its turn. PyTorch's column needs `pip install torch`; it has no mask in any pattern
and no recurrent dropout.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from machine import measured
from rounds import Comparison, compared, write_results

from unroll.models.recurrent import GRU, LSTM, SimpleRNN

_CELLS = flags.DEFINE_list("cells", ["LSTM", "GRU", "SimpleRNN"], "cells")
_CASES = flags.DEFINE_list("cases", None, "names of cases; all by default")
_SECONDS = flags.DEFINE_float("seconds", 3, "time for the rounds of a case, which has at least five")
_RESULTS = flags.DEFINE_string("results", None, "JSON file for the results")

_OURS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN}
_FEATURES = 128


@dataclass(frozen=True)
class Case:
    """Sizes and options; `text` is how the page calls them."""

    text: str
    batch: int = 32
    steps: int = 100
    units: int = 256
    masked: bool = False
    bidirectional: bool = False
    recurrent_dropout: float = 0.0
    training: bool = True

    def flops(self, gates: int) -> int:
        """Returns the number of operations of the matrix products."""
        products = 2 * self.batch * self.steps * (_FEATURES + self.units) * gates * self.units
        return products * (3 if self.training else 1) * (2 if self.bidirectional else 1)


_BASE = Case("batch 32, 100 steps, 256 units")
CASES = {
    "batch_32": _BASE,
    "batch_1": replace(_BASE, text="batch 1", batch=1),
    "batch_8": replace(_BASE, text="batch 8", batch=8),
    "batch_128": replace(_BASE, text="batch 128", batch=128),
    "steps_20": replace(_BASE, text="20 steps", steps=20),
    "steps_50": replace(_BASE, text="50 steps", steps=50),
    "steps_500": replace(_BASE, text="500 steps", steps=500),
    "units_128": replace(_BASE, text="128 units", units=128),
    "units_512": replace(_BASE, text="512 units", units=512),
    "masked": replace(_BASE, text="masked", masked=True),
    "bidirectional": replace(_BASE, text="bidirectional", bidirectional=True),
    "recurrent_dropout": replace(_BASE, text="recurrent dropout", recurrent_dropout=0.2),
    "forward": replace(_BASE, text="forward pass alone", training=False),
    "forward_batch_1": replace(_BASE, text="forward pass alone, batch 1", batch=1, training=False),
    "forward_masked": replace(_BASE, text="forward pass alone, masked", masked=True, training=False),
}


def keras_step(kind: type, case: Case, x: np.ndarray, jit_compile: bool) -> Callable[[], object]:
    """Returns a step of one of unroll's layers or of Keras' own."""
    layer = kind(case.units, recurrent_dropout=case.recurrent_dropout, return_sequences=True)
    if case.bidirectional:
        layer = keras.layers.Bidirectional(layer)
    layer.build(x.shape)
    x, mask = tf.constant(x), None
    if case.masked:
        lengths = np.linspace(case.steps // 2, case.steps, case.batch)
        mask = tf.constant(np.arange(case.steps) < lengths[:, None])

    @tf.function(jit_compile=jit_compile)
    def step():
        if not case.training:
            return [layer(x, mask=mask, training=False)]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x, mask=mask, training=True)))
        return tape.gradient(loss, [x, *[w.value for w in layer.trainable_variables]])

    return lambda: step()[0].numpy()


def torch_step(cell: str, case: Case, x: np.ndarray) -> Callable[[], object] | None:
    """Returns a step of PyTorch's layer, or None if it lacks the case."""
    if case.masked or case.recurrent_dropout:
        return None
    import torch

    kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}[cell]
    layer = kind(_FEATURES, case.units, batch_first=True, bidirectional=case.bidirectional)
    x = torch.tensor(x, requires_grad=case.training)

    def step():
        if not case.training:
            with torch.no_grad():
                layer(x)
            return
        layer.zero_grad()
        x.grad = None
        layer(x)[0].square().sum().backward()

    return step


def comparison(cell: str, case: Case, seconds: float) -> Comparison:
    """Times a case."""
    shape = (case.batch, case.steps, _FEATURES)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    theirs = getattr(keras.layers, cell)
    contenders = {
        "Keras": keras_step(theirs, case, x, False),
        "Keras, XLA": keras_step(theirs, case, x, True),
        "unroll": keras_step(_OURS[cell], case, x, False),
    }
    try:
        step = torch_step(cell, case, x)
        contenders |= {"PyTorch": step} if step else {}
    except ImportError:
        print("PyTorch is not installed: its column is empty.")
    return compared(contenders, seconds)


def main(_):
    rows = []
    machine = measured()
    print(f"{machine['processor']}: {machine['gflops']:.0f} GFLOP/s, {machine['gigabytes']:.0f} GB/s")
    for cell in _CELLS.value:
        gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[cell]
        for name in _CASES.value or CASES:
            case = CASES[name]
            found = comparison(cell, case, _SECONDS.value)
            print(f"{cell:10} {name:18} {found}", flush=True)
            rows.append({"case": case.text, "flops": case.flops(gates), **found.as_json()})
            write_results(_RESULTS.value, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    app.run(main)
