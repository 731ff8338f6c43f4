"""Several runs as one model: the mean of their probabilities."""

import json

import numpy as np
import pytest
import tensorflow as tf
from exported import not_verified
from tiny_training import best_model, tiny_text_options, write_texts

import unroll.serving
from unroll.export import saved_model
from unroll.models.mean import MeanClassifier, mean_of_probabilities
from unroll.models.options import SentimentOptions
from unroll.models.sentiment import SentimentClassifier
from unroll.tasks import cli
from unroll.tasks.language_modeling.task import TASK


def train(path, texts, **changes):
    options = tiny_text_options(texts) | {"epochs": 2, "validation_fraction": 0.3} | changes
    flags = [f"--{name}={value}" for name, value in options.items()]
    assert cli.main(["train", "language_modeling", f"--workdir={path}", *flags]) == 0
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with one vocabulary, of different cells and sizes."""
    path = tmp_path_factory.mktemp("runs")
    texts = write_texts(path / "texts", [90, 70, 50])
    return [
        train(path / "a", texts, units=5, layers=2, embedding_size=3),
        train(path / "b", texts, cell="gru", seed=1),
    ]


@pytest.fixture(scope="module")
def models(runs):
    return [best_model(run)[1] for run in runs]


def test_mean_of_probabilities(rng):
    logits = rng.normal(size=(3, 4, 5)).astype(np.float32) * 5
    found = mean_of_probabilities([tf.constant(of) for of in logits])
    expected = np.mean([tf.nn.softmax(of) for of in logits], axis=0)
    assert np.allclose(np.exp(found), expected, atol=1e-6)


def test_a_text_is_read_step_by_step_or_at_once(models, rng):
    mean = TASK.mean(models)
    ids = tf.constant(rng.integers(0, mean.vocabulary_size, (3, 8)), tf.int32)
    logits, states = mean(ids)
    expected = np.mean([tf.nn.softmax(model(ids)[0]) for model in models], axis=0)
    assert np.allclose(tf.nn.softmax(logits), expected, atol=1e-6)
    step, now = mean.stepper(), mean.initial_states(3)
    for t in range(8):
        found, now = step(ids[:, t], now)
        assert np.allclose(found, logits[:, t], atol=1e-5)
    for a, b in zip(tf.nest.flatten(now), tf.nest.flatten(states), strict=True):
        assert np.allclose(a, b, atol=1e-5)
    reading = mean.read(ids, tf.constant([8, 5, 1]))
    assert np.allclose(reading.logits[1], logits[1, 4], atol=1e-5)


def test_runs_are_evaluated_as_one(runs):
    losses = []
    for name, given in (
        ("a", f"--workdir={runs[0]}"),
        ("b", f"--workdir={runs[1]}"),
        ("both", f"--runs={runs[0]},{runs[1]}"),
    ):
        assert cli.main(["evaluate", given, "--split=validation", "--ngram_order=0"]) == 0
        folder = runs[1] if name == "b" else runs[0]
        file = "metrics-validation-of-2-runs.json" if name == "both" else "metrics-validation.json"
        losses.append(json.loads((folder / file).read_text())["loss"])
    # By Jensen's inequality.
    assert min(losses[:2]) - 0.5 < losses[2] < np.mean(losses[:2])


def test_runs_are_exported_as_one(runs, models, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "verification", not_verified)
    assert cli.main(["export", f"--runs={runs[0]},{runs[1]}", f"--output={tmp_path / 'model'}"]) == 0
    model = unroll.serving.load(tmp_path / "model")
    text = "the cat sat"
    scores = [
        tf.exp(of.log_probability) for of in model.score([text[:end] for end in range(1, len(text) + 1)])
    ]
    data, _ = best_model(runs[0])
    (ids,) = data.codec.encode(tf.constant([text])).numpy()
    inputs = tf.constant([[0, *ids[:-1]]])
    each = np.mean([tf.nn.softmax(of(inputs)[0][0]).numpy()[range(len(ids)), ids] for of in models], axis=0)
    assert np.allclose(scores, np.cumprod(each), rtol=1e-3)
    (written,) = model.generate(["the "], max_length=20, seed=1)
    assert "".join(model.stream("the ", max_length=20, seed=1)) == written.text


def test_classifiers_are_one_that_explains_itself(rng):
    """The contributions sum to the difference of the log odds, as for a classifier alone."""
    options = [
        SentimentOptions(units=4, embedding_size=3, ngrams=2),
        SentimentOptions(units=5, embedding_size=6),
    ]
    members = [SentimentClassifier(9, 3, of, seed=number) for number, of in enumerate(options)]
    for model in members:
        model.build()
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    mean, ids = MeanClassifier(members), tf.constant([[3, 5, 8, 2], [4, 2, 0, 0]])
    probabilities = tf.nn.softmax(mean(ids))
    assert np.allclose(probabilities, np.mean([tf.nn.softmax(of(ids)) for of in members], axis=0), atol=1e-6)
    logits, contributions = mean.explain(ids)
    assert np.allclose(tf.nn.softmax(logits), probabilities, atol=1e-5)
    assert np.allclose(contributions[1, 2:], 0)

    def log_odds(of, label):
        return tf.math.log(of[label] / (1 - of[label]))

    label = int(tf.argmax(probabilities[1]))
    text, unknown = mean.features(ids[1:, :2])
    start = tf.nn.softmax(mean.logits_of(tf.tile(unknown, [1, 2, 1]), tf.ones([1, 2], tf.bool)))[0]
    expected = log_odds(probabilities[1], label) - log_odds(start, label)
    assert abs(float(tf.reduce_sum(contributions[1]) - expected)) < 0.1
    assert text.shape[2] == mean.feature_count == 3 + 3 + 6


def test_classifiers_are_evaluated_as_one(trained_run, reviews_table, tmp_path):
    config = json.loads((trained_run / "config.json").read_text())["config"]
    names = (
        "dataset",
        "validation_fraction",
        "test_fraction",
        "epochs",
        "batch_tokens",
        "units",
        "max_length",
    )
    flags = [f"--{name}={config[name]}" for name in names]
    run = tmp_path / "run"
    assert (
        cli.main(
            ["train", "sentiment", f"--workdir={run}", f"--train_data={reviews_table}", "--seed=1", *flags]
        )
        == 0
    )
    output = tmp_path / "metrics.json"
    assert cli.main(["evaluate", f"--runs={run},{trained_run}", f"--output={output}"]) == 0
    assert 0 < json.loads(output.read_text())["accuracy"] <= 1


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ("{a},{other}", "has another application or vocabulary"),
        ("{a},{reviews}", "has another application or vocabulary"),
        ("{a},,{b}", "has an empty path"),
        ("{a},{b},{a}/", "names a run twice"),
        ("{a},/nowhere", "is not a run directory"),
    ],
)
def test_runs_that_do_not_fit_are_refused(runs, language_model_run, trained_run, others, said, capsys):
    given = others.format(a=runs[0], b=runs[1], other=language_model_run, reviews=trained_run)
    assert cli.main(["evaluate", f"--runs={given}", "--split=validation"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
