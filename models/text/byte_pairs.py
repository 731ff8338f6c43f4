"""Byte-pair encoding (Sennrich et al., 2016, https://arxiv.org/abs/1508.07909)."""

from collections import Counter
from collections.abc import Iterator, Mapping

# Maximum characters of a subword: longer ones are names and numbers, and every step of the encoder would try them.
_LONGEST = 16
# Repetitions of a word in one line of the training text.
_REPETITIONS = 1000


def byte_pairs(words: Mapping[str, int], size: int | None, min_count: int) -> list[str]:
    """Returns all characters, followed by the merges in their order.

    Args:
        words: Occurrences of each word.
        size: Maximum number of subwords; None for all.
        min_count: Minimum occurrences of a character or a merged pair.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    characters = [c for c, count in _characters(words).items() if count >= min_count]
    # Each merge makes a pair in some word one piece less. The library takes memory for as many as it is asked for.
    most = len(characters) + sum(map(len, words))
    trainer = trainers.BpeTrainer(
        vocab_size=most if size is None else min(size, most),
        min_frequency=max(2, min_count),
        initial_alphabet=sorted(characters),
        limit_alphabet=len(characters),
        max_token_length=_LONGEST,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lines(words), trainer)
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _characters(words: Mapping[str, int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts


def _lines(words: Mapping[str, int]) -> Iterator[str]:
    """Yields text that contains each word as often as counted, in lines of bounded length."""
    for word, count in sorted(words.items()):
        for first in range(0, count, _REPETITIONS):
            yield " ".join([word] * min(_REPETITIONS, count - first))
