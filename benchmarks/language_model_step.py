"""Times training steps of a character language model: unroll against stateful Keras layers and PyTorch, in one run.

    python benchmarks/language_model_step.py [--batch=32 --truncation=128 --layers=1 --units=512]

Every contender makes whole training steps (carried state, forward and backward pass, clipping by global norm, Adam) on
the same windows. Prints characters per second, medians over rounds in which each takes its turn, plain and
XLA-compiled. PyTorch's row needs `pip install torch`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from step_report import STEPS, report
from steps import training_steps

from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.language_modeling.data import LanguageModelSizes
from unroll.tasks.language_modeling.task import TASK

_BATCH = flags.DEFINE_integer("batch", 32, "lanes")
_TRUNCATION = flags.DEFINE_integer("truncation", 128, "steps of a window")
_LAYERS = flags.DEFINE_integer("layers", 1, "recurrent layers")
_UNITS = flags.DEFINE_integer("units", 512, "units of each layer")
_CHARACTERS = flags.DEFINE_integer("characters", 65, "different characters")


def unroll_steps(windows: np.ndarray, jit_compile: bool):
    lanes, steps = _BATCH.value, _TRUNCATION.value
    config = LanguageModelingConfig(layers=_LAYERS.value, units=_UNITS.value, global_clipnorm=1.0)
    sizes = LanguageModelSizes(_CHARACTERS.value + 2, lanes)
    batches = [
        {"ids": ids, "length": np.full(lanes, steps, "int32"), "reset": np.full(lanes, number == 0)}
        for number, ids in enumerate(windows)
    ]
    spec = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in batches[0].items()}
    return training_steps(TASK, config, sizes, batches, spec, jit_compile=jit_compile)


def keras_steps(windows: np.ndarray, jit_compile: bool):
    classes = _CHARACTERS.value + 2
    layers = [
        keras.layers.LSTM(_UNITS.value, return_sequences=True, stateful=True) for _ in range(_LAYERS.value)
    ]
    ids = keras.Input(batch_shape=[_BATCH.value, _TRUNCATION.value], dtype="int32")
    x = keras.layers.CategoryEncoding(classes, output_mode="one_hot")(ids[..., None])
    for layer in layers:
        x = layer(x)
    model = keras.Model(ids, keras.layers.Dense(classes)(x))
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )

    def steps():
        for window in windows:
            loss = model.train_on_batch(window[:, :-1], window[:, 1:])
        float(loss)

    return steps


def torch_steps(windows: np.ndarray):
    import torch

    classes = _CHARACTERS.value + 2
    lstm = torch.nn.LSTM(classes, _UNITS.value, _LAYERS.value, batch_first=True)
    linear = torch.nn.Linear(_UNITS.value, classes)
    parameters = [*lstm.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    windows = torch.tensor(windows, dtype=torch.long)
    state = None

    def steps():
        nonlocal state
        for window in windows:
            optimizer.zero_grad()
            inputs = torch.nn.functional.one_hot(window[:, :-1], classes).float()
            hidden, state = lstm(inputs, state)
            state = tuple(s.detach() for s in state)
            loss = torch.nn.functional.cross_entropy(linear(hidden).flatten(0, 1), window[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        float(loss)

    return steps


def main(_):
    rng = np.random.default_rng(0)
    shape = [STEPS.value, _BATCH.value, _TRUNCATION.value + 1]
    windows = rng.integers(2, _CHARACTERS.value + 2, shape).astype("int32")
    contenders = {
        "Keras, stateful": keras_steps(windows, False),
        "Keras, stateful, XLA": keras_steps(windows, True),
        "unroll": unroll_steps(windows, False),
        "unroll, XLA": unroll_steps(windows, True),
    }
    characters = STEPS.value * _BATCH.value * _TRUNCATION.value
    report(contenders, characters, "characters", lambda: torch_steps(windows))


if __name__ == "__main__":
    app.run(main)
