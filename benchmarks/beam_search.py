"""Beam search of an exported translation model against a batched beam search in PyTorch, in one run.

    python benchmarks/beam_search.py [--beam_width=5 --steps=20 --units=512 --embedding_size=256 --vocabulary=6000]
        [--precision=mixed_bfloat16]

Models of the same sizes with random weights, made to write the same number of tokens. unroll's is exported, loaded
from its SavedModel and called from text to text; PyTorch begins and ends with ids. Both take the best of each
hypothesis first, and then the best of all. In bfloat16, PyTorch's weights are bfloat16, too.
"""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tempfile
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from number_words import word
from rounds import compared_apart, medians

import unroll.serving as ue
from unroll.export.saved_model import export
from unroll.models.decoding import Beams
from unroll.models.options import TranslationOptions
from unroll.models.text import SubwordCodec
from unroll.models.translation import TranslationModel
from unroll.tasks.translation.signatures import bundle

_BEAMS = flags.DEFINE_integer("beam_width", 5, "hypotheses of a sentence")
_STEPS = flags.DEFINE_integer("steps", 20, "tokens of a translation")
_TOKENS = flags.DEFINE_integer("tokens", 12, "tokens of a sentence")
_UNITS = flags.DEFINE_integer("units", 512, "units of encoder and decoder")
_EMBEDDING = flags.DEFINE_integer("embedding_size", 256, "size of a token's vector")
_VOCABULARY = flags.DEFINE_integer("vocabulary", 6000, "tokens in each language")
_PRECISION = flags.DEFINE_enum("precision", "float32", ["float32", "mixed_bfloat16"], "dtype of both models")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds, each with a fresh process for each contender")
_CALLS = flags.DEFINE_integer("calls", 9, "calls that are timed in a process")
_RESULTS = flags.DEFINE_string("results", None, "JSON file for the results")
_ONLY = flags.DEFINE_string("only", None, "for the processes: the contender")


def exported_translator(directory: str):
    codec = SubwordCodec("words", [f"▁{word(n)}" for n in range(_VOCABULARY.value - 4)], 100)
    options = TranslationOptions(units=_UNITS.value, embedding_size=_EMBEDDING.value)
    model = TranslationModel(len(codec), len(codec), options)
    ids = tf.ones([1, 1], tf.int32)
    model.logits(model(ids, ids)[:, 0])
    beams = Beams(_BEAMS.value, min_length=_STEPS.value)
    export(bundle(model, codec, codec, beams, _STEPS.value), directory)
    return ue.load(directory)


def torch_translator(units: int, size: int, vocabulary: int):
    """Returns the same model, with a beam search over all hypotheses of all sentences at once."""
    import torch

    class TorchTranslator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(vocabulary, size)
            self.encoder = torch.nn.LSTM(size, units // 2, batch_first=True, bidirectional=True)
            self.cell = torch.nn.LSTMCell(size, units)
            self.key = torch.nn.Linear(units, units, bias=False)
            self.output = torch.nn.Linear(2 * units, units)
            self.logits = torch.nn.Linear(units, vocabulary)

        @torch.no_grad()
        def translate(self, source, width, steps):
            source = torch.tensor(source)
            batch = len(source)
            values, states = self.encoder(self.embedding(source))
            keys = self.key(values).transpose(1, 2)
            h, c = (torch.cat([s[0], s[1]], dim=1).repeat_interleave(width, 0) for s in states)
            last = torch.full([batch * width], 2)
            totals = torch.full([batch, width], -1e9, dtype=torch.float32)
            totals[:, 0] = 0
            written = torch.zeros([batch, width, 0], dtype=torch.long)
            offsets = torch.arange(batch)[:, None] * width
            for _ in range(steps + 1):
                h, c = self.cell(self.embedding(last), (h, c))
                hidden = h.view(batch, width, -1)
                context = torch.softmax(hidden @ keys, dim=2) @ values
                output = torch.tanh(self.output(torch.cat([context, hidden], dim=2)))
                gains = torch.log_softmax(self.logits(output).float(), dim=2)
                best, choices = gains.topk(width, dim=2)
                totals, positions = (totals[..., None] + best).view(batch, -1).topk(width, dim=1)
                parents = positions // width
                last = choices.view(batch, -1).gather(1, positions)
                written = torch.cat(
                    [written.gather(1, parents[..., None].expand_as(written)), last[..., None]], dim=2
                )
                rows = (offsets + parents).view(-1)
                h, c, last = h[rows], c[rows], last.view(-1)
            return written

    return TorchTranslator()


def main(_):
    if not _ONLY.value:
        work = f"translation, beam of {_BEAMS.value}"
        compared_apart(work, "unroll", "PyTorch", _ROUNDS.value, _RESULTS.value)
        return
    rng = np.random.default_rng(0)
    batches = {n: rng.integers(4, _VOCABULARY.value, (n, _TOKENS.value)) for n in (1, 32)}
    with tempfile.TemporaryDirectory() as directory:
        if _ONLY.value == "unroll":
            keras.config.set_dtype_policy(_PRECISION.value)
            ours = exported_translator(directory)
            texts = {n: [" ".join(word(i - 4) for i in row) for row in ids] for n, ids in batches.items()}
            calls = {str(n): partial(ours.translate, rows, n_best=_BEAMS.value) for n, rows in texts.items()}
        else:
            theirs = torch_translator(_UNITS.value, _EMBEDDING.value, _VOCABULARY.value)
            if _PRECISION.value == "mixed_bfloat16":
                theirs = theirs.bfloat16()
            calls = {
                str(n): partial(theirs.translate, ids.tolist(), _BEAMS.value, _STEPS.value)
                for n, ids in batches.items()
            }
        print(json.dumps(medians(calls, _CALLS.value, warm_up=2)))


if __name__ == "__main__":
    app.run(main)
