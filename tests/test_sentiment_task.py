"""What a sentiment run makes of its data, and its objective."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import best_model

from unroll.common.errors import UserError
from unroll.models.blocks.ngrams import log_count_ratios, ngram_buckets
from unroll.models.options import SentimentOptions
from unroll.models.sentiment import SentimentClassifier
from unroll.tasks.sentiment.task import Classification

IDS = tf.constant([[4, 5, 6, 7], [5, 4, 0, 0], [7, 0, 0, 0]])
LABELS = tf.constant([0, 1, 1])


def test_a_run_counts_the_ngrams_of_its_training_part_once(trained_run):
    data, model = best_model(trained_run)
    batches = [*data.batches(0, fixed_shapes=False)]
    found = [ngram_buckets(batch["ids"], 1, data.sizes.ngram_buckets).numpy()[:, 0] for batch in batches]
    # A word that every text has; n-grams may share its bucket.
    of_word = np.argmax(data.ngram_counts.sum(axis=1))
    assert data.ngram_counts[of_word].sum() == data.train_examples
    assert sum((rows == of_word).any(axis=1).sum() for rows in found) <= data.train_examples
    signs = np.sign(log_count_ratios(data.ngram_counts, np.array([*data.label_counts.values()])))
    signs *= data.ngram_counts.any(axis=1, keepdims=True)
    np.testing.assert_array_equal(np.sign(model.ngrams.ratios), signs)
    assert np.abs(model.ngrams.factors).max() > 0
    # Both sides were weighed on the validation part.
    assert model.factors.shape == (2,)
    assert np.abs(np.array(model.factors) - 0.5).max() > 0


def classifier(**options):
    options = SentimentOptions(
        **{"units": 4, "embedding_size": 3, "ngrams": 2, "ngram_buckets": 20} | options
    )
    model = SentimentClassifier(9, 2, options)
    model(IDS)
    return model


def loss_of(objective, model, training=True):
    return float(objective.loss(model, {"ids": IDS, "label": LABELS}, training)[0].total)


def test_a_larger_disturbance_raises_the_loss_more():
    model, plain = classifier(), Classification()
    clean = loss_of(plain, model)
    losses = [loss_of(Classification(size), model) for size in (0.2, 0.4, 0.8)]
    assert clean < losses[0] < losses[1] < losses[2]
    assert loss_of(Classification(0.8), model, training=False) == pytest.approx(clean)


def test_the_disturbance_has_the_norm_asked_for():
    model, read = classifier(), []
    original = model.deep_logits
    model.deep_logits = lambda embedded, *args, **kwargs: (
        read.append(embedded.numpy()) or original(embedded, *args, **kwargs)
    )
    loss_of(Classification(0.5), model)
    text, disturbed = read
    norms = np.linalg.norm(text, axis=2)
    expected = [0.5 * norms[row, :length].mean() for row, length in enumerate((4, 2, 1))]
    np.testing.assert_allclose(np.linalg.norm(disturbed - text, axis=(1, 2)), expected, rtol=1e-5)
    assert not (disturbed - text)[IDS.numpy() == 0].any()


def test_a_model_that_reads_nothing_is_refused():
    with pytest.raises(
        UserError, match=r"--cell=none and --ngrams=0 leave nothing that reads the text; change"
    ):
        SentimentOptions(cell="none")
