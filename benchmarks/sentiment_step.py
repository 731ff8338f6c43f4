"""Training a sentiment classifier: unroll against stock Keras layers and PyTorch, in one run.

    python benchmarks/sentiment_step.py [--batch=32 --tokens=200 --units=128 --embedding_size=128 --vocabulary=20000]

Bidirectional LSTM, mean over the real steps, two labels; whole training steps (forward and backward pass, clipping by
global norm, Adam) on the same batches of random texts of different lengths, without n-grams and dropout. Prints tokens
per second, medians over rounds in which each takes its turn. PyTorch's row needs `pip install torch`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from step_report import STEPS, report
from steps import training_steps

from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.sentiment.data import SentimentSizes
from unroll.tasks.sentiment.task import TASK

_BATCH = flags.DEFINE_integer("batch", 32, "texts in a batch")
_TOKENS = flags.DEFINE_integer("tokens", 200, "tokens in the longest text")
_UNITS = flags.DEFINE_integer("units", 128, "units of each direction")
_EMBEDDING = flags.DEFINE_integer("embedding_size", 128, "size of a token's vector")
_VOCABULARY = flags.DEFINE_integer("vocabulary", 20000, "tokens known")


def random_batches() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(STEPS.value):
        # As in batches of similar length: from three quarters of the longest on.
        lengths = rng.integers(_TOKENS.value * 3 // 4, _TOKENS.value + 1, _BATCH.value)
        lengths[0] = _TOKENS.value
        ids = rng.integers(2, _VOCABULARY.value, (_BATCH.value, _TOKENS.value))
        ids[np.arange(_TOKENS.value) >= lengths[:, None]] = 0
        batches.append(
            {"ids": ids.astype("int32"), "label": rng.integers(0, 2, _BATCH.value).astype("int32")}
        )
    return batches


def unroll_steps(batches):
    config = SentimentConfig(
        units=_UNITS.value,
        embedding_size=_EMBEDDING.value,
        bidirectional=True,
        pooling="mean",
        ngrams=0,
        segment=0,
        dropout=0.0,
        word_dropout=0.0,
        global_clipnorm=1.0,
    )
    spec = {"ids": tf.TensorSpec([None, None], tf.int32), "label": tf.TensorSpec([None], tf.int32)}
    return training_steps(TASK, config, SentimentSizes(_VOCABULARY.value, 2), batches, spec)


def keras_steps(batches, jit_compile: bool):
    ids = keras.Input([None], dtype="int32")
    embedded = keras.layers.Embedding(_VOCABULARY.value, _EMBEDDING.value, mask_zero=True)(ids)
    read = keras.layers.Bidirectional(keras.layers.LSTM(_UNITS.value, return_sequences=True))(embedded)
    pooled = keras.layers.GlobalAveragePooling1D()(read)
    model = keras.Model(ids, keras.layers.Dense(2)(pooled))
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )

    def steps():
        for batch in batches:
            loss = model.train_on_batch(batch["ids"], batch["label"])
        float(loss)

    return steps


def torch_steps(batches):
    import torch

    embedding = torch.nn.Embedding(_VOCABULARY.value, _EMBEDDING.value)
    lstm = torch.nn.LSTM(_EMBEDDING.value, _UNITS.value, batch_first=True, bidirectional=True)
    linear = torch.nn.Linear(2 * _UNITS.value, 2)
    parameters = [p for module in (embedding, lstm, linear) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    batches = [{name: torch.tensor(value, dtype=torch.long) for name, value in b.items()} for b in batches]

    def steps():
        for batch in batches:
            optimizer.zero_grad()
            lengths = (batch["ids"] != 0).sum(1)
            packed = torch.nn.utils.rnn.pack_padded_sequence(
                embedding(batch["ids"]), lengths, batch_first=True, enforce_sorted=False
            )
            values, _ = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
            logits = linear(values.sum(1) / lengths[:, None])
            loss = torch.nn.functional.cross_entropy(logits, batch["label"])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        float(loss)

    return steps


def main(_):
    batches = random_batches()
    tokens = sum(int((batch["ids"] != 0).sum()) for batch in batches)
    contenders = {
        "Keras": keras_steps(batches, False),
        "Keras, XLA": keras_steps(batches, True),
        "unroll": unroll_steps(batches),
    }
    report(contenders, tokens, "tokens", lambda: torch_steps(batches))


if __name__ == "__main__":
    app.run(main)
