"""How good captions are, measured as the COCO captioning challenge does (Chen et al., 2015,
https://arxiv.org/abs/1504.00325), and how much they differ."""

import itertools
from collections.abc import Sequence

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from .data import words


def agreement(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """BLEU-1 to BLEU-4, CIDEr-D and ROUGE-L, all times 100.

    Everything is compared in lower case and without punctuation. CIDEr-D takes from the references how rare an n-gram
    is; so its value belongs to the whole of a set of images, and is 0 for one image.

    Args:
        captions: one of each image.
        references: at least one of each image.
    """
    given = {number: [" ".join(words(caption))] for number, caption in enumerate(captions)}
    wanted = {
        number: [" ".join(words(reference)) for reference in several]
        for number, several in enumerate(references)
    }
    bleu, _ = Bleu(4).compute_score(wanted, given, verbose=0)
    cider, _ = Cider().compute_score(wanted, given)
    rouge_l, _ = Rouge().compute_score(wanted, given)
    found = {f"bleu_{n}": value for n, value in enumerate(bleu, start=1)} | {
        "cider": cider,
        "rouge_l": rouge_l,
    }
    return {name: 100 * float(value) for name, value in found.items()}


def diversity(captions: Sequence[str]) -> dict[str, float]:
    """How much captions differ from each other.

    Returns:
        The number of different words, and the shares of the captions, and of the pairs of neighbouring words, that are
        different.
    """
    texts = [tuple(words(caption)) for caption in captions]
    pairs = [pair for text in texts for pair in itertools.pairwise(text)]
    return {
        "words": len({word for text in texts for word in text}),
        "captions": len(set(texts)) / max(1, len(texts)),
        "word_pairs": len(set(pairs)) / max(1, len(pairs)),
    }
