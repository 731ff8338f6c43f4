"""Beam search of an exported translation model against a batched beam search in PyTorch, in one run.

    python benchmarks/beam_search.py [--beam_width=5 --steps=20 --units=512 --embedding_size=256 --vocabulary=6000]

Models of the same sizes with random weights, made to write the same number of tokens. unroll's is exported, loaded
from its SavedModel and called from text to text; PyTorch begins and ends with ids. Both take the best of each
hypothesis first, and then the best of all.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tempfile

import numpy as np
import tensorflow as tf
import torch
from absl import app, flags
from rounds import medians

import unroll.export as ue
from unroll.export.saved_model import export
from unroll.models.decoding import Beams
from unroll.models.text.pieces import PieceEncoder
from unroll.models.translation import TranslationModel
from unroll.tasks.translation.signatures import bundle

_BEAMS = flags.DEFINE_integer("beam_width", 5, "hypotheses of a sentence")
_STEPS = flags.DEFINE_integer("steps", 20, "tokens of a translation")
_PLACES = flags.DEFINE_integer("places", 12, "tokens of a sentence")
_UNITS = flags.DEFINE_integer("units", 512, "units of encoder and decoder")
_EMBEDDING = flags.DEFINE_integer("embedding_size", 256, "size of a token's vector")
_VOCABULARY = flags.DEFINE_integer("vocabulary", 6000, "tokens in each language")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "each contender translates once a round")


def word(number: int) -> str:
    """A word of letters for a number: digits would be tokens by themselves."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def exported_translator(directory: str):
    encoder = PieceEncoder("words", [f"▁{word(n)}" for n in range(_VOCABULARY.value - 4)], 100)
    model = TranslationModel(len(encoder), len(encoder), units=_UNITS.value, embedding_size=_EMBEDDING.value)
    ids = tf.ones([1, 1], tf.int32)
    model.logits(model(ids, ids)[:, 0])
    beams = Beams(_BEAMS.value, min_length=_STEPS.value)
    export(bundle(model, encoder, encoder, beams, _STEPS.value), directory)
    return ue.load(directory)


class TorchTranslator(torch.nn.Module):
    """The same model, whose beam search goes through all hypotheses of all sentences at once."""

    def __init__(self, units, size, vocabulary):
        super().__init__()
        self.vocabulary = vocabulary
        self.embedding = torch.nn.Embedding(vocabulary, size)
        self.encoder = torch.nn.LSTM(size, units // 2, batch_first=True, bidirectional=True)
        self.cell = torch.nn.LSTMCell(size, units)
        self.key = torch.nn.Linear(units, units, bias=False)
        self.output = torch.nn.Linear(2 * units, units)
        self.logits = torch.nn.Linear(units, vocabulary)

    @torch.no_grad()
    def translate(self, source, width, steps):
        batch = len(source)
        values, states = self.encoder(self.embedding(source))
        keys = self.key(values).transpose(1, 2)
        h, c = (torch.cat([s[0], s[1]], dim=1).repeat_interleave(width, 0) for s in states)
        last = torch.full([batch * width], 2)
        totals = torch.full([batch, width], -1e9)
        totals[:, 0] = 0
        written = torch.zeros([batch, width, 0], dtype=torch.long)
        offsets = torch.arange(batch)[:, None] * width
        for _ in range(steps + 1):
            h, c = self.cell(self.embedding(last), (h, c))
            hidden = h.view(batch, width, -1)
            context = torch.softmax(hidden @ keys, dim=2) @ values
            output = torch.tanh(self.output(torch.cat([context, hidden], dim=2)))
            gains = torch.log_softmax(self.logits(output), dim=2)
            best, choices = gains.topk(width, dim=2)
            totals, places = (totals[..., None] + best).view(batch, -1).topk(width, dim=1)
            parents = places // width
            last = choices.view(batch, -1).gather(1, places)
            written = torch.cat(
                [written.gather(1, parents[..., None].expand_as(written)), last[..., None]], dim=2
            )
            rows = (offsets + parents).view(-1)
            h, c, last = h[rows], c[rows], last.view(-1)
        return written


def main(_):
    rng = np.random.default_rng(0)
    theirs = TorchTranslator(_UNITS.value, _EMBEDDING.value, _VOCABULARY.value)
    with tempfile.TemporaryDirectory() as directory:
        ours = exported_translator(directory)
    for batch in (1, 32):
        ids = rng.integers(4, _VOCABULARY.value, (batch, _PLACES.value))
        texts = [" ".join(word(n - 4) for n in row) for row in ids]
        source = torch.tensor(ids)
        contenders = {
            "unroll": lambda texts=texts: ours.translate(texts, n_best=_BEAMS.value),
            "PyTorch": lambda source=source: theirs.translate(source, _BEAMS.value, _STEPS.value),
        }
        seconds = medians(contenders, _ROUNDS.value, warm_up=2)
        for name, value in seconds.items():
            speed = seconds["PyTorch"] / value
            print(
                f"batch {batch:2}   {name:8} {1000 * value:8.1f} ms   {speed:5.2f} times as fast as PyTorch"
            )


if __name__ == "__main__":
    app.run(main)
