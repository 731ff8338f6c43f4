"""BLEU, CIDEr-D and ROUGE-L of the COCO captioning challenge (Chen et al., 2015,
https://arxiv.org/abs/1504.00325).

Each function takes one caption per image and the references of each image, at least one; a text is a list of words.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Words = Sequence[str]
Ngram = tuple[str, ...]

_LARGEST = 4
# The challenge's BLEU adds both to avoid a division by zero and the logarithm of zero.
_TINY, _SMALL = 1e-15, 1e-9
# CIDEr-D: standard deviation of the penalty for a difference in length, and the scale of the score.
_SIGMA, _SCALE = 6.0, 10.0
# ROUGE-L: recall counts this many times as much as precision.
_BETA = 1.2


def bleu(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Returns the corpus BLEU-1 to BLEU-4 (Papineni et al., 2002), from 0 to 1.

    The brevity penalty compares each caption with the reference of the closest length, the shorter one in a tie.
    """
    length = reference_length = 0
    matched, written = [0] * _LARGEST, [0] * _LARGEST
    for caption, several in zip(captions, references, strict=True):
        length += len(caption)
        reference_length += min((abs(len(one) - len(caption)), len(one)) for one in several)[1]
        most: Counter[Ngram] = Counter()
        for one in several:
            most |= _ngram_counts(one)
        for ngram, count in _ngram_counts(caption).items():
            matched[len(ngram) - 1] += min(count, most[ngram])
            written[len(ngram) - 1] += count
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    precisions = [(m + _TINY) / (w + _SMALL) for m, w in zip(matched, written, strict=True)]
    products = itertools.accumulate(precisions, lambda product, precision: product * precision)
    return [brevity * product ** (1 / n) for n, product in enumerate(products, start=1)]


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """Returns CIDEr-D (Vedantam et al., 2015), from 0 to 10: the mean over all images.

    N-grams are weighed by how rare they are in the references of all images; for a single image the score is 0.
    """
    weights = _RarityWeights(references)
    scores = []
    for caption, several in zip(captions, references, strict=True):
        vector = weights.vector(caption)
        similarities = [_similarity(vector, weights.vector(one)) for one in several]
        scores.append(_SCALE * _mean(similarities))
    return _mean(scores)


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """Returns ROUGE-L (Lin, 2004), from 0 to 1: the mean over all images.

    Precision and recall are each the best over the references.
    """
    scores = []
    for caption, several in zip(captions, references, strict=True):
        # The challenge counts an empty text as one empty word.
        caption = caption or [""]
        common = [(_longest_common_subsequence(caption, one or [""]), len(one or [""])) for one in several]
        precision = max(length for length, _ in common) / len(caption)
        recall = max(length / total for length, total in common)
        scores.append(
            (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision) if precision else 0.0
        )
    return _mean(scores)


class _Vector(NamedTuple):
    """A text in the representation of CIDEr-D.

    Attributes:
        weights: Weights of its n-grams, a dictionary for each n.
        norms: Euclidean norm of each dictionary.
        bigrams: Number of bigrams, the length in CIDEr-D.
    """

    weights: list[dict[Ngram, float]]
    norms: list[float]
    bigrams: int


class _RarityWeights:
    """TF-IDF weights of n-grams; a document is all references of one image."""

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        self._log_documents = math.log(len(references)) if references else 0.0
        self._document_counts: Counter[Ngram] = Counter()
        for several in references:
            self._document_counts.update(set().union(*(_ngram_counts(one) for one in several)))

    def vector(self, words: Words) -> _Vector:
        weights: list[dict[Ngram, float]] = [{} for _ in range(_LARGEST)]
        for ngram, count in _ngram_counts(words).items():
            rarity = self._log_documents - math.log(max(1, self._document_counts[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
        norms = [math.sqrt(sum(weight**2 for weight in some.values())) for some in weights]
        return _Vector(weights, norms, max(0, len(words) - 1))


def _similarity(caption: _Vector, reference: _Vector) -> float:
    """Returns the mean over n of the clipped cosine, times the penalty for a difference in length."""
    penalty = math.exp(-((caption.bigrams - reference.bigrams) ** 2) / (2 * _SIGMA**2))
    cosines = []
    for n in range(_LARGEST):
        there = reference.weights[n]
        product = sum(
            min(weight, there.get(g, 0.0)) * there.get(g, 0.0) for g, weight in caption.weights[n].items()
        )
        norm = caption.norms[n] * reference.norms[n]
        cosines.append(product / norm if norm else 0.0)
    return penalty * _mean(cosines)


def _ngram_counts(words: Words) -> Counter[Ngram]:
    """Returns the number of occurrences of each n-gram of one to four words."""
    return Counter(
        tuple(words[start : start + n]) for n in range(1, _LARGEST + 1) for start in range(len(words) - n + 1)
    )


def _longest_common_subsequence(first: Words, second: Words) -> int:
    """Returns the number of words in the longest sequence that both texts hold in this order."""
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for position, other in enumerate(second, start=1):
            above = lengths[position]
            lengths[position] = diagonal + 1 if word == other else max(above, lengths[position - 1])
            diagonal = above
    return lengths[-1]


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else 0.0
