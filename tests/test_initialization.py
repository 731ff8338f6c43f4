"""Runs that start from another one."""

import json

import numpy as np
import pytest
from tiny_training import best_model, tiny_options, tiny_text_options, write_reviews, write_texts

from unroll.tasks import cli
from unroll.tasks.applications import read_config
from unroll.tasks.initialization import initialize
from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.training.run_directory import RunDirectory


def flags(options):
    return [f"--{name}={value}" for name, value in options.items()]


def train(application, run, options, *more):
    return cli.main(["train", application, f"--workdir={run}", *flags(options), *more])


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A run of a language model of words, with layers of both directions."""
    path = tmp_path_factory.mktemp("words")
    (path / "text.txt").write_text("The film is good. A plot, a kettle! Bad and fine and dull\n" * 9)
    options = tiny_text_options(str(path / "text.txt")) | {"tokenizer": "words", "embedding_size": 5}
    assert train("language_modeling", path / "run", options, "--backward", "--min_count=2") == 0
    return path / "run"


def test_a_run_goes_on_with_another_text(tmp_path, language_model_run, capsys):
    options = tiny_text_options(write_texts(tmp_path / "texts", [70, 41], seed=9)) | {"learning_rate": 0}
    del options["units"]
    assert (
        train("language_modeling", tmp_path / "run", options, f"--initialize_from={language_model_run}") == 0
    )
    data, model = best_model(tmp_path / "run")
    source_data, source = best_model(language_model_run)
    assert data.codec.vocabulary == source_data.codec.vocabulary
    assert model.options.units == source.options.units != 512
    for found, expected in zip(model.get_weights(), source.get_weights(), strict=True):
        assert np.array_equal(found, expected)
    # The same command resumes, or says that the training has ended.
    assert (
        train("language_modeling", tmp_path / "run", options, f"--initialize_from={language_model_run}") == 0
    )


def test_words_of_another_text_are_those_of_the_run(tmp_path, words):
    (tmp_path / "text.txt").write_text("The kettle is unheard of. " * 30)
    options = tiny_text_options(str(tmp_path / "text.txt"))
    del options["units"]
    assert train("language_modeling", tmp_path / "run", options, f"--initialize_from={words}") == 0
    data, _ = best_model(tmp_path / "run")
    assert data.codec.vocabulary == best_model(words)[0].codec.vocabulary
    assert data.counts.examples == 30 * 6 // 8 + 1


def test_a_classifier_starts_from_the_layers_of_a_language_model(tmp_path, words, capsys):
    options = tiny_options(tmp_path) | {"epochs": 1}
    del options["units"], options["embedding_size"]
    assert train("sentiment", tmp_path / "run", options, f"--initialize_from={words}") == 0
    assert "tokens have embeddings in" in capsys.readouterr().out
    data, model = best_model(tmp_path / "run")
    assert (model.options.units, model.options.embedding_size) == (6, 5)
    source_data, source = best_model(words)
    initialize("sentiment", model, data)
    for layers, side in (
        (source.recurrent.layers, "forward_layer"),
        (source.backward.layers, "backward_layer"),
    ):
        for layer, both in zip(layers, model.recurrent.layers, strict=True):
            found = getattr(both, side).get_weights()
            assert all(map(np.array_equal, found, layer.get_weights()))
    table, other = (np.array(m.embedding.embeddings) for m in (model, source))
    rows = {token: number for number, token in enumerate(source_data.codec.tokens)}
    for word, taken in ((b"film", b" film"), (b"a", b" A"), (b"good", b" good")):
        first = min(rows[token] for token in (word, b" " + word, taken) if token in rows)
        assert np.array_equal(table[data.codec.tokens.index(word)], other[first])
    unknown = data.codec.tokens.index(b"the") if b" The" not in rows and b"The" not in rows else None
    assert unknown is None or np.allclose(table[unknown], other.mean(axis=0))


@pytest.mark.parametrize(
    ("application", "changed", "said"),
    [
        ("language_modeling", {"units": 7}, "--units=7 does not fit"),
        ("language_modeling", {"tokenizer": "bytes"}, "--tokenizer=bytes does not fit"),
        ("translation", {}, "is a run of language_modeling; translation starts from a run of translation"),
        ("language_modeling", {"initialize_from": "/nowhere"}, "is not a run directory"),
    ],
)
def test_runs_that_do_not_fit_are_refused(tmp_path, words, capsys, application, changed, said):
    options = tiny_text_options(write_texts(tmp_path / "texts", [50]))
    del options["units"]
    if application == "translation":
        options = {"dataset": "unroll_translations"}
    assert train(application, tmp_path / "run", {"initialize_from": words} | options | changed) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_ngrams_keep_their_buckets_whatever_the_size_of_the_data(tmp_path):
    options = {"dataset": "files", "cell": "none", "epochs": 1, "validation_fraction": 0, "min_count": 1}
    for rows, run, more in ((30, "first", []), (60, "second", [f"--initialize_from={tmp_path / 'first'}"])):
        data = write_reviews(tmp_path / f"{rows}.tsv", rows=rows, seed=rows)
        assert (
            train("sentiment", tmp_path / run, options | {"train_data": data, "learning_rate": 0}, *more) == 0
        )
    (_, first), (_, second) = best_model(tmp_path / "first"), best_model(tmp_path / "second")
    for found, expected in zip(second.ngrams.get_weights(), first.ngrams.get_weights(), strict=True):
        assert np.array_equal(found, expected)


def test_a_classifier_needs_a_language_model_with_embeddings(tmp_path, capsys):
    RunDirectory(tmp_path / "characters").save_config("language_modeling", LanguageModelingConfig())
    options = tiny_options(tmp_path) | {"initialize_from": tmp_path / "characters"}
    assert train("sentiment", tmp_path / "run", options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no embeddings" in line
    assert not (tmp_path / "run").exists()


def test_a_classifier_of_other_words_is_refused(tmp_path, language_model_run, capsys):
    options = tiny_options(tmp_path) | {"initialize_from": language_model_run}
    del options["units"], options["embedding_size"]
    assert train("sentiment", tmp_path / "run", options) == 2
    assert "--tokenizer=words" in capsys.readouterr().err


def test_the_average_starts_from_the_weights_of_the_run(tmp_path, language_model_run):
    options = tiny_text_options(write_texts(tmp_path / "texts", [70, 41], seed=9))
    options |= {"learning_rate": 0, "average_decay": 0.9, "initialize_from": language_model_run}
    del options["units"]
    assert train("language_modeling", tmp_path / "run", options) == 0
    for found, expected in zip(
        best_model(tmp_path / "run")[1].get_weights(),
        best_model(language_model_run)[1].get_weights(),
        strict=True,
    ):
        assert np.allclose(found, expected, atol=1e-6)
    _, config = read_config(RunDirectory(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["units"] == config.units
