"""Interpolated Kneser-Ney n-grams, the classical language model to compare a network with."""

from collections.abc import Iterable

import numpy as np

from ...models.text import BOUNDARY


class KneserNey:
    """Interpolated Kneser-Ney smoothing (Kneser and Ney, 1995; Chen and Goodman, 1999).

    With h a context of n - 1 ids, h' the same without its first, and D the discount of the order,

        P_n(w | h) = (max(c(h w) - D, 0) + D * N(h) * P_{n-1}(w | h')) / c(h)

    N(h) is the number of different ids that follow h. c counts occurrences in the highest order, and the number of
    different preceding ids below it. P_0 is uniform. The discount is n_1 / (n_1 + 2 n_2), where n_i is the number of
    n-grams with count i.

    The rank of (its first id, the rank of the rest) identifies an n-gram among those of its order, so the table is a
    few sorted arrays for any number of ids and any order.

    Args:
        order: n of the longest n-grams, at least 1.
        vocabulary_size: Number of ids.
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        self.order = order
        self.vocabulary_size = vocabulary_size
        # For each order from 1 on: the sorted keys of all n-grams, including contexts; each n-gram's discounted count,
        # at least 0; and for each n-gram as the context of the next order, c(h) and D * N(h).
        self._keys: list[np.ndarray] = []
        self._discounted: list[np.ndarray] = []
        self._context_counts: list[np.ndarray] = []
        self._backoff_mass: list[np.ndarray] = []

    @classmethod
    def learn(
        cls, documents: Iterable[Iterable[np.ndarray]], order: int, vocabulary_size: int
    ) -> "KneserNey":
        """Learns a table from documents, which it holds in memory.

        Args:
            documents: Documents, each as pieces of ids without boundaries; their ends are also predicted.
            order, vocabulary_size: As for the class.
        """
        table = cls(order, vocabulary_size)
        padded = [table._padded(document) for document in documents]
        ids = np.concatenate([document for document, _ in padded])
        predicted = np.concatenate([mask for _, mask in padded])
        # The rank of the n-gram that ends at each position, or none before the first.
        ranks, before = ids, np.zeros(len(ids), np.int64)
        shorter: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        contexts: list[np.ndarray] = []
        for n in range(1, order + 1):
            keys = ids if n == 1 else table._keys_of(ids, ranks, n)
            suffixes = ranks
            table._keys.append(np.unique(keys))
            ranks = np.searchsorted(table._keys[-1], keys)
            size = len(table._keys[-1])
            counts.append(np.bincount(ranks[predicted], minlength=size))
            # The context and the suffix of each n-gram, the same at all its positions.
            contexts.append(_of_each(ranks, before, size))
            shorter.append(_of_each(ranks, suffixes, size))
            before = np.concatenate([[0], ranks[:-1]])
        for n in range(order - 1, 0, -1):
            # The number of different ids that precede each predicted n-gram.
            occurs = counts[n] > 0
            counts[n - 1] = np.bincount(shorter[n][occurs], minlength=len(table._keys[n - 1]))
        for n in range(1, order + 1):
            size = len(table._keys[n - 2]) if n > 1 else 1
            table._add(counts[n - 1], contexts[n - 1], size)
        return table

    @property
    def size(self) -> int:
        """Number of n-grams of all orders with a stored count."""
        return sum(int((discounted >= 0).sum()) for discounted in self._discounted)

    def probabilities(self, document: Iterable[np.ndarray]) -> np.ndarray:
        """Returns P(id | preceding ids) of each id of a document and of its end, float64 [ids + 1]."""
        ids, predicted = self._padded(document)
        probability = np.full(len(ids), 1 / self.vocabulary_size)
        ranks, before = ids, np.zeros(len(ids), np.int64)
        for n in range(1, self.order + 1):
            keys = ids if n == 1 else self._keys_of(ids, ranks, n)
            ranks = np.where(ranks < 0, -1, _find(self._keys[n - 1], keys))
            known = before >= 0
            context = np.maximum(before, 0)
            total = self._context_counts[n - 1][context]
            discounted = np.where(ranks >= 0, np.maximum(self._discounted[n - 1][np.maximum(ranks, 0)], 0), 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                here = (discounted + self._backoff_mass[n - 1][context] * probability) / total
            probability = np.where(known & (total > 0), here, probability)
            before = np.concatenate([[-1], ranks[:-1]])
        return probability[predicted]

    def _padded(self, document: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids between boundaries, and a mask of the predicted ones: all but the boundaries in front."""
        ids = np.concatenate([np.zeros(0, np.int64), *document])
        front = max(1, self.order - 1)
        padded = np.concatenate([np.full(front, BOUNDARY), ids, [BOUNDARY]]).astype(np.int64)
        return padded, np.arange(len(padded)) >= front

    def _keys_of(self, ids: np.ndarray, ranks: np.ndarray, n: int) -> np.ndarray:
        """Returns the key of the n-gram that ends at each position: its first id, and the rank of the rest."""
        first = np.concatenate([np.full(n - 1, BOUNDARY), ids[: 1 - n]])
        return first * len(self._keys[n - 2]) + ranks

    def _add(self, counts: np.ndarray, contexts: np.ndarray, size: int) -> None:
        """Discounts the counts of an order."""
        ones, twos = (counts == 1).sum(), (counts == 2).sum()
        discount = ones / (ones + 2 * twos) if ones else 0.5
        occurs = counts > 0
        followers = np.bincount(contexts[occurs], minlength=size)
        self._context_counts.append(np.bincount(contexts, weights=counts, minlength=size))
        self._discounted.append(np.where(occurs, counts - discount, -1.0))
        self._backoff_mass.append(discount * followers)


def _of_each(ranks: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    found = np.zeros(size, np.int64)
    found[ranks] = values
    return found


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns the index of each wanted key, or -1."""
    indices = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[indices] == wanted, indices, -1)
