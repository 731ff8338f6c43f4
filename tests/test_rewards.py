"""The reward of a text against counting by hand, and the gradient that rewards give."""

import itertools
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

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
