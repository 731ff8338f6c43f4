"""Language modelling: lanes with carried states, whole documents, evaluation, and unusable data."""

import gzip
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import (
    best_model,
    best_weights,
    checkpoint_tensors,
    checkpoints,
    metrics_lines,
    text_of,
    tiny_text_options,
    write_texts,
)

from unroll.models.text import BOUNDARY
from unroll.tasks import cli
from unroll.tasks.applications import read_config
from unroll.tasks.data import Counts
from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.language_modeling.data import LanguageModelingData
from unroll.tasks.language_modeling.task import TASK
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.training.state import TrainingState
from unroll.tasks.training.trainer import Trainer

# Some shorter than a window of 8 steps, one exactly as long, and one that lies in two lanes.
LENGTHS = [50, 3, 8, 60, 1, 33]


def begin(path: Path, lengths: Sequence[int] = LENGTHS, **changes) -> LanguageModelingData:
    """A prepared training on some texts."""
    config = LanguageModelingConfig(**tiny_text_options(write_texts(path / "texts", lengths)) | changes)
    run = RunDirectory(path / "run")
    run.create("language_modeling", config)
    data = LanguageModelingData(config, run)
    data.prepare()
    return data


@pytest.mark.parametrize("truncation", [8, 0])
def test_the_training_part_is_read_from_the_prepared_data(tmp_path, truncation):
    data = begin(tmp_path, truncation=truncation)
    encode = data.codec.encode_symbols
    read = [np.concatenate([*map(encode, document.pieces())]) for document in data.examples("train")]
    shutil.rmtree(tmp_path / "texts")
    found = [np.concatenate([*pieces]) for pieces in data.encoded("train")]
    assert len(found) == len(read) > 1
    assert sorted(map(list, found)) == sorted(map(list, read))


def start(data: LanguageModelingData) -> TrainingState:
    keras.utils.set_random_seed(0)
    return TrainingState(TASK, data, tf.distribute.get_strategy(), jit_compile=False, epoch=0)


def build_model(data: LanguageModelingData) -> keras.Model:
    return TASK.build_model(data.config, data.sizes)


def read(path: Path) -> list[str]:
    """The texts that `begin` wrote."""
    return [file.read_text(encoding="utf-8") for file in sorted((path / "texts").iterdir())]


def ids_of(data: LanguageModelingData, text: str) -> np.ndarray:
    """With a boundary at both ends."""
    symbols = [ord(character) for character in text]
    if data.config.tokenizer == "bytes":
        symbols = list(text.encode())
    return np.array([BOUNDARY, *data.codec.encode_symbols(np.array(symbols, np.int32)), BOUNDARY], np.int32)


def losses_of(model: keras.Model, ids: np.ndarray, states=None) -> tuple[np.ndarray, tuple]:
    """The loss of each id after the first, in nats, [rows, ids - 1], by one call of the model; and the states."""
    logits, states = model(tf.constant(ids[:, :-1]), states=states)
    logits = logits.numpy().astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_probabilities, ids[:, 1:, None], axis=-1)[..., 0], states


def made_batch(data: LanguageModelingData, rng: np.random.Generator, reset: Sequence[bool]) -> dict:
    rows = len(reset)
    ids = rng.integers(0, len(data.codec), (rows, data.config.truncation + 1))
    return {
        "ids": tf.constant(ids, tf.int32),
        "length": tf.fill([rows], data.config.truncation),
        "reset": tf.constant(reset),
    }


def train(path: Path, train_data: str | Path, *flags: str) -> int:
    """The command, with small layers."""
    options = tiny_text_options(str(train_data))
    # Flags that have no effect are refused.
    without_effect = {
        "--validation_data": "validation_fraction",
        "--test_data": "test_fraction",
        "--truncation=0": "batch",
    }
    for flag, option in without_effect.items():
        if any(given.startswith(flag) for given in flags):
            del options[option]
    return cli.main(
        [
            *["train", "language_modeling", f"--workdir={path / 'run'}"],
            *[f"--{name}={value}" for name, value in options.items()],
            *flags,
        ]
    )


def evaluate(path: Path, *flags: str) -> dict:
    output = path / "metrics.json"
    assert cli.main(["evaluate", f"--workdir={path / 'run'}", f"--output={output}", *flags]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def assert_refused(capsys, code: int, *said: str) -> None:
    """Exit code 2, and one line of error with these words."""
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unroll: ")
    for part in said:
        assert part in line


@pytest.fixture(scope="module")
def lanes(tmp_path_factory):
    """A training in three lanes."""
    return begin(tmp_path_factory.mktemp("lanes"))


# The carried state.


def test_windows_of_a_lane_have_the_losses_of_whole_documents(tmp_path):
    data = begin(tmp_path, batch=1)
    state = start(data)
    results = [state.step(batch, learning_rate=0.0, step=n) for n, batch in enumerate(state.iterator)]
    documents = [losses_of(state.model, ids_of(data, text)[None])[0] for text in read(tmp_path)]
    assert len(results) == sum(length // 8 + 1 for length in LENGTHS)
    assert sum(float(r.loss.weight) for r in results) == sum(LENGTHS) + len(LENGTHS)
    total = sum(float(r.loss.total) for r in results)
    assert total == pytest.approx(sum(document.sum() for document in documents), rel=1e-5)
    # The first document, window by window.
    windows = np.split(documents[0][0], range(8, 51, 8))
    for result, window in zip(results[: len(windows)], windows, strict=True):
        assert float(result.loss.total) == pytest.approx(window.sum(), rel=1e-5)


def test_rows_go_on_from_their_states_and_are_reset_where_they_are_to_be(lanes):
    state = start(lanes)
    states = state.model.recurrent.get_initial_state(3)
    resets, differences = 0, []
    for number, batch in enumerate(lanes.batches(0, fixed_shapes=False)):
        result = state.step(batch, learning_rate=0.0, step=number)
        reset = batch["reset"].numpy()
        resets += int(reset.sum())
        states = tf.nest.map_structure(
            lambda s, reset=reset: tf.constant(s.numpy() * ~reset[:, None]), states
        )
        ids, real = batch["ids"].numpy(), np.arange(8) < batch["length"].numpy()[:, None]
        losses, after = losses_of(state.model, ids, states)
        forgetful, _ = losses_of(state.model, ids)
        expected = (losses * real).sum()
        assert float(result.loss.total) == pytest.approx(expected, rel=1e-5)
        assert float(result.loss.weight) == float(result.loss.tokens) == real.sum()
        differences.append(abs((forgetful * real).sum() - expected))
        states = after
        for ours, theirs in zip(state.tensors.carry, tf.nest.flatten(after), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    # One for each document, and one for the third lane, which begins within a document.
    assert resets == len(LENGTHS) + 1
    assert differences[0] < 1e-4 < 1e-2 < max(differences)


def test_loss_depends_on_the_batch_before_unless_rows_are_reset(lanes, rng):
    state = start(lanes)

    def second_loss(first, second):
        state.step(first, learning_rate=0.0, step=0)
        return float(state.step(second, learning_rate=0.0, step=1).loss.total)

    one, other = (made_batch(lanes, rng, [True] * 3) for _ in "ab")
    goes_on = made_batch(lanes, rng, [False] * 3)
    assert abs(second_loss(one, goes_on) - second_loss(other, goes_on)) > 1e-3
    begins = goes_on | {"reset": tf.fill([3], True)}
    assert second_loss(one, begins) == second_loss(other, begins)


def test_gradient_does_not_reach_into_the_window_before(lanes, rng):
    state = start(lanes)
    model = state.model
    # Large weights, so that much of the gradient comes from far.
    for weight in model.trainable_variables:
        weight.assign(rng.normal(0, 0.7, weight.shape))
    first, second = made_batch(lanes, rng, [True] * 3), made_batch(lanes, rng, [False] * 3)

    def norm(carried) -> float:
        """Of the gradient of the second window's loss."""
        with tf.GradientTape() as tape:
            _, states = model(first["ids"][:, :-1])
            logits, _ = model(second["ids"][:, :-1], states=tf.nest.map_structure(carried, states))
            losses = keras.losses.sparse_categorical_crossentropy(
                second["ids"][:, 1:], logits, from_logits=True
            )
            loss = tf.reduce_mean(losses)
        variables = [v.value for v in model.trainable_variables]
        return float(tf.linalg.global_norm(tape.gradient(loss, variables)))

    state.step(first, learning_rate=0.0, step=0)
    found = float(state.step(second, learning_rate=0.0, step=1).gradient_norm)
    assert found == pytest.approx(norm(tf.stop_gradient), rel=1e-4)
    assert abs(norm(tf.identity) - found) > 0.01 * found


def test_window_of_a_whole_document_trains_as_the_whole_document_does(tmp_path):
    results = {}
    # 0: whole documents. The boundary takes a step as well.
    for truncation in (0, 40, 64):
        data = begin(tmp_path / str(truncation), [39], truncation=truncation)
        state = start(data)
        (batch,) = state.iterator
        results[truncation] = [float(value) for value in tf.nest.flatten(state.step(batch, 0.01, 0))]
    total, weight, *_ = results[0]
    assert (weight, total / weight) == (40, pytest.approx(math.log(len(data.codec)), rel=0.1))
    assert results[40] == pytest.approx(results[0], rel=1e-5)
    assert results[64] == pytest.approx(results[0], rel=1e-5)


def test_whole_documents_are_trained_on_with_full_backpropagation(tmp_path):
    data = begin(tmp_path, truncation=0, batch_tokens=64)
    state = start(data)
    assert data.train_examples == len(LENGTHS)
    assert not state.tensors.carry
    totals, weights = [], []
    for number, batch in enumerate(state.iterator):
        result = state.step(batch, learning_rate=0.0, step=number)
        totals.append(float(result.loss.total))
        weights.append(float(result.loss.weight))
    assert len(totals) > 2
    documents = [losses_of(state.model, ids_of(data, text)[None])[0] for text in read(tmp_path)]
    assert sum(weights) == sum(document.size for document in documents)
    assert sum(totals) == pytest.approx(sum(document.sum() for document in documents), rel=1e-5)


def test_what_is_made_of_short_texts_is_one_padded_window(tmp_path, capsys):
    (tmp_path / "short.txt").write_text("abc")
    assert train(tmp_path, tmp_path / "short.txt", "--truncation=500", "--batch=7", "--epochs=2") == 0
    run = RunDirectory(tmp_path / "run")
    data = LanguageModelingData(read_config(run)[1], run)
    (batch,) = data.batches(0, fixed_shapes=False)
    assert batch["ids"].shape == (1, 501)
    assert (batch["length"].numpy().tolist(), batch["reset"].numpy().tolist()) == ([4], [True])
    assert batch["ids"].numpy()[0, :5].tolist() == ids_of(data, "abc").tolist()
    assert sum("train_loss" in line for line in metrics_lines(run.path)) == 2


# Checkpoints.


def test_training_stopped_in_the_middle_of_an_epoch_ends_with_the_same_bits(tmp_path):
    changes = {
        "layers": 2,
        "embedding_size": 4,
        "dropout": 0.3,
        "recurrent_dropout": 0.2,
        "average_decay": 0.9,
        "global_clipnorm": 0.5,
        "validation_fraction": 0.1,
        "epochs": 2,
        "checkpoint_every": 3,
    }
    whole, stopped = (begin(tmp_path / name, **changes) for name in ("whole", "stopped"))
    Trainer(TASK, whole).train()
    steps = sum(1 for _ in whole.batches(0, fixed_shapes=False))

    def stop(step, logs):
        if step == steps + 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(TASK, stopped, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)]).train()
    saved = checkpoints(stopped.run.path)[-1]
    progress = json.loads((saved / "progress.json").read_text(encoding="utf-8"))
    assert steps < progress["step"] < 2 * steps
    states = [value for name, value in checkpoint_tensors(saved).items() if name.startswith("carry/")]
    # Three lanes and two layers, with h and c each.
    assert [state.shape for state in states] == [(3, 6)] * 4
    assert all(np.any(state, axis=1).all() for state in states)
    Trainer(TASK, stopped).train()

    one, other = (checkpoint_tensors(checkpoints(data.run.path)[-1]) for data in (whole, stopped))
    assert one.keys() == other.keys()
    assert sum(name.startswith("carry/") for name in one) == 4
    for name in one:
        if not name.startswith("_CHECKPOINTABLE"):
            np.testing.assert_array_equal(one[name], other[name], strict=True, err_msg=name)
    for name, weight in best_weights(whole.run.path).items():
        np.testing.assert_array_equal(weight, best_weights(stopped.run.path)[name])
    assert metrics_lines(whole.run.path) == metrics_lines(stopped.run.path)


# Evaluation.


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A trained run's directory, and texts to test it on: more than are read at once, of many lengths."""
    path = tmp_path_factory.mktemp("evaluated")
    assert (
        train(path, write_texts(path / "texts", [400, 30, 200]), "--epochs=4", "--validation_fraction=0.2")
        == 0
    )
    # Documents are read 512 characters at a time.
    lengths = [1, 700, 3, 511, 512, 513, 1, 40, 1030, 2, *range(60, 70)]
    write_texts(path / "test", lengths, seed=1)
    return path


def test_evaluation_is_that_of_each_document_read_from_its_start(evaluated, tmp_path):
    data, model = best_model(evaluated / "run")
    texts = [file.read_text(encoding="utf-8") for file in sorted((evaluated / "test").iterdir())]
    # The end, the last that is predicted, does not count.
    losses = [losses_of(model, ids_of(data, text)[None])[0][0, :-1] for text in texts]
    expected = np.concatenate(losses).mean()
    metrics = evaluate(evaluated, f"--test_data={evaluated / 'test' / '*.txt'}", "--ngram_order=0")
    assert list(metrics)[:5] == ["loss", "bits_per_character", "perplexity", "word_perplexity", "split"]
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["bits_per_character"] == pytest.approx(expected / math.log(2), rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    assert (metrics["split"], metrics["documents"]) == ("test", len(texts))
    assert metrics["characters"] == metrics["tokens"] == sum(map(len, texts))
    assert metrics["words"] == sum(len(text.split()) for text in texts)
    assert metrics["unknown_tokens"] == 0


def test_characters_that_training_did_not_see_are_counted(evaluated, tmp_path, capsys):
    data, model = best_model(evaluated / "run")
    text = "the ßat sat on Ωa mat.ß"
    (tmp_path / "test.txt").write_text(text, encoding="utf-8")
    metrics = evaluate(evaluated, f"--test_data={tmp_path / 'test.txt'}", "--ngram_order=0")
    assert (metrics["documents"], metrics["characters"], metrics["unknown_tokens"]) == (1, 23, 3)
    expected = losses_of(model, ids_of(data, text)[None])[0][0, :-1].mean()
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert "1 document, 23 characters, 3 of them not known to the model" in capsys.readouterr().out


def test_table_of_n_grams_stands_beside_the_network(evaluated, capsys):
    flags = (f"--test_data={evaluated / 'test' / '*.txt'}",)
    by_order = {}
    for order in (6, 2, 0):
        # 6 unless told otherwise.
        metrics = evaluate(evaluated, *flags, *([] if order == 6 else [f"--ngram_order={order}"]))
        printed = capsys.readouterr().out.splitlines()
        network, *tables = metrics["models"].items()
        assert network[0] == "lstm, 1 x 6"
        assert network[1]["loss"] == metrics["loss"]
        names = [name for name, _ in tables]
        assert names[0] == "lstm, 1 x 6, windows of 256"
        assert names[1:2] == ([f"Kneser-Ney, order {order}"] if order else [])
        if order:
            mixture = tables[2][1]["loss"]
            assert names[2].startswith("lstm, 1 x 6 + ")
            assert mixture < min(metrics["loss"], tables[1][1]["loss"]) + 0.01
        for name, values in metrics["models"].items():
            (row,) = [line for line in printed if line.startswith(f"{name}  ")]
            numbers = row.removeprefix(name).replace(",", "").split()
            assert [float(number) for number in numbers] == [
                pytest.approx(values[key], abs=0.051 if key == "word_perplexity" else 0.001)
                for key in ("loss", "bits_per_character", "perplexity", "word_perplexity", "size")
            ]
        by_order[order] = dict(tables).get(f"Kneser-Ney, order {order}")
    # The text is written word by word: five characters nearly determine the next one, one does not.
    assert by_order[6]["loss"] < 0.6 < by_order[2]["loss"] < 1.5
    assert by_order[2]["size"] < by_order[6]["size"]


def test_evaluation_measures_the_part_asked_for(evaluated):
    best = json.loads((evaluated / "run" / "best" / "metrics.json").read_text(encoding="utf-8"))
    validation = evaluate(evaluated, "--split=validation", "--ngram_order=0")
    assert validation["characters"] == 126
    for name in ("loss", "bits_per_character", "perplexity"):
        assert validation[name] == pytest.approx(best[name], rel=1e-5)
    training = evaluate(evaluated, "--split=train", "--ngram_order=0")
    assert training["characters"] == 630 - 126
    assert training["loss"] != validation["loss"]


def test_missing_part_is_refused(evaluated, capsys):
    assert_refused(
        capsys, cli.main(["evaluate", f"--workdir={evaluated / 'run'}"]), "no test part", "--test_data"
    )


def test_help_of_evaluate_has_the_order_of_the_n_grams(evaluated, capsys):
    assert cli.main(["evaluate", f"--workdir={evaluated / 'run'}", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--ngram_order=int (default 6)" in printed
    assert "--test_data" in printed
    assert "--units" not in printed


@pytest.mark.parametrize("tokenizer", ["characters", "bytes"])
def test_validation_part_is_kept_with_the_run(tmp_path, tokenizer):
    data = begin(tmp_path, [90, 40], validation_fraction=0.4, tokenizer=tokenizer)
    before = TASK.evaluate(build_model(data), data, "validation")
    assert before.details["documents"] == 2
    for file in (tmp_path / "texts").iterdir():
        file.unlink()
    again = LanguageModelingData(data.config, data.run)
    trained = Trainer(TASK, again).train()
    after = TASK.evaluate(trained, again, "validation")
    assert after.details["characters"] == before.details["characters"] > 40
    assert after.metrics["loss"] < before.metrics["loss"]
    best = json.loads(data.run.best_metrics.read_text(encoding="utf-8"))
    assert after.metrics["loss"] == pytest.approx(best["loss"])


# Parts and kinds of texts.


def test_without_a_validation_part_the_last_weights_are_the_best(tmp_path):
    data = begin(tmp_path, epochs=3)
    model = Trainer(TASK, data).train()
    best = build_model(data)
    best.load_weights(data.run.best_weights)
    for ours, theirs in zip(best.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert json.loads(data.run.best_metrics.read_text(encoding="utf-8"))["epoch"] == 3
    epochs = [line for line in metrics_lines(data.run.path) if "train_loss" in line]
    assert len(epochs) == 3
    assert not any("validation" in name for line in epochs for name in line)


def test_parts_are_cut_from_the_end_of_all_texts_together(tmp_path):
    data = begin(tmp_path, [100, 60, 40], validation_fraction=0.1, test_fraction=0.15)
    model = build_model(data)
    for split, documents, characters in (("train", 2, 150), ("validation", 2, 20), ("test", 1, 30)):
        details = TASK.evaluate(model, data, split).details
        assert (details["documents"], details["characters"]) == (documents, characters)
    # Each document that lies in the part, whole or not.
    assert data.counts.examples == 100 // 8 + 1 + 50 // 8 + 1


@pytest.mark.parametrize("tokenizer", ["characters", "bytes"])
def test_text_is_read_as_characters_or_as_bytes(tmp_path, tokenizer):
    data = begin(tmp_path, tokenizer=tokenizer)
    texts = read(tmp_path)
    symbols = [text.encode() if tokenizer == "bytes" else text for text in texts]
    assert data.counts == Counts(sum(len(text) // 8 + 1 for text in symbols), longest=8)
    whole = begin(tmp_path / "whole", tokenizer=tokenizer, truncation=0)
    assert whole.counts.examples == sum(whole.counts.buckets) == len(LENGTHS)
    assert whole.counts.longest == max(map(len, symbols)) + 2
    for prepared in (data, whole):
        assert prepared.steps == sum(1 for _ in prepared.batches(0, fixed_shapes=False))
    assert len(data.codec) == 2 + (256 if tokenizer == "bytes" else len(set("".join(texts))))
    Trainer(TASK, data).train()
    measured = TASK.evaluate(build_model(data), data, "train")
    assert measured.details["characters"] == sum(map(len, symbols))
    assert measured.details["unknown_tokens"] == 0
    # Nothing was learnt by a model just built: a guess among all ids.
    assert measured.metrics["perplexity"] == pytest.approx(len(data.codec), rel=0.1)


@pytest.mark.parametrize("tokenizer", ["words", "subwords"])
def test_text_is_read_as_words_or_subwords(tmp_path, tokenizer):
    options = {
        "tokenizer": tokenizer,
        "vocabulary_size": 40,
        "sampled_softmax": 20,
        "validation_fraction": 0.3,
    }
    data = begin(tmp_path, [700, 500], units=12, **options)
    documents = [np.concatenate([*pieces]) for pieces in data.encoded("train")]
    joined = b"".join(data.codec.decode(tf.constant(ids)).numpy() for ids in documents).decode()
    assert joined == "".join(read(tmp_path))[: len(joined)]
    assert data.counts.examples == sum(len(ids) // 8 + 1 for ids in documents)
    before = TASK.evaluate(build_model(data), data, "validation")
    trained = Trainer(TASK, LanguageModelingData(data.config.changed({"epochs": 4}), data.run)).train()
    after = TASK.evaluate(trained, data, "validation")
    assert after.metrics["loss"] < 0.9 * before.metrics["loss"]
    nats = after.metrics["loss"] * after.details["tokens"]
    text = "".join(read(tmp_path))[len(joined) :]
    assert after.details["characters"] == len(text)
    # A cut may divide a word.
    assert abs(after.details["words"] - len(text.split())) <= 2
    assert after.metrics["bits_per_character"] == pytest.approx(nats / len(text) / math.log(2))
    assert after.metrics["word_perplexity"] == pytest.approx(math.exp(nats / after.details["words"]))


def test_rows_of_a_table_are_texts(tmp_path):
    (tmp_path / "reviews.tsv").write_text(
        "label\ttext\ngood\tthe cat sat\nbad\t\nbad\ta mat.\n", encoding="utf-8"
    )
    options = tiny_text_options(str(tmp_path / "*.tsv")) | {"text_column": "text"}
    config = LanguageModelingConfig(**options)
    run = RunDirectory(tmp_path / "run")
    run.create("language_modeling", config)
    data = LanguageModelingData(config, run)
    data.prepare()
    assert [
        b"".join(data.codec.tokens[i] for p in pieces for i in p) for pieces in data.encoded("train")
    ] == [
        b"the cat sat",
        b"a mat.",
    ]


def test_rare_characters_are_unknown(tmp_path):
    (tmp_path / "text.txt").write_text("ababcababd")
    assert train(tmp_path, tmp_path / "text.txt", "--min_count=2") == 0
    assert evaluate(tmp_path, "--split=train", "--ngram_order=3")["unknown_tokens"] == 2
    assert len(best_model(tmp_path / "run")[0].codec) == 2 + 2


def test_parts_may_be_given_as_globs_of_plain_and_zipped_files(tmp_path):
    for part, length in (("train", 200), ("validation", 50), ("test", 70)):
        write_texts(tmp_path / part, [length] * 2)
    for file in list((tmp_path / "test").iterdir()):
        with gzip.open(f"{file}.gz", "wb") as zipped:
            zipped.write(file.read_bytes())
        file.unlink()
    flags = [f"--validation_data={tmp_path}/valid*/*.txt", f"--test_data={tmp_path}/test/*"]
    assert train(tmp_path, f"{tmp_path}/train/*", *flags) == 0
    data, model = best_model(tmp_path / "run")
    for split, characters in (("train", 400), ("validation", 100), ("test", 140)):
        details = TASK.evaluate(model, data, split).details
        assert (details["documents"], details["characters"]) == (2, characters)


@pytest.mark.parametrize(
    "flags",
    [
        ["--cell=simple_rnn", "--layers=2", "--dropout=0.1", "--truncation=0", "--batch_tokens=64"],
        ["--embedding_size=6", "--tie_embeddings", "--monitor=perplexity"],
        ["--embedding_size=4", "--precision=mixed_bfloat16"],
        ["--jit_compile=true", "--truncation=16", "--average_decay=0.5"],
    ],
    ids=["simple_rnn", "tied", "bfloat16", "xla"],
)
def test_models_of_all_kinds_learn(tmp_path, flags):
    texts = write_texts(tmp_path / "texts", [300, 200])
    flags = [*flags, "--validation_fraction=0.1", "--epochs=4"]
    assert train(tmp_path, texts, *flags) == 0
    epochs = [line for line in metrics_lines(tmp_path / "run") if "train_loss" in line]
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"] - 0.02
    data, model = best_model(tmp_path / "run")
    loss = TASK.evaluate(model, data, "validation").metrics["loss"]
    assert loss == pytest.approx(min(line["validation_loss"] for line in epochs), rel=0.02)
    assert loss < math.log(len(data.codec))


# Invalid files.


@pytest.fixture
def refused(tmp_path, capsys):
    """Trains on a file or files, which must be refused with these words."""
    for name, content in (("empty", ""), ("short", "ab"), ("text", text_of(50, seed=0))):
        (tmp_path / f"{name}.txt").write_text(content, encoding="utf-8")

    def run(data, said, *flags):
        assert_refused(capsys, train(tmp_path, tmp_path / data, *flags), said)
        assert not (tmp_path / "run" / "data").exists()

    return run


@pytest.mark.parametrize("name", ["none.txt", "none-*.txt", "."])
def test_names_of_no_file(refused, tmp_path, name):
    refused(name, f"There is no text file {tmp_path / name}")


@pytest.mark.parametrize(
    ("data", "part", "flags"),
    [
        ("empty.txt", "train", []),
        ("e*.txt", "train", []),
        ("short.txt", "validation", ["--validation_fraction=0.05", "--test_fraction=0.1"]),
        ("short.txt", "train", ["--validation_fraction=0.4", "--test_fraction=0.5"]),
        ("text.txt", "validation", ["--validation_data=empty.txt"]),
    ],
)
def test_parts_that_are_empty(refused, tmp_path, monkeypatch, data, part, flags):
    monkeypatch.chdir(tmp_path)
    refused(data, f"The {part} part of the text is empty", *flags)


@pytest.mark.parametrize("flag", ["--schedule=plateau", "--early_stopping_patience=2"])
def test_what_needs_a_validation_part(refused, flag):
    refused("text.txt", "need a validation part; give --validation_data", flag)


def test_texts_without_a_known_character(refused):
    refused("text.txt", "No character occurs 99 times in the training data", "--min_count=99")


def test_what_is_not_measured(refused):
    refused("text.txt", "choose one of loss, bits_per_character, perplexity", "--monitor=accuracy")


def test_files_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "damaged.txt.gz").write_bytes(b"\x1f\x8b\x08\x00 no more than a header")
    (tmp_path / "plain.txt.gz").write_text("plain")
    for name in ("damaged.txt.gz", "plain.txt.gz"):
        assert_refused(capsys, train(tmp_path, tmp_path / name), f"{tmp_path / name} cannot be read")


def test_another_task_cannot_go_on_with_the_run(evaluated, capsys):
    command = ["train", "sentiment", f"--workdir={evaluated / 'run'}"]
    assert_refused(capsys, cli.main(command), "is a run of language_modeling, not of sentiment")
    assert_refused(capsys, train(evaluated, evaluated / "texts" / "*.txt", "--units=7"), "--units=6, not 7")


def test_evaluation_is_traced_once_for_a_model(tmp_path, monkeypatch):
    data = begin(tmp_path)
    model = build_model(data)
    # Python calls the model only while a graph is traced.
    traced = Mock(wraps=model.call)
    monkeypatch.setattr(model, "call", traced)
    first = TASK.evaluate(model, data, "train").metrics
    assert traced.call_count == 1
    assert TASK.evaluate(model, data, "train").metrics == first
    assert traced.call_count == 1


def test_a_working_directory_may_have_the_letters_of_a_glob(tmp_path):
    options = tiny_text_options(write_texts(tmp_path / "texts", LENGTHS)) | {"validation_fraction": 0.2}
    data = LanguageModelingData(LanguageModelingConfig(**options), RunDirectory(tmp_path / "run[2]*"))
    data.prepare()
    assert TASK.evaluate(build_model(data), data, "validation").details["documents"] >= 1
