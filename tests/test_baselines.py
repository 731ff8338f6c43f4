"""What an evaluation compares a model with, and warns of: linear models, BLEU's tokenisers, models that always answer
the same."""

import keras
import numpy as np
import pytest
import sacrebleu
import tensorflow as tf
from tiny_training import best_model

from unroll.tasks.beam_search import warning_of_same
from unroll.tasks.sentiment import evaluation
from unroll.tasks.sentiment.evaluation import evaluate, report
from unroll.tasks.sentiment.linear_model import LinearModel
from unroll.tasks.translation.bleu import bleu_for

# A linear model.


def texts_of(rng, rows, tokens=30, length=12):
    """Texts whose class is that of the only informative token in them."""
    ids = rng.integers(10, tokens, size=[rows, length])
    classes = rng.integers(0, 3, size=rows)
    ids[np.arange(rows), rng.integers(0, length - 3, size=rows)] = 4 + classes
    # Padding, and repeated tokens that say nothing.
    ids[: rows // 2, -2:] = 0
    return ids, classes


def test_a_linear_model_learns_words_in_any_batches(rng):
    ids, classes = texts_of(rng, 600)
    model = LinearModel(30, 3)
    for _ in range(8):
        for first in range(0, 500, 50):
            model.update(ids[first : first + 50], classes[first : first + 50])
    log_probabilities = model.log_probabilities(ids[500:])
    assert log_probabilities.shape == (100, 3)
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1, rtol=1e-5)
    assert (log_probabilities.argmax(axis=1) == classes[500:]).mean() > 0.95


def test_a_linear_model_reads_sets_of_words(rng):
    ids, classes = texts_of(rng, 300)
    model = LinearModel(30, 3)
    model.update(ids, classes)
    one = model.log_probabilities(np.array([[4, 11, 12]]))
    for same in ([[12, 4, 11, 0, 0]], [[0, 4, 4, 11, 12, 12]]):
        np.testing.assert_allclose(model.log_probabilities(np.array(same)), one, rtol=1e-6)
    # A text of nothing gets the biases.
    assert np.isfinite(model.log_probabilities(np.zeros([2, 1], int))).all()


def test_a_linear_model_depends_on_nothing_but_its_texts(rng):
    ids, classes = texts_of(rng, 300)
    models = [LinearModel(30, 3) for _ in range(2)]
    for model in models:
        model.update(ids, classes)
    np.testing.assert_array_equal(*(model.log_probabilities(ids) for model in models))


def test_the_gradient_is_that_of_the_cross_entropy(rng):
    ids, classes = texts_of(rng, 20)
    model = LinearModel(30, 3)
    model._weights = rng.normal(size=[30, 3])
    before = model._weights.copy()
    ((_, tokens, features),) = model._features(ids)
    with tf.GradientTape() as tape:
        weights = tf.Variable(before)
        logits = tf.matmul(features.astype(float), tf.gather(weights, tokens))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))
    expected = tf.convert_to_tensor(tape.gradient(loss, weights)).numpy()
    model.update(ids, classes)
    # The first step of AdaGrad is the gradient divided by its size.
    changed = np.abs(expected) > 1e-3
    np.testing.assert_allclose(
        (before - model._weights)[changed], 0.3 * np.sign(expected)[changed], rtol=1e-2
    )


# The report of a classifier.


def test_a_classifier_is_compared_with_words_and_the_most_frequent_label(trained_run):
    data, model = best_model(trained_run)
    found = report(model, data, "test")
    plain = evaluate(model, data, "test")
    assert found.metrics == plain.metrics
    assert plain.details["baselines"] == {}
    frequent = max(data.label_counts, key=data.label_counts.get)
    linear, always = (found.details["baselines"][name] for name in ("linear", f"always {frequent}"))
    labels = [example.label for example in data.examples("test")]
    assert always["accuracy"] == pytest.approx(labels.count(frequent) / len(labels))
    assert always["f1"] == pytest.approx(2 * always["accuracy"] / (1 + always["accuracy"]) / 3)
    assert "loss" not in always
    assert 0.8 < linear["accuracy"] < 1
    assert 0 < linear["loss"] < 0.7
    lines = [line.split() for line in found.report.splitlines()]
    assert ["network", "linear", "always", frequent] in lines
    accuracies = [f"{metrics['accuracy']:.4f}" for metrics in (found.metrics, linear, always)]
    assert ["accuracy", *accuracies] in lines
    assert found.warning == plain.warning == ""


def test_a_classifier_that_gives_one_label_says_so(trained_run):
    data, _ = best_model(trained_run)

    class Constant(keras.Model):
        def sides(self, ids):
            return [tf.constant([[0.0, 1.0, 0.0]]) * tf.ones([tf.shape(ids)[0], 1])]

        def combined(self, sides):
            return sides[0]

    warning = evaluate(Constant(), data, "test").warning
    count = len(list(data.examples("test")))
    assert warning.startswith(
        f"The model gives all {count} examples the label {data.labels[1]!r}: it has not learnt"
    )


@pytest.mark.parametrize(
    ("confusion", "warns"),
    [
        ([[3, 0], [2, 0]], True),
        ([[0, 0], [2, 0]], False),
        ([[3, 0], [1, 1]], False),
        ([[0, 0], [0, 0]], False),
    ],
)
def test_one_label_is_a_fault_where_there_are_more(confusion, warns):
    assert bool(evaluation._warning(np.array(confusion), ["no", "yes"])) == warns


# Texts.


@pytest.mark.parametrize(
    ("texts", "references", "warns"),
    [
        (["a", "a", "a"], ["x", "y", "x"], True),
        (["", ""], ["x", "y"], True),
        (["a", "b"], ["x", "y"], False),
        (["a", "a"], ["x", "x"], False),
        (["a"], ["x"], False),
        ([], [], False),
    ],
)
def test_the_same_text_for_all_inputs_is_a_fault(texts, references, warns):
    warning = warning_of_same(texts, references, "caption")
    assert bool(warning) == warns
    if warns:
        assert f"the same caption for all {len(texts)} inputs" in warning


@pytest.mark.parametrize(
    ("references", "tokenizer"),
    [
        (["Ein Hund.", "Zwei Hunde."], "13a"),
        (["Один пёс.", "एक कुत्ता"], "13a"),
        (["一只狗在跑。", "IBM 的两只狗。"], "zh"),
        (["一隻狗。"], "zh"),
        (["犬が走っている。", "東京都知事"], ("ja-mecab", "char")),
        (["개 한 마리가 달린다."], ("ko-mecab", "char")),
        (["สุนัขกำลังวิ่ง"], "char"),
        (["ໝາແລ່ນ", "ខ្មែរ", "မြန်မာ"], "char"),
        (["The word 犬 is Japanese for dog, and 狗 Chinese."], "13a"),
        (["", "..."], "13a"),
        ([], "13a"),
    ],
)
def test_bleu_has_the_tokeniser_of_the_script(references, tokenizer):
    bleu = bleu_for(references)
    bleu.corpus_score(["a"], [["a"]])
    signature = str(bleu.get_signature())
    allowed = (tokenizer,) if isinstance(tokenizer, str) else tokenizer
    assert any(f"|tok:{name}|" in signature for name in allowed)


def test_bleu_of_a_script_without_spaces_counts_its_letters():
    references = ["一只狗在公园里跑步。", "两只猫在家里睡觉。"]
    hypotheses = ["一只狗在公园里睡觉。", "两只猫在家里睡觉。"]
    assert sacrebleu.BLEU().corpus_score(hypotheses, [references]).score < 5
    assert 60 < bleu_for(references).corpus_score(hypotheses, [references]).score < 100
