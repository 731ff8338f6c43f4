"""Translation from the command line: training, resuming, evaluation, and unusable data."""

import dataclasses
import gzip
import json
import math
import random
import shutil
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import sacrebleu
import tensorflow as tf
import tensorflow_datasets as tfds
from tiny_training import (
    Kill,
    KilledError,
    assert_same_ends,
    best_model,
    checkpoints,
    metrics_lines,
    sentence_pair,
    tiny_translation_options,
    write_pairs,
)

from unroll.models.text import END, PADDING, START, UNKNOWN
from unroll.tasks import cli
from unroll.tasks.applications import read_config
from unroll.tasks.datasets import public
from unroll.tasks.datasets.embedded.translations import UnrollTranslation
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.state import TrainingState
from unroll.tasks.training.trainer import Trainer
from unroll.tasks.translation.config import TranslationConfig
from unroll.tasks.translation.data import Pair, TranslationData, read_pairs
from unroll.tasks.translation.task import TASK, TargetTokens


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The directory of a training, a validation and a test part."""
    directory = tmp_path_factory.mktemp("data")
    tiny_translation_options(directory)
    write_pairs(directory / "test", rows=9, seed=3)
    return directory


@pytest.fixture(scope="module")
def evaluated(translation_run, tmp_path_factory):
    """A copy of a run, to evaluate in."""
    return Path(shutil.copytree(translation_run, tmp_path_factory.mktemp("evaluated") / "run"))


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    """Data that is prepared."""
    return begin(tmp_path_factory.mktemp("prepared"), data)


def options_of(data: Path, **changes) -> dict:
    found = tiny_translation_options(data)
    if changes.get("dataset", "files") != "files":
        del found["train_data"], found["validation_data"]
    return found | changes


def begin(path: Path, data: Path, **changes) -> TranslationData:
    config = TranslationConfig(**options_of(data, **changes))
    run = RunDirectory(path / "run")
    run.create("translation", config)
    prepared = TranslationData(config, run)
    prepared.prepare()
    return prepared


def build_model(prepared: TranslationData) -> keras.Model:
    return TASK.build_model(prepared.config, prepared.sizes)


def train(workdir: Path, data: Path, *flags: str, **changes) -> int:
    """The command, with small layers."""
    given = [f"--{name}={value}" for name, value in options_of(data, **changes).items()]
    return cli.main(["train", "translation", f"--workdir={workdir}", *given, *flags])


def evaluate(workdir: Path, *flags: str) -> dict:
    output = workdir / "measured.json"
    assert cli.main(["evaluate", f"--workdir={workdir}", f"--output={output}", *flags]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def epochs(run: Path) -> list[dict]:
    return [line for line in metrics_lines(run) if "train_loss" in line]


def table(run: Path, split: str) -> list[list[str]]:
    """The rows of the file of translations, without the header."""
    text = (run / f"translations-{split}.tsv").read_text(encoding="utf-8")
    header, *rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    assert header == ["source", "reference", "hypothesis", "score"]
    assert all(len(row) == 4 for row in rows)
    return rows


def lines_of(part: Path) -> list[tuple[str, str]]:
    """The pairs that `write_pairs` wrote."""
    english = part.with_name(f"{part.name}.en").read_text(encoding="utf-8").splitlines()
    german = gzip.decompress(part.with_name(f"{part.name}.de.gz").read_bytes()).decode().splitlines()
    return list(zip(english, german, strict=True))


# Training.


def test_training_learns_to_translate(translation_run):
    lines = epochs(translation_run)
    vocabulary = len(best_model(translation_run)[0].target_codec)
    first = metrics_lines(translation_run)[0]["loss"]
    assert first == pytest.approx(math.log(vocabulary), abs=1)
    assert lines[-1]["train_loss"] < 0.3
    assert max(line["validation_bleu"] for line in lines) > 60
    assert {f"validation_{name}" for name in ("loss", "perplexity", "bleu", "chrf")} <= lines[0].keys()


def test_best_weights_are_those_of_the_highest_bleu(translation_run, evaluated):
    lines = epochs(translation_run)
    values = [line["validation_bleu"] for line in lines]
    best = json.loads((translation_run / "best" / "metrics.json").read_text(encoding="utf-8"))
    assert (best["bleu"], best["epoch"]) == (max(values), 1 + values.index(max(values)))
    # Not in every epoch it was the best so far.
    assert len(set(values)) > 3
    measured = evaluate(evaluated, "--split=validation", "--beam_width=1")
    for name in ("loss", "perplexity", "bleu", "chrf"):
        assert measured[name] == pytest.approx(best[name], rel=1e-4)


def test_the_step_is_traced_once(translation_run):
    lines = map(json.loads, (translation_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert {line["compilations"] for line in lines if "compilations" in line} == {1}


def test_evaluation_is_not_traced_again_each_epoch(prepared, monkeypatch):
    model = build_model(prepared)
    # Python calls these methods only while a graph is traced.
    traced = {name: Mock(wraps=getattr(model, name)) for name in ("call", "translate")}
    for name, mock in traced.items():
        monkeypatch.setattr(model, name, mock)
    first = TASK.evaluate(model, prepared, "validation").metrics
    counts = [mock.call_count for mock in traced.values()]
    # Once for the first shape, and once for all others.
    assert all(1 <= count <= 2 for count in counts)
    assert TASK.evaluate(model, prepared, "validation").metrics == first
    assert [mock.call_count for mock in traced.values()] == counts


def test_training_stopped_in_the_middle_of_an_epoch_ends_with_the_same_bits(data, tmp_path):
    changes = {
        "cell": "simple_rnn",
        "dropout": 0.3,
        "recurrent_dropout": 0.2,
        "word_dropout": 0.1,
        "label_smoothing": 0.1,
        "r_drop": 2.0,
        "average_decay": 0.9,
        "global_clipnorm": 0.5,
        "monitor": "bleu",
        "checkpoint_every": 2,
        "bidirectional": False,
        "attention": "dot",
    }
    assert train(tmp_path / "whole", data, **changes) == 0
    steps = metrics_lines(tmp_path / "whole")[-1]["step"] // 2
    assert steps > 4

    config = TranslationConfig(**options_of(data, **changes))
    stopped = RunDirectory(tmp_path / "stopped")
    stopped.create("translation", config)
    with pytest.raises(KilledError):
        Trainer(TASK, TranslationData(config, stopped), callbacks=[Kill(steps + 3)]).train()
    progress = json.loads((checkpoints(stopped.path)[-1] / "progress.json").read_text(encoding="utf-8"))
    assert steps < progress["step"] < 2 * steps
    assert progress["examples"] > 0
    assert train(stopped.path, data, **changes) == 0

    assert_same_ends(tmp_path / "whole", stopped.path)


@pytest.mark.parametrize(
    "flags",
    [
        [
            *("--tokenizer=subwords", "--joint_vocabulary", "--tie_embeddings", "--precision=mixed_bfloat16"),
            *("--input_feeding", "--attention=additive", "--bridge=dense", "--truncate_gradient=3"),
        ],
        ["--tokenizer=characters", "--cell=simple_rnn", "--attention=none", "--max_length=60"],
    ],
    ids=["subwords", "characters"],
)
def test_models_of_all_kinds_learn(data, tmp_path, flags):
    assert train(tmp_path / "run", data, "--label_smoothing=0.1", *flags) == 0
    lines = epochs(tmp_path / "run")
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] - 0.1
    prepared, model = best_model(tmp_path / "run")
    loss = TASK.evaluate(model, prepared, "validation").metrics["loss"]
    assert loss == pytest.approx(min(line["validation_loss"] for line in lines), rel=0.03)
    assert loss < math.log(len(prepared.target_codec))
    assert len(table(tmp_path / "run", "validation")) == 12


def test_a_compiled_step_trains_as_the_plain_one_does(prepared):
    options = {
        "input_feeding": True,
        "attention": "additive",
        "bidirectional": False,
        "optimizer": "sgd",
        # Both steps drop nothing, since they would draw different masks.
        "r_drop": 2.0,
        "dropout": 1e-6,
    }
    changed = TranslationData(dataclasses.replace(prepared.config, **options), prepared.run)
    told = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        state = TrainingState(TASK, changed, tf.distribute.get_strategy(), jit_compile, epoch=0)
        batch = next(state.iterator)
        results = [state.step(batch, learning_rate=0.5, step=number) for number in range(2)]
        told.append([float(value) for value in tf.nest.flatten(results)])
    np.testing.assert_allclose(told[0], told[1], rtol=1e-4)


# Text.


def test_vocabularies_are_learnt_from_the_training_part(prepared, data):
    pairs = lines_of(data / "train")
    for side, encoder in enumerate((prepared.source_codec, prepared.target_codec)):
        words = {word.strip('.,!"„“').lower() for pair in pairs for word in pair[side].split()}
        pieces = {piece.removeprefix("▁").lower() for piece in encoder.vocabulary}
        assert words - {""} <= pieces
        assert UNKNOWN not in encoder.encode(tf.constant([pair[side] for pair in pairs])).flat_values.numpy()


@pytest.mark.parametrize("tokenizer", ["words", "subwords", "characters"])
def test_a_joint_vocabulary_is_one_for_both_languages(data, tmp_path, tokenizer):
    joint = begin(
        tmp_path, data, joint_vocabulary=True, tie_embeddings=True, tokenizer=tokenizer, max_length=99
    )
    assert joint.source_codec.vocabulary == joint.target_codec.vocabulary
    assert len(joint.source_codec) <= joint.config.vocabulary_size
    model = build_model(joint)
    assert model.source_embedding is model.target_embedding
    for side in (0, 1):
        texts = tf.constant([pair[side] for pair in lines_of(data / "test")])
        ids = joint.source_codec.encode(texts)
        assert joint.target_codec.decode(ids.to_tensor(PADDING)).numpy().tolist() == texts.numpy().tolist()


def test_sizes_of_the_vocabularies_are_told(data, tmp_path, capsys):
    prepared = begin(tmp_path / "all", data)
    printed = capsys.readouterr().out.splitlines()
    for line, language, encoder in zip(
        printed, ("en", "de"), (prepared.source_codec, prepared.target_codec), strict=True
    ):
        assert line.startswith(
            f"Vocabulary of {language}: {len(encoder)} tokens; the data has no more of the 8000"
        )
    begin(tmp_path / "few", data, vocabulary_size=10)
    assert capsys.readouterr().out.splitlines() == [
        f"Vocabulary of {language}: 10 tokens." for language in ("en", "de")
    ]


def test_examples_are_pairs_of_ids(prepared, data):
    found = []
    for batch in prepared.batches(0, fixed_shapes=False):
        assert batch["source"].shape[0] * max(batch["source"].shape[1], batch["target"].shape[1]) <= 2 * 128
        for source, target in zip(batch["source"].numpy(), batch["target"].numpy(), strict=True):
            source, target = source[source != PADDING], target[target != PADDING]
            assert (target[0], target[-1]) == (START, END)
            texts = prepared.source_codec.decode(source[None]), prepared.target_codec.decode(target[None])
            found.append(tuple(text[0].numpy().decode() for text in texts))
    assert sorted(found) == sorted(lines_of(data / "train"))
    assert prepared.train_examples == len(found) == 60


def test_logits_are_computed_for_real_tokens_alone(prepared, monkeypatch):
    model = build_model(prepared)
    logits, rows = model.logits, []
    monkeypatch.setattr(model, "logits", lambda outputs: rows.append(len(outputs)) or logits(outputs))
    padding = 0
    for batch in prepared.batches(0, fixed_shapes=False):
        loss, _ = TargetTokens(0.0).loss(model, batch, training=True)
        predicted = batch["target"].numpy()[:, 1:]
        padding += (predicted == PADDING).sum()
        assert rows.pop() == float(loss.weight) == float(loss.tokens) == (predicted != PADDING).sum()
    assert padding


def test_two_passes_without_dropout_have_the_loss_of_one(prepared):
    model = build_model(prepared)
    batch = next(iter(prepared.batches(0, fixed_shapes=False)))
    one, two = (TargetTokens(0.1, r_drop).loss(model, batch, training=True)[0] for r_drop in (0.0, 3.0))
    np.testing.assert_allclose(two, one, rtol=1e-5)


def test_long_pairs_are_left_out_of_training_and_cut_elsewhere(data, tmp_path, capsys):
    prepared = begin(tmp_path, data, max_length=9)
    lengths = [
        max(
            int(e.encode(tf.constant([text]), max_length=1000).row_lengths()[0])
            for e, text in zip((prepared.source_codec, prepared.target_codec), pair, strict=True)
        )
        for pair in lines_of(data / "train")
    ]
    short = sum(length <= 9 for length in lengths)
    assert 0 < short < 60
    assert prepared.train_examples == short
    assert (
        f"{60 - short} pairs are empty or longer than --max_length=9 tokens and left out"
        in capsys.readouterr().out
    )
    assert sum(len(batch["source"]) for batch in prepared.batches(0, fixed_shapes=False)) == short
    measured = TASK.evaluate(build_model(prepared), prepared, "validation")
    assert measured.details["sentences"] == 12


def test_plain_and_zipped_files_are_read_side_by_side(data, tmp_path):
    pairs = lines_of(data / "train")
    assert [tuple(pair) for pair in read_pairs(str(data / "train"), "en", "de")] == pairs
    assert [tuple(pair) for pair in read_pairs(str(data / "train"), "de", "en")] == [p[::-1] for p in pairs]
    # A byte order mark, Windows' line ends, no line end at the end of the file, UTF-16, and a decomposed accent.
    (tmp_path / "odd.en").write_bytes("\ufeffA man.\r\nA cafe\u0301\x0b.\r\n".encode())
    (tmp_path / "odd.de").write_bytes("Ein Mann.\nEin Café.".encode("utf-16"))
    found = list(read_pairs(str(tmp_path / "odd"), "en", "de"))
    assert found == [Pair("A man.", "Ein Mann."), Pair("A café\x0b.", "Ein Café.")]
    assert found[1].in_bytes == ("A café\x0b.".encode(), "Ein Café.".encode())


@pytest.mark.parametrize("given", ["train", "train.en", "train.de.gz"])
def test_the_name_of_one_of_two_files_stands_for_both(data, given):
    pairs = [tuple(pair) for pair in read_pairs(str(data / given), "en", "de")]
    assert pairs == lines_of(data / "train")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", 'A "dog".\tEin „Hund“.\n\nA cat,\tEine Katze,\n'),
        ("a.txt", 'A "dog".\tEin „Hund“.\tCC-BY 2.0\nA cat,\tEine Katze,\tCC-BY 2.0\n'),
        ("a.tsv", '"A ""dog""."\tEin „Hund“.\nA cat,\tEine Katze,\n'),
        ("a.tsv", 'de\ten\nEin „Hund“.\tA "dog".\nEine Katze,\tA cat,\n'),
        ("a.csv", 'id,en,de\n1,"A ""dog"".",Ein „Hund“.\n2,"A cat,","Eine Katze,"\n'),
        ("a.jsonl", '{"en": "A \\"dog\\".", "de": "Ein „Hund“."}\n{"de": "Eine Katze,", "en": "A cat,"}\n'),
    ],
)
def test_pairs_in_one_file(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    pairs = list(read_pairs(str(tmp_path / name), "en", "de"))
    assert pairs == [Pair('A "dog".', "Ein „Hund“."), Pair("A cat,", "Eine Katze,")]


# Data sets by name.


@pytest.fixture
def no_builders():
    """Builders of other tests are forgotten, and these afterwards."""
    public.builder.cache_clear()
    yield
    public.builder.cache_clear()


@pytest.mark.usefixtures("no_builders")
def test_a_public_set_is_trained_on_by_its_name(tmp_path, capsys):
    chance = random.Random(5)
    portuguese, english = zip(*(sentence_pair(chance) for _ in range(24)), strict=True)

    def rows(self, **_):
        return tf.data.Dataset.from_tensor_slices({"pt": list(portuguese), "en": list(english)})

    flags = ["--source_language=pt", "--target_language=en", "--epochs=1"]
    with tfds.testing.mock_data(as_dataset_fn=rows):
        name = "ted_hrlr_translate/pt_to_en"
        assert train(tmp_path / "run", tmp_path, *flags, dataset=name) == 0
        metrics = evaluate(tmp_path / "run", "--beam_width=2")
        assert metrics["sentences"] == 24
        assert [row[:2] for row in table(tmp_path / "run", "test")] == list(
            map(list, zip(portuguese, english, strict=True))
        )
        # The default languages are not among those of this set.
        capsys.readouterr()
        assert_refused(
            capsys,
            train(tmp_path / "other", tmp_path, dataset=name),
            "no feature 'de'; it has",
            "--source_language and --target_language",
        )


@pytest.mark.usefixtures("no_builders")
def test_the_embedded_set_is_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "made"))
    monkeypatch.setattr(UnrollTranslation, "SPLIT_SIZES", {"train": 40, "validation": 5, "test": 5})
    prepared = TranslationData(TranslationConfig(units=4), RunDirectory(tmp_path / "run"))
    prepared.prepare()
    assert prepared.train_examples == 40
    assert {split: len(list(prepared.splits.read(split))) for split in ("validation", "test")} == {
        "validation": 5,
        "test": 5,
    }
    code = cli.main(["train", "translation", f"--workdir={tmp_path / 'other'}", "--target_language=fr"])
    assert_refused(capsys, code, "no feature 'fr'; it has", "--target_language")


def test_parts_are_cut_where_they_are_missing(data, tmp_path):
    options = options_of(data, validation_fraction=0.2, test_fraction=0.2)
    del options["validation_data"]
    run = RunDirectory(tmp_path / "run")
    prepared = TranslationData(TranslationConfig(**options), run)
    prepared.prepare()
    parts = {split: list(prepared.splits.read(split)) for split in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 60
    assert not set(parts["train"]) & set(parts["validation"] + parts["test"])
    assert prepared.train_examples == len(parts["train"]) < 60


# Evaluation.


def test_evaluation_measures_and_writes_every_translation(evaluated, capsys):
    metrics = evaluate(evaluated)
    printed = capsys.readouterr().out
    assert list(metrics)[:5] == ["loss", "perplexity", "bleu", "chrf", "split"]
    assert (metrics["split"], metrics["sentences"], metrics["beam_width"]) == ("test", 15, 3)
    assert metrics["sentences_per_second"] > 0
    rows = table(evaluated, "test")
    prepared, model = best_model(evaluated)
    pairs = list(prepared.splits.read("test"))
    assert [tuple(row[:2]) for row in rows] == pairs
    hypotheses, references = [row[2] for row in rows], [[row[1] for row in rows]]
    for name, metric in (
        ("bleu", sacrebleu.BLEU()),
        ("bleu_lc", sacrebleu.BLEU(lowercase=True)),
        ("chrf", sacrebleu.CHRF()),
    ):
        assert metrics[name] == pytest.approx(metric.corpus_score(hypotheses, references).score)
        assert metrics["sacrebleu_signature"][name] == str(metric.get_signature())
    assert "case:mixed" in metrics["sacrebleu_signature"]["bleu"]
    assert metrics["bleu"] > 50
    # Text with its spaces and punctuation, not tokens.
    assert any(row[1] == row[2] and "," in row[2] and " ," not in row[2] for row in rows)
    assert all("▁" not in row[2] for row in rows)

    total, tokens = 0.0, 0
    for pair, row in zip(pairs, rows, strict=True):
        found, _ = TargetTokens(0.0).loss(model, example(prepared, *pair), training=False)
        total, tokens = total + float(found.total), tokens + int(found.weight)
        # The score is that of the written translation, with the length penalty.
        written, _ = TargetTokens(0.0).loss(model, example(prepared, pair.source, row[2]), training=False)
        assert float(row[3]) == pytest.approx(
            -float(written.total) / ((5 + int(written.weight)) / 6), abs=1e-3
        )
    assert metrics["loss"] == pytest.approx(total / tokens, rel=1e-4)
    assert metrics["perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-4)
    for name in ("loss", "perplexity", "bleu", "chrf"):
        assert f"{name:10}{metrics[name]:9.4f}" in printed
    assert metrics["sacrebleu_signature"]["bleu"] in printed
    assert rows[0][2] in printed


def example(prepared: TranslationData, source: str, target: str) -> dict[str, tf.Tensor]:
    """A batch of one pair."""
    source, target = (
        encoder.encode(tf.constant([text])).to_tensor(PADDING)
        for encoder, text in ((prepared.source_codec, source), (prepared.target_codec, target))
    )
    edge = tf.ones([1, 1], tf.int32)
    return {"source": source, "target": tf.concat([START * edge, target, END * edge], axis=1)}


def test_evaluation_takes_the_flags_of_the_search(evaluated):
    limits = ["--min_decode_length=14", "--max_decode_length=15", "--block_ngrams=1", "--length_penalty=0"]
    metrics = evaluate(evaluated, *limits, "--beam_width=2", "--split=validation")
    assert (metrics["split"], metrics["beam_width"], metrics["sentences"]) == ("validation", 2, 12)
    prepared, _ = best_model(evaluated)
    for row in table(evaluated, "validation"):
        (pieces,) = prepared.target_codec.encode(tf.constant([row[2]])).to_list()
        assert 14 <= len(pieces) <= 15
        assert len(set(pieces)) == len(pieces)


def test_evaluation_of_other_files_whatever_is_in_them(evaluated, tmp_path, capsys):
    # Unknown words, marks of tables and of quotation, what is no character, and something very long.
    sources = [b'A "caf\xef\xbf\xbd" \\ of\ttabs.', b"The dog sleeps.", b"word " * 10_000]
    (tmp_path / "odd.en").write_bytes(b"\n".join(sources))
    (tmp_path / "odd.de").write_bytes('Ein "Café" \\ mit\tTab.\nDas Hund schläft.\nWort\n'.encode())
    metrics = evaluate(evaluated, f"--test_data={tmp_path / 'odd'}")
    assert metrics["sentences"] == 3
    rows = table(evaluated, "test-odd")
    assert rows[0][:2] == ['A "caf\ufffd" \\ of tabs.', 'Ein "Café" \\ mit Tab.']
    assert rows[1][2] == "Das Hund schläft."
    assert 'A "caf\ufffd"' in capsys.readouterr().out


# Invalid files.


def assert_refused(capsys, code: int, *said: str) -> None:
    """Exit code 2, and one line of error with these words."""
    assert code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unroll:")]
    for part in said:
        assert part in line


PAIRS = "A dog.\nA cat.\nA man.\nA house.\n"
MISTAKES = {
    "more_sources": ({"en": PAIRS + "One more.\n"}, [], "train.de has 4 lines, but", "train.en has more"),
    "more_targets": ({"de": PAIRS * 2}, [], "train.en has 4 lines, but", "train.de has more"),
    "empty_source": ({"en": "A dog.\n\nA man.\nA house.\n"}, [], "train.en, line 2 is empty"),
    "empty_target": ({"de": "A dog.\nA cat.\n \t\nA house.\n"}, [], "train.de, line 3 is empty"),
    "empty_files": ({"en": "", "de": ""}, [], "train.en and", "train.de are empty"),
    "no_source": ({"en": None}, [], "There is neither", "train.en nor", "train.en.gz"),
    "no_target": ({"de": None}, [], "There is neither", "train.de nor", "train.de.gz"),
    "language": ({}, ["--target_language=fr"], "train.fr.gz", "--source_language and --target_language"),
    "one_of_two": (
        {"de": None},
        ["--train_data={}/train.en"],
        "train.en, line 1 has 1 field",
        "a tab and its",
    ),
    "tabs": (
        {"tsv": "A dog.\n"},
        ["--train_data={}/train.tsv"],
        "train.tsv, line 1 has 1 field, such as 'A dog.'",
    ),
    "tab_blank": (
        {"tsv": "A\tB\n \tC\n"},
        ["--train_data={}/train.tsv"],
        "train.tsv, line 2 lacks a sentence",
    ),
    "tab_numbers": (
        {"tsv": "1\tA\tB\n"},
        ["--train_data={}/train.tsv"],
        "line 1 has 3 fields, such as '1'",
    ),
    "tab_empty": ({"tsv": "\n"}, ["--train_data={}/train.tsv"], "train.tsv is empty"),
    "table_blank": (
        {"csv": "de,en\nB,A\nC,\n"},
        ["--train_data={}/train.csv"],
        "line 3 has nothing",
        "'en'",
    ),
    "no_validation": ({}, ["--validation_data={}/none"], "none.en"),
    "damaged": ({"de": None, "de.gz": "plain"}, [], "train.de.gz cannot be read", "a sentence on each line"),
    "unknown": ({}, ["--min_count=99"], "No token of 'en' occurs 99 times", "--min_count"),
    "too_long": ({}, ["--max_length=1"], "All", "longer than --max_length=1"),
    "monitor": ({}, ["--monitor=accuracy"], "choose one of loss, perplexity, bleu, chrf"),
    "data_set": ({}, ["--dataset=nosuch", "--train_data="], "no data set 'nosuch'", "unroll_translation"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_data_that_cannot_be_used(tmp_path, capsys, mistake):
    files, flags, *said = MISTAKES[mistake]
    for ending, content in ({"en": PAIRS, "de": PAIRS} | files).items():
        if content is not None:
            (tmp_path / f"train.{ending}").write_text(content, encoding="utf-8")
    given = [
        f"--train_data={tmp_path / 'train'}",
        "--dataset=files",
        "--units=4",
        *(flag.format(tmp_path) for flag in flags),
    ]
    if mistake != "no_validation":
        given.append("--validation_fraction=0.4")
    code = cli.main(["train", "translation", f"--workdir={tmp_path / 'run'}", *given])
    assert_refused(capsys, code, *said)
    assert not (tmp_path / "run" / "data").exists()


def test_a_beam_wider_than_the_vocabulary_that_was_learnt(translation_run, tmp_path, capsys):
    tokens = len(best_model(translation_run)[0].target_codec)
    for command in (["evaluate"], ["export", f"--output={tmp_path / 'model'}"]):
        code = cli.main([*command, f"--workdir={translation_run}", f"--beam_width={tokens + 1}"])
        assert_refused(
            capsys, code, f"--beam_width={tokens + 1}", f"the vocabulary, which has {tokens} tokens"
        )


@pytest.mark.parametrize(
    "flag", ["--beam_width=0", "--beam_width=9000", "--min_decode_length=201", "--units=8"]
)
def test_flags_that_an_evaluation_does_not_take(translation_run, capsys, flag):
    code = cli.main(["evaluate", f"--workdir={translation_run}", flag])
    assert_refused(capsys, code, flag.strip("-").split("=")[0])


def test_a_part_that_is_missing(translation_run, tmp_path, capsys):
    run = Path(shutil.copytree(translation_run, tmp_path / "run"))
    application, config = read_config(RunDirectory(run))
    RunDirectory(run).save_config(application, config.changed({"test_data": None}))
    assert_refused(capsys, cli.main(["evaluate", f"--workdir={run}"]), "no test part", "--test_data")
