"""BLEU, chrF, loss and perplexity, and a file with every translation."""

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sacrebleu
import tensorflow as tf

from ...common.files import replacing
from ...common.progress_bar import ProgressBar
from ...models.blocks.losses import shifted
from ...models.blocks.traced import traced_per_model
from ...models.decoding import Beams
from ...models.text import PADDING, SubwordCodec, pad, with_start_and_end
from ...models.translation import Translator
from ...models.writing.copying import attended_tokens
from ...models.writing.shortlist import Shortlist
from ..beam_search import beams_of, best, warning_of_same
from ..datasets.batching import chunks, length_sorted_batches
from ..task import Evaluation
from .bleu import bleu_for
from .data import TranslationData
from .lexicon import learn_shortlist

# Pairs held in memory as ids at a time, and sorted by length.
_CHUNK = 4096
_SHOWN = 5
_SEPARATORS = re.compile(r"[\t\r\n]")


def evaluate(model: Translator, data: TranslationData, split: str) -> Evaluation:
    """Measures a model on a part of its data with greedy translations, and writes them to a file."""
    return _evaluate(model, data, split, Beams(1))


def report(model: Translator, data: TranslationData, split: str) -> Evaluation:
    """Does the work of `evaluate` with the beam search of the options."""
    config = data.config
    shortlist = learn_shortlist(model, data, config.shortlist)
    return _evaluate(model, data, split, beams_of(config, len(data.target_codec)), shortlist)


def _evaluate(
    model: Translator, data: TranslationData, split: str, beams: Beams, shortlist: Shortlist | None = None
) -> Evaluation:
    with ProgressBar(f"translating {split}", "sentences") as bar:
        return _measured(model, data, split, beams, shortlist, bar)


def _measured(
    model: Translator,
    data: TranslationData,
    split: str,
    beams: Beams,
    shortlist: Shortlist | None,
    bar: ProgressBar,
) -> Evaluation:
    config, source_codec, target_codec = data.config, data.source_codec, data.target_codec
    total, tokens, seconds = 0.0, 0, 0.0
    rows: list[tuple[str, str, str, float]] = []
    for chunk in chunks(data.examples(split), _CHUNK):
        sources, targets = zip(*(pair.in_bytes for pair in chunk), strict=True)
        encoded = source_codec.encode(tf.constant(sources)), target_codec.encode(tf.constant(targets))
        lengths = np.maximum(*(ids.row_lengths().numpy() for ids in encoded))
        found: list[tuple[str, float]] = [("", 0.0)] * len(chunk)
        for positions in length_sorted_batches(lengths, config.batch_tokens):
            source, target = (tf.gather(ids, positions) for ids in encoded)
            source, target = pad(source), with_start_and_end(target)
            total += float(_losses(model, source, target))
            tokens += int(tf.reduce_sum(tf.cast(target[:, 1:] != PADDING, tf.int32)))
            begun = time.monotonic()
            copied = source_codec.split_padded(tf.gather(sources, positions)) if config.copy_unknown else None
            longest = config.max_decode_length
            texts, scores = _translate(model, source, copied, target_codec, beams, longest, shortlist)
            seconds += time.monotonic() - begun
            for position, text, score in zip(positions, texts.numpy(), scores.numpy().tolist(), strict=True):
                found[position] = (text.decode(), score)
            bar.update(len(positions))
        for pair, result in zip(chunk, found, strict=True):
            # Bytes that are not UTF-8 cannot be printed.
            source, reference = (text.decode("utf-8", "replace") for text in pair.in_bytes)
            rows.append((source, reference, *result))
    _write(data.results.path("translations", split, ".tsv"), rows)
    return _summary(rows, total, tokens, seconds, beams)


@traced_per_model
def _losses(model: Translator, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Returns the loss of all real tokens of the target. Traced once per model, like `_translate`."""
    inputs, targets = shifted(target)
    return tf.reduce_sum(model.token_losses(model(source, inputs), targets).losses)


@traced_per_model
def _translate(
    model: Translator,
    source: tf.Tensor,
    copied: tf.Tensor | None,
    codec: SubwordCodec,
    beams: Beams,
    longest: int,
    shortlist: Shortlist | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best translation of each row, and its score; unknown tokens are copied from `copied`, the tokens of
    the source, string [batch, positions], if given."""
    found = model.translate(source, beams, longest, copied is not None, shortlist)
    translation = best(found, codec, None if copied is None else attended_tokens(found, copied))
    return translation["text"], translation["score"]


def _write(path: Path, rows: Sequence[tuple[str, str, str, float]]) -> None:
    """Writes a tab-separated file with a header and a line for each pair: source, reference, hypothesis, score."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("source\treference\thypothesis\tscore\n")
        for *texts, score in rows:
            # The format has no quotes or escapes; tabs and line breaks become spaces.
            columns = [_SEPARATORS.sub(" ", text) for text in texts]
            file.write("\t".join([*columns, f"{score:.6g}"]) + "\n")


def _summary(
    rows: Sequence[tuple[str, str, str, float]], total: float, tokens: int, seconds: float, beams: Beams
) -> Evaluation:
    hypotheses, references = [row[2] for row in rows], [[row[1] for row in rows]]
    bleu, chrf = bleu_for(references[0]), sacrebleu.CHRF()
    loss = total / max(tokens, 1)
    metrics = {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700)),
        "bleu": bleu.corpus_score(hypotheses, references).score,
        "chrf": chrf.corpus_score(hypotheses, references).score,
    }
    lowered = bleu_for(references[0], lowercase=True)
    signatures = {"bleu": bleu, "bleu_lc": lowered, "chrf": chrf}
    details = {
        "bleu_lc": lowered.corpus_score(hypotheses, references).score,
        "sacrebleu_signature": {name: str(of.get_signature()) for name, of in signatures.items()},
        "sentences": len(rows),
        "beam_width": beams.width,
        "sentences_per_second": round(len(rows) / max(seconds, 1e-9), 1),
    }
    lines = [f"{len(rows)} sentences, beam of {beams.width}, {details['sentences_per_second']} sentences/s"]
    shown = metrics | {"bleu_lc": details["bleu_lc"]}
    lines += [f"{name:10}{value:9.4f}" for name, value in shown.items()]
    lines += [f"signature {details['sacrebleu_signature']['bleu']}", ""]
    for source, reference, hypothesis, _ in rows[:_SHOWN]:
        lines += [f"  {source}", f"  -> {hypothesis}", f"  =  {reference}", ""]
    warning = warning_of_same(hypotheses, references[0], "translation")
    return Evaluation(metrics, details, "\n".join(lines[:-1]), warning)
