"""Several runs of translation or captioning as one model: the mean of their probabilities."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported import not_verified

import unroll.serving
from unroll.export import saved_model
from unroll.models.captioning import CaptioningModel
from unroll.models.decoding import Beams
from unroll.models.options import CaptioningOptions, TranslationOptions
from unroll.models.text import END, START
from unroll.models.translation import TranslationModel
from unroll.tasks import cli
from unroll.tasks.captioning.task import TASK as CAPTIONING
from unroll.tasks.translation.task import TASK as TRANSLATION

IDS, PLACES, FEATURES = 9, 4, 3
LONGEST = 5


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def translators():
    """Models of different cells and sizes."""
    return [
        TranslationModel(IDS, IDS, TranslationOptions(units=6, embedding_size=4)),
        TranslationModel(
            IDS, IDS, TranslationOptions(cell="gru", units=4, embedding_size=4, tie_embeddings=True, layers=2)
        ),
        TranslationModel(IDS, IDS, TranslationOptions(units=6, embedding_size=4, input_feeding=True)),
    ]


def captioners():
    return [
        CaptioningModel(IDS, FEATURES, CaptioningOptions(units=6, embedding_size=4)),
        CaptioningModel(IDS, FEATURES, CaptioningOptions(units=4, embedding_size=3, attention="none")),
    ]


def prepared(models, *inputs):
    """With their weights, large enough to tell words apart."""
    for model in models:
        outputs = model(*inputs)
        model.logits(outputs[0] if isinstance(outputs, tuple) else outputs)
        for weight in model.trainable_variables:
            weight.assign(weight + keras.random.normal(weight.shape))
    return models


def expected(models, source, ids, lengths):
    """The logarithms of the members' mean probabilities of texts and their ends, one text for each row."""
    texts = np.full([len(ids), LONGEST + 1], END)
    for row, length in enumerate(lengths):
        texts[row, :length] = ids[row, :length]
    inputs = np.concatenate([np.full([len(texts), 1], START), texts[:, :-1]], axis=1).astype(np.int32)
    each = []
    for model in models:
        if isinstance(model, CaptioningModel):
            outputs = model(source, inputs[:, None])[0][:, 0]
        else:
            outputs = model(source, inputs)
        each.append(tf.nn.softmax(model.logits(outputs)).numpy())
    chosen = np.take_along_axis(np.mean(each, axis=0), texts[..., None], axis=2)[..., 0]
    written = np.arange(LONGEST + 1) <= lengths[:, None]
    return np.where(written, np.log(chosen), 0).sum(axis=1)


@pytest.mark.parametrize("kind", ["translation", "captioning"])
def test_the_search_finds_texts_by_the_mean_of_probabilities(kind, rng):
    if kind == "translation":
        source = tf.constant([[4, 5, 6, 7], [8, 4, 0, 0]])
        models = prepared(translators(), source, tf.ones([2, 1], tf.int32))
        mean = TRANSLATION.mean(models)
        found = mean.translate(source, Beams(3), LONGEST)
    else:
        source = tf.constant(rng.normal(size=(2, PLACES, FEATURES)), tf.float32)
        models = prepared(captioners(), source, tf.ones([2, 1, 1], tf.int32))
        mean = CAPTIONING.mean(models)
        found = mean.caption(source, Beams(3), LONGEST)
    for beam in range(3):
        wanted = expected(models, source, found.ids[:, beam].numpy(), found.lengths[:, beam].numpy())
        np.testing.assert_allclose(found.log_probabilities[:, beam], wanted, rtol=1e-4, atol=1e-4)
    assert found.alignments.shape[-1] == 4


def test_whole_texts_have_the_mean_of_probabilities():
    source, inputs = tf.constant([[4, 5, 0]]), tf.constant([[START, 6, 7]])
    models = prepared(translators(), source, inputs)
    mean = TRANSLATION.mean(models)
    each = [tf.nn.softmax(model.logits(model(source, inputs))) for model in models]
    outputs = mean(source, inputs)
    np.testing.assert_allclose(tf.nn.softmax(mean.logits(outputs)), np.mean(each, axis=0), atol=1e-6)
    targets = np.array([[6, 7, END]])
    losses = mean.token_losses(outputs, tf.constant(targets, tf.int32)).losses
    chosen = np.take_along_axis(np.mean(each, axis=0), targets[..., None], axis=2)
    np.testing.assert_allclose(losses, -np.log(chosen.ravel()), rtol=1e-5)


@pytest.mark.parametrize("application", ["translation", "captioning"])
def test_a_run_with_its_copy_is_that_run(application, request, tmp_path, monkeypatch):
    made = request.getfixturevalue(f"{application}_run")
    run, copy = (shutil.copytree(made, tmp_path / name) for name in ("run", "copy"))
    told = []
    for given, name in (
        (f"--workdir={run}", "metrics-validation.json"),
        (f"--runs={run},{copy}", "metrics-validation-of-2-runs.json"),
    ):
        assert cli.main(["evaluate", given, "--split=validation"]) == 0
        told.append(json.loads((run / name).read_text(encoding="utf-8")))
    one, both = (
        {n: v for n, v in of.items() if isinstance(v, float) and "per_second" not in n} for of in told
    )
    assert both == pytest.approx(one, rel=1e-4)
    if application == "translation":
        monkeypatch.setattr(saved_model, "verification", not_verified)
        assert cli.main(["export", f"--runs={run},{copy}", f"--output={tmp_path / 'model'}"]) == 0
        texts = ["The old dog sleeps here, the dog.", "The cat falls."]
        several, single = (
            unroll.serving.load(path).translate(texts, n_best=2)
            for path in (tmp_path / "model", request.getfixturevalue("exported_translation"))
        )
        assert [found.text for found in several] == [found.text for found in single]
        np.testing.assert_allclose([s.score for s in several], [s.score for s in single], atol=1e-4)
