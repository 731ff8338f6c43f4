"""Training a translation model: unroll against stock Keras layers with `fit` and PyTorch, in one run.

    python benchmarks/translation_step.py [--batch=128 --tokens=16 --units=512 --embedding_size=256 --vocabulary=6000]

Bidirectional LSTM encoder, LSTM decoder with general attention, whole training steps (forward and backward pass,
clipping by global norm, Adam) on the same batches of random sentences of different lengths. Prints target tokens per
second, medians over rounds in which each takes its turn: stock Keras plain and XLA-compiled, unroll in float32 as all
others and with --precision=mixed_bfloat16. PyTorch's row needs `pip install torch`.
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
from unroll.tasks.translation.config import TranslationConfig
from unroll.tasks.translation.data import TranslationSizes
from unroll.tasks.translation.task import TASK

_BATCH = flags.DEFINE_integer("batch", 128, "sentences in a batch")
_TOKENS = flags.DEFINE_integer("tokens", 16, "tokens in the longest sentence")
_UNITS = flags.DEFINE_integer("units", 512, "units of encoder and decoder")
_EMBEDDING = flags.DEFINE_integer("embedding_size", 256, "size of a token's vector")
_VOCABULARY = flags.DEFINE_integer("vocabulary", 6000, "tokens in each language")


def random_batches() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(STEPS.value):
        shape = (_BATCH.value, _TOKENS.value)
        # As in batches of similar length: from three quarters of the longest on.
        lengths = rng.integers(_TOKENS.value * 3 // 4, _TOKENS.value + 1, (2, _BATCH.value))
        lengths[:, 0] = _TOKENS.value
        source, target = (
            np.where(np.arange(_TOKENS.value) < n[:, None], rng.integers(4, _VOCABULARY.value, shape), 0)
            for n in lengths
        )
        target = np.concatenate(
            [np.full([_BATCH.value, 1], START), target, np.zeros([_BATCH.value, 1])], axis=1
        )
        target[np.arange(_BATCH.value), lengths[1] + 1] = END
        batches.append({"source": source.astype("int32"), "target": target.astype("int32")})
    return batches


def unroll_steps(batches, precision: str):
    config = TranslationConfig(
        units=_UNITS.value, embedding_size=_EMBEDDING.value, dropout=0.0, global_clipnorm=1.0
    )
    sizes = TranslationSizes(_VOCABULARY.value, _VOCABULARY.value)
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in ("source", "target")}
    return training_steps(TASK, config, sizes, batches, spec, precision=precision)


def keras_steps(batches, jit_compile: bool):
    units, vocabulary = _UNITS.value, _VOCABULARY.value
    source = keras.Input([None], dtype="int32")
    target = keras.Input([None], dtype="int32")
    embedded = keras.layers.Embedding(vocabulary, _EMBEDDING.value, mask_zero=True)(source)
    half = keras.layers.LSTM(units // 2, return_sequences=True, return_state=True)
    values, fh, fc, bh, bc = keras.layers.Bidirectional(half)(embedded)
    states = [keras.layers.Concatenate()([fh, bh]), keras.layers.Concatenate()([fc, bc])]
    # The target's padding comes last and is not predicted: it needs no mask.
    decoded = keras.layers.Embedding(vocabulary, _EMBEDDING.value)(target)
    hidden = keras.layers.LSTM(units, return_sequences=True)(decoded, initial_state=states)
    keys = keras.layers.Dense(units, use_bias=False)(values)
    mask = keras.layers.Lambda(lambda ids: ids != 0)(source)
    context = keras.layers.Attention()([hidden, values, keys], mask=[None, mask])
    output = keras.layers.Dense(units, activation="tanh")(keras.layers.Concatenate()([context, hidden]))
    model = keras.Model([source, target], keras.layers.Dense(vocabulary)(output))
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        jit_compile=jit_compile,
    )
    data = tf.data.Dataset.from_generator(
        lambda: (((b["source"], b["target"][:, :-1]), b["target"][:, 1:]) for b in batches),
        output_signature=((tf.TensorSpec([_BATCH.value, _TOKENS.value], tf.int32),
                           tf.TensorSpec([_BATCH.value, _TOKENS.value + 1], tf.int32)),
                          tf.TensorSpec([_BATCH.value, _TOKENS.value + 1], tf.int32)),
    ).cache().prefetch(2)  # fmt: skip
    return lambda: model.fit(data, verbose=0)


def torch_steps(batches):
    import torch

    class Model(torch.nn.Module):
        def __init__(self, units, size, vocabulary):
            super().__init__()
            self.source = torch.nn.Embedding(vocabulary, size)
            self.target = torch.nn.Embedding(vocabulary, size)
            self.encoder = torch.nn.LSTM(size, units // 2, batch_first=True, bidirectional=True)
            self.decoder = torch.nn.LSTM(size, units, batch_first=True)
            self.key = torch.nn.Linear(units, units, bias=False)
            self.output = torch.nn.Linear(2 * units, units)
            self.logits = torch.nn.Linear(units, vocabulary)

        def forward(self, source, target):
            lengths = (source != 0).sum(1)
            packed = torch.nn.utils.rnn.pack_padded_sequence(
                self.source(source), lengths, batch_first=True, enforce_sorted=False
            )
            values, states = self.encoder(packed)
            values, _ = torch.nn.utils.rnn.pad_packed_sequence(values, batch_first=True)
            states = tuple(torch.cat([s[0], s[1]], dim=1)[None] for s in states)
            hidden, _ = self.decoder(self.target(target), states)
            scores = hidden @ self.key(values).transpose(1, 2)
            scores = scores.masked_fill((source == 0)[:, None], -1e9)
            context = torch.softmax(scores, dim=2) @ values
            return torch.tanh(self.output(torch.cat([context, hidden], dim=2)))

    model = Model(_UNITS.value, _EMBEDDING.value, _VOCABULARY.value)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batches = [{name: torch.tensor(value, dtype=torch.long) for name, value in b.items()} for b in batches]

    def steps():
        for batch in batches:
            optimizer.zero_grad()
            targets = batch["target"][:, 1:]
            # Logits for real tokens alone, as in unroll.
            real = targets != 0
            logits = model.logits(model(batch["source"], batch["target"][:, :-1])[real])
            loss = torch.nn.functional.cross_entropy(logits, targets[real])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        float(loss)

    return steps


def main(_):
    batches = random_batches()
    tokens = sum(int((batch["target"][:, 1:] != 0).sum()) for batch in batches)
    contenders = {
        "Keras, fit": keras_steps(batches, False),
        "Keras, fit, XLA": keras_steps(batches, True),
        "unroll": unroll_steps(batches, "float32"),
        "unroll, bfloat16 products": unroll_steps(batches, "mixed_bfloat16"),
    }
    report(contenders, tokens, "target tokens", lambda: torch_steps(batches))


if __name__ == "__main__":
    app.run(main)
