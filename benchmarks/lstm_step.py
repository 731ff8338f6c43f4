"""Times one training step of LSTM, SimpleRNN and GRU layers: unroll against stock Keras and PyTorch, in one run.

    python benchmarks/lstm_step.py [--batch=32 --steps=50 --features=128 --units=256]

Prints the median milliseconds of a forward and backward pass (gradients of the weights and of the input), plain and
XLA-compiled. PyTorch's row needs `pip install torch`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from rounds import medians

from unroll.models.recurrent import GRU, LSTM, SimpleRNN

_BATCH = flags.DEFINE_integer("batch", 32, "rows in a batch")
_STEPS = flags.DEFINE_integer("steps", 50, "time steps")
_FEATURES = flags.DEFINE_integer("features", 128, "input features")
_UNITS = flags.DEFINE_integer("units", 256, "units")
_REPEATS = flags.DEFINE_integer("repeats", 30, "rounds; each contender runs once a round")


def keras_step(layer: keras.Layer, x: np.ndarray, jit_compile: bool):
    layer.build(x.shape)
    x = tf.constant(x)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x, training=True)))
        return tape.gradient(loss, [x, *[w.value for w in layer.trainable_variables]])

    return lambda: step()[0].numpy()


def torch_step(x: np.ndarray):
    import torch

    layer = torch.nn.LSTM(_FEATURES.value, _UNITS.value, batch_first=True)
    x = torch.tensor(x, requires_grad=True)

    def step():
        layer.zero_grad()
        x.grad = None
        layer(x)[0].square().sum().backward()

    return step


def main(_):
    x = np.random.default_rng(0).normal(size=(_BATCH.value, _STEPS.value, _FEATURES.value)).astype("float32")
    units, sequences = _UNITS.value, {"return_sequences": True}
    contenders = {
        "keras.layers.LSTM": keras_step(keras.layers.LSTM(units, **sequences), x, False),
        "keras.layers.LSTM, XLA": keras_step(keras.layers.LSTM(units, **sequences), x, True),
        "unroll LSTM": keras_step(LSTM(units, **sequences), x, False),
        "unroll LSTM, XLA": keras_step(LSTM(units, **sequences), x, True),
        "unroll LSTM, recurrent dropout": keras_step(
            LSTM(units, recurrent_dropout=0.2, **sequences), x, False
        ),
        "keras.layers.SimpleRNN": keras_step(keras.layers.SimpleRNN(units, **sequences), x, False),
        "unroll SimpleRNN": keras_step(SimpleRNN(units, **sequences), x, False),
        "keras.layers.GRU": keras_step(keras.layers.GRU(units, **sequences), x, False),
        "unroll GRU": keras_step(GRU(units, **sequences), x, False),
    }
    try:
        contenders["torch.nn.LSTM"] = torch_step(x)
    except ImportError:
        print("PyTorch is not installed: its row is left out.")
    seconds = medians(contenders, _REPEATS.value, warm_up=3)
    reference = seconds["keras.layers.LSTM"]
    for name, value in seconds.items():
        print(f"{name:32} {1000 * value:8.1f} ms   {value / reference:5.2f} of keras.layers.LSTM")


if __name__ == "__main__":
    app.run(main)
