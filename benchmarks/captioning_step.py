"""Training a captioning model on cached features: unroll against stock Keras layers with `fit`, in one run.

    python benchmarks/captioning_step.py [--images=64 --captions=5 --tokens=14 --units=512 --vocabulary=2500]

A grid of 49 positions with 1,280 features an image, projection, LSTM decoder with general attention and a gate, logits;
whole training steps (forward and backward pass, clipping by global norm, Adam) on the same batches of random captions
of different lengths, without dropout. Keras' layers get a caption with its image in each row, as they are usually used,
or the captions of an image together, so that its grid is projected once, as in unroll. Prints target tokens per
second, medians over rounds in which each takes its turn.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from step_report import STEPS, report
from steps import training_steps

from unroll.models.text import END, START
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.captioning.data import CaptioningSizes
from unroll.tasks.captioning.task import TASK

_IMAGES = flags.DEFINE_integer("images", 64, "images in a batch")
_CAPTIONS = flags.DEFINE_integer("captions", 5, "captions of an image")
_TOKENS = flags.DEFINE_integer("tokens", 14, "tokens in the longest caption")
_UNITS = flags.DEFINE_integer("units", 512, "units of the decoder")
_EMBEDDING = flags.DEFINE_integer("embedding_size", 256, "size of a token's vector")
_VOCABULARY = flags.DEFINE_integer("vocabulary", 2500, "tokens known")

_GRID, _FEATURES = 7, 1280


def random_batches() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(STEPS.value):
        shape = (_IMAGES.value, _CAPTIONS.value, _TOKENS.value)
        # As the captions of an image are: from half of the longest on.
        lengths = rng.integers(_TOKENS.value // 2, _TOKENS.value + 1, shape[:2])
        lengths[:, 0] = _TOKENS.value
        ids = rng.integers(4, _VOCABULARY.value, shape)
        ids[np.arange(_TOKENS.value) >= lengths[..., None]] = 0
        edge = np.ones([*shape[:2], 1], int)
        captions = np.concatenate([START * edge, ids, 0 * edge], axis=2)
        np.put_along_axis(captions, lengths[..., None] + 1, END, axis=2)
        images = rng.gamma(1, size=[_IMAGES.value, _GRID**2, _FEATURES])
        batches.append({"captions": captions.astype("int32"), "images": images.astype("float16")})
    return batches


def unroll_steps(batches):
    config = CaptioningConfig(
        units=_UNITS.value, embedding_size=_EMBEDDING.value, dropout=0.0, global_clipnorm=1.0
    )
    shape = (_GRID**2, _FEATURES)
    sizes = CaptioningSizes(_VOCABULARY.value, _FEATURES)
    spec = {
        "captions": tf.TensorSpec([None, None, None], tf.int32),
        "images": tf.TensorSpec([None, *shape], tf.float16),
    }
    return training_steps(TASK, config, sizes, batches, spec)


def keras_steps(batches, shared: bool):
    """`shared`: the captions of an image are together; else each is a row with its image."""
    units, vocabulary, several = _UNITS.value, _VOCABULARY.value, _CAPTIONS.value
    time = _TOKENS.value + 1
    features = keras.Input([_GRID**2, _FEATURES], dtype="float16")
    target = keras.Input([several, time] if shared else [time], dtype="int32")
    ids = keras.ops.reshape(target, [-1, time]) if shared else target
    values = keras.layers.Dense(units, activation="relu")(keras.ops.cast(features, "float32"))
    mean = keras.layers.GlobalAveragePooling1D()(values)
    states = [keras.layers.Dense(units, activation="tanh")(mean) for _ in range(2)]
    if shared:
        states = [keras.ops.repeat(state, several, axis=0) for state in states]
    # Padding comes last and is not predicted: it needs no mask.
    embedded = keras.layers.Embedding(vocabulary, _EMBEDDING.value)(ids)
    hidden = keras.layers.LSTM(units, return_sequences=True)(embedded, initial_state=states)
    if shared:
        hidden = keras.ops.reshape(hidden, [-1, several * time, units])
    keys = keras.layers.Dense(units, use_bias=False)(values)
    context = keras.layers.Attention()([hidden, values, keys])
    context = keras.layers.Multiply()([context, keras.layers.Dense(1, activation="sigmoid")(hidden)])
    output = keras.layers.Dense(units, activation="tanh")(keras.layers.Concatenate()([context, hidden]))
    logits = keras.layers.Dense(vocabulary)(output)
    if shared:
        logits = keras.ops.reshape(logits, [-1, several, time, vocabulary])
    model = keras.Model([features, target], logits)
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        jit_compile=False,
    )

    def rows(batch):
        images, captions = batch["images"], batch["captions"]
        if not shared:
            images, captions = np.repeat(images, several, axis=0), captions.reshape(-1, captions.shape[2])
        return (images, captions[..., :-1]), captions[..., 1:]

    leading = [_IMAGES.value, several] if shared else [_IMAGES.value * several]
    data = tf.data.Dataset.from_generator(
        lambda: map(rows, batches),
        output_signature=((tf.TensorSpec([leading[0], _GRID**2, _FEATURES], tf.float16),
                           tf.TensorSpec([*leading, time], tf.int32)), tf.TensorSpec([*leading, time], tf.int32)),
    ).cache().prefetch(2)  # fmt: skip
    return lambda: model.fit(data, verbose=0)


def main(_):
    batches = random_batches()
    tokens = sum(int((batch["captions"][..., 1:] != 0).sum()) for batch in batches)
    contenders = {
        "Keras, fit": keras_steps(batches, shared=False),
        "Keras, fit, image shared": keras_steps(batches, shared=True),
        "unroll": unroll_steps(batches),
    }
    report(contenders, tokens, "target tokens")


if __name__ == "__main__":
    app.run(main)
