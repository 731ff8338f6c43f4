"""The parts of applications: models and objectives in memory, and the base class of their data."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from unroll.common.errors import UserError
from unroll.models.text import END, PADDING, START, SubwordCodec, WordCodec
from unroll.tasks.applications import APPLICATIONS, config_class, task_of
from unroll.tasks.captioning.data import CaptioningSizes
from unroll.tasks.data import Counts, encode, learn_codec
from unroll.tasks.language_modeling.data import LanguageModelSizes
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.sentiment.data import SentimentSizes
from unroll.tasks.training.step import TrainingStep
from unroll.tasks.translation.data import TranslationSizes

SMALL = {"units": 4, "embedding_size": 4, "dropout": 0.0}
ROW = [START, 5, 6, 4, END]
SHORT = [START, 7, END, PADDING, PADDING]
# Options, sizes, a batch, and the number of classes that the model chooses from at first.
CASES = {
    "sentiment": (
        SMALL,
        SentimentSizes(9, 3),
        {"ids": [[4, 5, 6], [7, 0, 0]], "label": [0, 2]},
        3,
    ),
    "translation": (
        SMALL,
        TranslationSizes(9, 8),
        {"source": [[4, 5, 8], [6, 0, 0]], "target": [ROW, SHORT]},
        8,
    ),
    "language_modeling": (
        SMALL | {"truncation": 4},
        LanguageModelSizes(9, 2),
        {"ids": [ROW, ROW], "length": [4, 2], "reset": [True, True]},
        9,
    ),
    "captioning": (
        SMALL | {"epochs": 3, "rewarded_epochs": 1, "monitor": "bleu_4"},
        CaptioningSizes(9, 5),
        {"captions": [[ROW, SHORT]], "images": np.ones((1, 4, 5), np.float16)},
        9,
    ),
}
# Labels, tokens, characters and tokens that are real.
WEIGHTS = {"sentiment": 2, "translation": 6, "language_modeling": 6, "captioning": 6}


def test_each_application_is_tried():
    assert CASES.keys() == APPLICATIONS.keys()


@pytest.mark.parametrize("application", CASES)
def test_model_and_objectives_need_no_run_directory(application, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, sizes, batch, classes = CASES[application]
    config, task = config_class(application)(**options), task_of(application)
    model, phases = task.build_model(config, sizes), task.phases(config, sizes)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    objective = phases[0].objective
    loss, carry = objective.loss(model, batch, training=True, carry=objective.initial_carry(model))
    assert float(loss.weight) == WEIGHTS[application]
    assert float(loss.total / loss.weight) == pytest.approx(math.log(classes), rel=0.2)
    tf.nest.assert_same_structure(carry, objective.initial_carry(model))
    assert sum(phase.epochs for phase in phases) == config.epochs
    assert config.monitor in task.metrics
    assert not list(tmp_path.iterdir())


def test_rewarded_epochs_are_a_phase_of_their_own():
    options, sizes, batch, _ = CASES["captioning"]
    config, task = config_class("captioning")(**options), task_of("captioning")
    plain, rewarded = task.phases(config, sizes)
    assert (plain.epochs, plain.resets_moments, plain.compilable) == (2, False, True)
    assert (rewarded.epochs, rewarded.resets_moments, rewarded.compilable) == (1, True, False)
    assert rewarded.learning_rate(99, 0.5, 1.0) == config.rewarded_learning_rate / 2
    batch = {name: tf.constant(value) for name, value in batch.items()}
    loss, _ = rewarded.objective.loss(task.build_model(config, sizes), batch, training=True)
    # Of each drawn caption 1 - reward.
    assert 0 < float(loss.total / loss.weight) <= 1


@pytest.mark.parametrize("application", ["translation", "captioning"])
def test_a_rewarded_epoch_keeps_a_share_of_the_ordinary_loss(application):
    options, sizes, batch, _ = CASES[application]
    options = options | {
        "epochs": 3,
        "rewarded_epochs": 1,
        "monitor": "bleu" if application == "translation" else "bleu_4",
    }
    options["label_smoothing"] = 0.1
    task = task_of(application)
    # The references of one row, whose ordinary loss is by token, here by text.
    batch = {name: tf.constant(value)[:1] for name, value in batch.items()}
    model, losses = None, []
    for share in (0.0, 0.25, 1.0):
        config = config_class(application)(**options, rewarded_likelihood=share)
        model = model or task.build_model(config, sizes)
        plain, rewarded = task.phases(config, sizes)
        # The same texts are drawn each time.
        model.seed_generator.state.assign(tf.zeros_like(model.seed_generator.state))
        losses.append(rewarded.objective.loss(model, batch, training=True)[0])
    means = [float(loss.total / loss.weight) for loss in losses]
    ordinary, _ = plain.objective.loss(model, batch, training=True)
    references = batch["captions" if application == "captioning" else "target"][..., 1]
    assert means[2] == pytest.approx(float(ordinary.total) / np.count_nonzero(references), rel=1e-5)
    assert means[1] == pytest.approx(0.75 * means[0] + 0.25 * means[2], rel=1e-5)


def test_rewards_raise_the_score_of_translations():
    options, sizes, batch, _ = CASES["translation"]
    options = options | {
        "units": 16,
        "epochs": 3,
        "rewarded_epochs": 1,
        "monitor": "bleu",
        "rewarded_cider": 0.5,
    }
    config, task = config_class("translation")(**options), task_of("translation")
    keras.utils.set_random_seed(0)
    model = task.build_model(config, sizes)
    _, rewarded = task.phases(config, sizes)
    texts = [np.array(row)[1:-1] for row in (ROW, SHORT[:3])]
    rewarded.objective.prepare(
        SimpleNamespace(references=lambda: [[text] for text in texts], reference_tokens=8)
    )
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in batch}
    step = TrainingStep(rewarded.objective, model, optimizer, spec)

    results = [step(batch, learning_rate=0.02, step=number).loss for number in range(40)]
    losses = [float(loss.total / loss.weight) for loss in results]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.2


@pytest.mark.parametrize("application", APPLICATIONS)
def test_truncation_is_an_option_of_the_application(application):
    config = config_class(application)
    option, _ = task_of(application).truncation(config())
    assert task_of(application).truncation(config(**{option: 7})) == (option, 7)


# Data.


def test_counts_tell_what_is_left_out(capsys):
    counts = Counts()
    counts.left_out += 3
    with pytest.raises(
        UserError, match="All 3 pairs are empty or longer than --max_length=9 tokens; give a larger"
    ):
        counts.check_left_out("pairs are empty or", 9)
    counts.add(4)
    counts.add(8, rows=5)
    counts.add(7)
    counts.add(20)
    assert counts == Counts(examples=4, longest=20, rows=5, left_out=3, buckets=[3, 0, 0, 0, 0, 1])
    counts.check_left_out("captions are", 9)
    assert capsys.readouterr().out == "3 captions are longer than --max_length=9 tokens and left out.\n"


def test_texts_are_encoded_in_their_groups():
    codec = SubwordCodec("words", ["▁a", "▁b"], 5)
    # More groups than go through the graph at a time.
    groups = [[b"a"] * (number % 3) + [b"b a b"] for number in range(1500)]
    found = list(encode(codec, groups))
    assert len(found) == len(groups)
    a, b = (codec.encode(tf.constant([text])).to_list()[0] for text in (b"a", b"b a b"))
    for number, rows in enumerate(found):
        assert [row.tolist() for row in rows] == [a] * (number % 3) + [b]
    ((cut,),) = encode(codec, [[b"b a b"]], max_length=2)
    assert cut.tolist() == b[:2]


def test_a_codec_without_tokens_is_refused():
    config = SentimentConfig(min_count=2)
    assert learn_codec(WordCodec, [[b"a b"], [b"a"]], config).vocabulary == ("a",)
    with pytest.raises(UserError, match=r"No word of mine occurs 2 times .* smaller --min_count"):
        learn_codec(WordCodec, [[b"a b"], [b"c"]], config, "word of mine")
