"""The table of n-grams against a plain implementation of the same definition."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from unroll.models.text import BOUNDARY
from unroll.tasks.language_modeling.kneser_ney import KneserNey

SIZE = 7


class Plain:
    """Interpolated Kneser-Ney by its definition, with dictionaries of tuples."""

    def __init__(self, documents, order, size):
        self.order, self.size = order, size
        self.counts = {order: Counter()}
        for document in documents:
            padded = self.padded(document)
            for position in range(self.front, len(padded)):
                self.counts[order][tuple(padded[position - order + 1 : position + 1])] += 1
        for n in range(order - 1, 0, -1):
            in_front = defaultdict(set)
            for gram in self.counts[n + 1]:
                in_front[gram[1:]].add(gram[0])
            self.counts[n] = Counter({gram: len(ids) for gram, ids in in_front.items()})

    @property
    def front(self):
        return max(1, self.order - 1)

    def padded(self, document):
        return [BOUNDARY] * self.front + list(document) + [BOUNDARY]

    def probability(self, context, last, n=None):
        """P(last | context), of the order n; the highest without it."""
        n = self.order if n is None else n
        if n == 0:
            return 1 / self.size
        context = tuple(context)[len(context) - (n - 1) :]
        shorter = self.probability(context[1:], last, n - 1)
        followers = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        if not followers:
            return shorter
        counts = list(self.counts[n].values())
        ones, twos = counts.count(1), counts.count(2)
        discount = ones / (ones + 2 * twos) if ones else 0.5
        own = max(followers.get(last, 0) - discount, 0)
        return (own + discount * len(followers) * shorter) / sum(followers.values())

    def probabilities(self, document):
        padded = self.padded(document)
        return [
            self.probability(padded[position - self.front : position], padded[position])
            for position in range(self.front, len(padded))
        ]


def learn(documents, order, size=SIZE):
    return KneserNey.learn([[np.array(d, np.int32)] for d in documents], order, size)


def probabilities(table, document):
    return table.probabilities([np.array(document, np.int32)])


def next_distribution(table, context):
    """P(id | the start of a document), of each id."""
    return [probabilities(table, [*context, number])[len(context)] for number in range(table.vocabulary_size)]


def random_documents(rng, number, longest=40, ids=(1, 2, 3, 4)):
    """Documents in which some ids follow others more often than by chance."""
    documents = []
    for _ in range(number):
        document = [int(rng.choice(ids))]
        while len(document) < rng.integers(1, longest):
            document.append(document[-1] if rng.random() < 0.4 else int(rng.choice(ids)))
        documents.append(document)
    return documents


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equals_a_plain_implementation(order, number, rng):
    documents = random_documents(rng, number)
    table, plain = learn(documents, order), Plain(documents, order, SIZE)
    # After a boundary within a document nothing was ever counted.
    unseen = random_documents(rng, 5, ids=(BOUNDARY, 1, 2, 3, 4, 5, 6))
    assert any(BOUNDARY in document for document in unseen)
    for document in [*documents, *unseen, []]:
        ours = probabilities(table, document)
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, plain.probabilities(document), rtol=1e-12, equal_nan=False)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "documents",
    [[[1]], [[]], [[], [1], []], [[1, 1, 1, 1]], [[1, 2], [1, 2], [1, 2]], [[1, 2, 1, 2, 1, 2, 1, 2, 1]]],
)
def test_equals_a_plain_implementation_of_very_small_texts(documents, order):
    table, plain = learn(documents, order), Plain(documents, order, SIZE)
    for document in [*documents, [1, 2, 3], [3, 3, 1, 2]]:
        np.testing.assert_allclose(
            probabilities(table, document), plain.probabilities(document), rtol=1e-12, equal_nan=False
        )


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_of_all_ids_sum_to_1_after_any_context(order, rng):
    documents = random_documents(rng, 4)
    table = learn(documents, order)
    contexts = [
        [],
        documents[0],
        documents[0][:2],
        [*documents[0], BOUNDARY],
        [6, 6, 6],
        [1, 6],
        [6, 1],
        [5, 1, 2, 3],
        [1, 1, 1, 1],
    ]
    for context in contexts:
        distribution = next_distribution(table, context)
        assert min(distribution) > 0
        assert math.isclose(sum(distribution), 1, rel_tol=1e-9)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_a_context_never_seen_is_as_good_as_a_shorter_one(order, rng):
    documents = random_documents(rng, 3)
    table = learn(documents, order)
    # 6 occurs nowhere, so nothing is known about its successors.
    assert (
        next_distribution(table, [6]) == next_distribution(table, [5, 6]) == next_distribution(table, [1, 6])
    )
    plain = Plain(documents, order, SIZE)
    expected = [plain.probability([], number, 1) for number in range(SIZE)]
    np.testing.assert_allclose(next_distribution(table, [6]), expected, rtol=1e-12)
    # All that the unigrams leave over is shared by the ids that do not occur.
    assert len({next_distribution(table, [6])[number] for number in (5, 6)}) == 1


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_documents_are_counted_apart_from_each_other(order, rng):
    documents = random_documents(rng, 5)
    tables = [learn(some, order) for some in (documents, documents[::-1], documents[2:] + documents[:2])]
    for document in random_documents(rng, 3, ids=(0, 1, 2, 3, 4)):
        first, *others = [probabilities(table, document) for table in tables]
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-12, equal_nan=False)
    assert len({table.size for table in tables}) == 1


def test_the_end_of_a_document_says_nothing_of_the_next():
    # Were they one text, 3 would follow 2.
    table = learn([[1, 2], [3, 4]] * 3, 3)
    assert probabilities(table, [1, 2])[-1] > 5 * probabilities(table, [1, 2, 3])[2]
    # A document begins with 1 as often as with 3.
    start = next_distribution(table, [])
    assert start[1] == start[3] > 2 * start[2]


def test_what_was_seen_often_is_likely():
    table = learn([[1, 2, 3, 4] * 20], 4)
    assert min(probabilities(table, [1, 2, 3, 4] * 20)[4:-1]) > 0.9
    assert max(next_distribution(table, [1, 2, 3])[:4]) < 0.02


def test_a_longer_context_tells_more():
    # The successor of 1 depends on its predecessor.
    documents = [[2, 1, 3, 4, 1, 5] * 30]
    fits = [-np.log(probabilities(learn(documents, order), documents[0])).mean() for order in (1, 2, 3)]
    assert fits[0] > fits[1] + 0.5
    assert fits[1] > fits[2] + 0.1


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_size_is_the_number_of_different_ngrams(order, rng):
    documents = random_documents(rng, 3)
    plain = Plain(documents, order, SIZE)
    assert learn(documents, order).size == sum(len(counts) for counts in plain.counts.values())


def test_size_of_a_text_counted_by_hand():
    # Unigrams 1, 2 and the end; bigrams (start, 1), (1, 2), (2, 1), (2, end).
    assert learn([[1, 2, 1, 2]], 1).size == 3
    assert learn([[1, 2, 1, 2]], 2).size == 3 + 4


def test_pieces_are_one_document(rng):
    document = random_documents(rng, 1, longest=60)[0]
    pieces = [np.array(part, np.int32) for part in (document[:3], [], document[3:10], document[10:])]
    whole, in_pieces = learn([document], 3), KneserNey.learn([iter(pieces)], 3, SIZE)
    expected = probabilities(whole, document)
    np.testing.assert_array_equal(in_pieces.probabilities(iter(pieces)), expected)
    assert len(expected) == len(document) + 1


def test_a_large_vocabulary_and_a_high_order_do_not_overflow(rng):
    size = 1_114_114
    ids = (size - 1, size - 2, 1, 2)
    documents = random_documents(rng, 2, ids=ids)
    table, plain = learn(documents, 4, size), Plain(documents, 4, size)
    for document in documents:
        np.testing.assert_allclose(
            probabilities(table, document), plain.probabilities(document), rtol=1e-12, equal_nan=False
        )
