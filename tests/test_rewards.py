"""The reward of a text against counting by hand, and the gradient that rewards give."""

import itertools
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.writing.cider import NgramRarities, cider_d
from unroll.models.writing.rewards import rewarded, sentence_bleu


def ngrams(text, n):
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))


def bleu_by_hand(text, references):
    nearest = min((abs(len(reference) - len(text)), len(reference)) for reference in references)[1]
    brevity = np.exp(min(0, 1 - nearest / max(len(text), 1e-3)))
    scores, logs = [], []
    for n in range(1, 5):
        found, most = ngrams(text, n), Counter()
        for reference in references:
            most |= ngrams(reference, n)
        added = n > 1
        precision = ((found & most).total() + added) / max(found.total() + added, 1)
        logs.append(np.log(max(precision, 1e-6)))
        scores.append(brevity * np.exp(np.mean(logs)))
    return np.mean(scores)


def padded(texts, time):
    return np.array([[*text, *[0] * (time - len(text))] for text in texts], np.int32)


def test_sentence_bleu_equals_counting_by_hand(rng):
    for _ in range(10):
        texts = [[tuple(rng.integers(1, 5, rng.integers(0, 9))) for _ in range(2)] for _ in range(3)]
        references = [[tuple(rng.integers(1, 5, rng.integers(1, 9))) for _ in range(4)] for _ in texts]
        found = sentence_bleu(
            tf.constant([padded(group, 9) for group in texts]),
            tf.constant([padded(several, 8) for several in references]),
        )
        expected = [
            [bleu_by_hand(text, several) for text in group]
            for group, several in zip(texts, references, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_reference_scores_one_and_padding_is_no_reference():
    text, none = [5, 6, 7, 8, 9], [0] * 5
    # Clipped: a word counts as often as it occurs in the reference.
    score, repeated = sentence_bleu(tf.constant([[text, [5] * 5]]), tf.constant([[none, text]])).numpy()[0]
    assert score == pytest.approx(1)
    assert repeated < 0.4


def test_the_gradient_is_that_of_the_expected_reward():
    """Mean over all pairs of texts, by their probabilities, against the derivative of the mean reward."""
    values = tf.constant([0.1, 0.7, 0.4])
    logits = tf.Variable([0.3, -0.2, 0.5])
    with tf.GradientTape() as tape:
        expected_loss = 1 - tf.reduce_sum(tf.nn.softmax(logits) * values)
    wanted = tape.gradient(expected_loss, logits)
    total = np.zeros(3)
    probabilities = tf.nn.softmax(logits).numpy()
    for pair in itertools.product(range(3), repeat=2):
        chosen = tf.constant([pair])
        with tf.GradientTape() as tape:
            losses = -tf.gather(tf.nn.log_softmax(logits), chosen)
            loss = tf.reduce_mean(rewarded(tf.gather(values, chosen), losses))
        np.testing.assert_allclose(loss, 1 - np.mean(values.numpy()[list(pair)]), atol=1e-6)
        total += (
            np.prod(probabilities[list(pair)]) * tf.convert_to_tensor(tape.gradient(loss, logits)).numpy()
        )
    np.testing.assert_allclose(total, wanted, atol=1e-6)


def test_cider_equals_that_of_the_coco_challenge(rng):
    """With the n-grams of the references as training texts, as the challenge counts them."""
    scorer = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    # A few words, so that longer n-grams match, too; some occur in all references of an image and some in one.
    texts = [[tuple(rng.integers(1, 6, rng.integers(1, 12))) for _ in range(3)] for _ in range(8)]
    references = [[tuple(rng.integers(1, 6, rng.integers(1, 12))) for _ in range(4)] for _ in texts]
    rarities = NgramRarities.of(([np.array(one) for one in several] for several in references), base=9)
    found = cider_d(
        tf.constant([padded(group, 12) for group in texts]),
        # An empty row is no reference.
        tf.constant([padded([*several, ()], 13) for several in references]),
        rarities,
    ).numpy()

    def words(ids):
        return " ".join(f"w{number}" for number in ids)

    wanted = {n: [words(one) for one in several] for n, several in enumerate(references)}
    for position in range(3):
        written = {n: [words(group[position])] for n, group in enumerate(texts)}
        _, expected = scorer.compute_score(wanted, written)
        np.testing.assert_allclose(found[:, position], expected, rtol=1e-4, atol=1e-5)
    assert found.max() > 1


def test_unknown_ngrams_are_the_rarest_and_none_have_no_weight():
    rarities = NgramRarities.of([[np.array([4, 5])], [np.array([4]), np.array([4, 6])]], base=55_000)
    ids = tf.constant([4, 5, 6, 54_999, 0])
    np.testing.assert_allclose(rarities(rarities.keys(ids, 1)), np.log([2 / 2, 2, 2, 2, 1]), rtol=1e-6)
    pairs = rarities.keys(ids, 2).numpy()
    assert pairs.tolist() == [4 * 55_000 + 5, 5 * 55_000 + 6, 6 * 55_000 + 54_999, 0]
    np.testing.assert_allclose(rarities(pairs), np.log([2, 2, 2, 1]), rtol=1e-6)
    # Texts shorter than the longest n-grams, and none at all.
    assert cider_d(ids[None, None, :1], ids[None, None, :2], rarities).numpy().tolist() == [[0]]
    assert np.isfinite(cider_d(ids[None, None, :2] * 0, ids[None, None, :2], rarities)).all()
    with pytest.raises(ValueError, match="too large"):
        NgramRarities.of([], base=60_000)
