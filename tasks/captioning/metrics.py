"""Agreement of captions with references, and their variety."""

import itertools
from collections.abc import Sequence

from .coco_metrics import bleu, cider_d, rouge_l
from .words import words


def agreement(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns BLEU-1 to BLEU-4, CIDEr-D and ROUGE-L, all times 100.

    All texts are compared in lower case and without punctuation. CIDEr-D learns from the references how rare an n-gram
    is, so its value belongs to the whole set of images, and is 0 for one image.

    Args:
        captions: One caption per image.
        references: At least one reference per image.
    """
    given = [words(caption) for caption in captions]
    wanted = [[words(reference) for reference in several] for several in references]
    found = {f"bleu_{n}": value for n, value in enumerate(bleu(given, wanted), start=1)}
    found |= {"cider": cider_d(given, wanted), "rouge_l": rouge_l(given, wanted)}
    return {name: 100 * value for name, value in found.items()}


def diversity(captions: Sequence[str]) -> dict[str, float]:
    """Returns the number of different words, and the shares of captions and of word pairs that are different."""
    texts = [tuple(words(caption)) for caption in captions]
    pairs = [pair for text in texts for pair in itertools.pairwise(text)]
    return {
        "words": len({word for text in texts for word in text}),
        "captions": len(set(texts)) / max(1, len(texts)),
        "word_pairs": len(set(pairs)) / max(1, len(pairs)),
    }
