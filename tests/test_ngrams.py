"""Logits of hashed n-grams."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.blocks.ngrams import NGramCounts, NGrams, log_count_ratios, ngram_buckets

# 0 is padding, 1 an unknown token.
IDS = np.array([[5, 7, 5, 7, 5], [7, 5, 1, 9, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]], "int32")
BUCKETS = 10_000


def ngrams_of(row, longest):
    """The different n-grams of known tokens in a row."""
    row = [token for token in row.tolist() if token]
    spans = [
        tuple(row[begin : begin + n]) for n in range(1, longest + 1) for begin in range(len(row) - n + 1)
    ]
    return {span for span in spans if 1 not in span}


def bucket_of(ngram):
    return int(ngram_buckets(tf.constant([ngram]), len(ngram), BUCKETS)[0, -1, 0])


def test_the_bucket_of_an_ngram_is_always_the_same():
    # Exported models and saved runs depend on these numbers.
    assert [bucket_of(ngram) for ngram in [(5,), (5, 7), (7, 5), (5, 7, 9)]] == [2881, 2833, 6620, 3097]


def test_buckets_are_spread_evenly():
    ids = np.arange(2, 20_002, dtype="int32").reshape(100, 200)
    found = ngram_buckets(tf.constant(ids), 3, 64).numpy()
    for size in range(3):
        counts = np.bincount(found[:, size][found[:, size] >= 0], minlength=64)
        assert abs(counts / counts.mean() - 1).max() < 0.25


def test_ngrams_with_padding_or_an_unknown_token_have_no_bucket():
    found = ngram_buckets(tf.constant(IDS), 3, BUCKETS).numpy()
    for row, buckets in zip(IDS, found, strict=True):
        assert {*buckets[buckets >= 0]} == {bucket_of(ngram) for ngram in ngrams_of(row, 3)}
    assert (found[1] >= 0).tolist() == [
        [True, True, False, True, False],
        [True, False, False, False, False],
        [False] * 5,
    ]


def test_texts_are_counted_once_for_each_different_ngram():
    counts = NGramCounts(2, 3, BUCKETS)
    counts.add(IDS[:2], [0, 1])
    counts.add(IDS[2:], [1, 0])
    expected = np.zeros([BUCKETS, 2], int)
    for row, label in zip(IDS, [0, 1, 1, 0], strict=True):
        for ngram in ngrams_of(row, 3):
            expected[bucket_of(ngram), label] += 1
    np.testing.assert_array_equal(counts.counts, expected)
    assert expected[bucket_of((5,))].tolist() == [1, 2]


def test_log_count_ratios_are_those_of_naive_bayes():
    ratios = log_count_ratios(np.array([[3, 0], [1, 1], [0, 0]]), np.array([4, 4]))
    np.testing.assert_allclose(ratios[:, 0], np.log([4, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(ratios[:, 1], -ratios[:, 0], rtol=1e-6)


def test_log_count_ratios_are_free_of_the_sizes_of_the_classes():
    sizes = np.array([100, 20, 30])
    ratios = log_count_ratios(np.array([[100, 20, 30], [50, 10, 15], [0, 0, 0], [0, 20, 0]]), sizes)
    np.testing.assert_allclose(ratios[:3], 0, atol=1e-6)
    assert ratios[3, 1] > 3
    assert max(ratios[3, [0, 2]]) < -1


@pytest.fixture
def layer(rng):
    layer = NGrams(3, longest=3, buckets=BUCKETS)
    layer(IDS)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def test_each_different_ngram_counts_once(layer):
    weights = layer.ratios.numpy() * layer.factors.numpy()
    expected = np.tile(layer.bias, [4, 1])
    for row, logits in zip(IDS, expected, strict=True):
        found = [bucket_of(ngram) for ngram in ngrams_of(row, 3)]
        if found:
            logits += weights[found].sum(axis=0) / np.sqrt(len(found))
    np.testing.assert_allclose(layer(IDS), expected, atol=1e-5)


def test_neither_padding_nor_other_rows_change_the_logits(layer):
    for row, logits in zip(IDS, layer(IDS), strict=True):
        alone = np.pad(row[row > 0], [0, 4])[None]
        np.testing.assert_allclose(layer(alone)[0], logits, atol=1e-5)


def test_the_logits_are_shared_out_to_the_tokens(layer):
    parts = layer.by_token(tf.constant(IDS)).numpy()
    np.testing.assert_allclose(parts.sum(axis=1) + layer.bias, layer(IDS), atol=1e-5)
    assert not parts[IDS <= 1].any()
    # The three n-grams of (7, 5) before an unknown token: 7, 5, and both, which share it.
    weights = layer.ratios.numpy() * layer.factors.numpy() / 2
    of_both = weights[bucket_of((7, 5))] / 2
    expected = [weights[bucket_of((7,))] + of_both, weights[bucket_of((5,))] + of_both]
    np.testing.assert_allclose(parts[1, :2], expected, atol=1e-6)


def test_a_start_without_factors_says_nothing(layer, rng):
    layer.factors.assign(tf.zeros_like(layer.factors))
    layer.start(rng.integers(0, 5, size=[BUCKETS, 3]), texts=np.array([5, 6, 7]))
    np.testing.assert_allclose(layer(IDS), np.tile(layer.bias, [4, 1]))
