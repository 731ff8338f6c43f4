"""Compares the contributions of words in a sentiment model's `explain` with the effect of deleting the words.

    python benchmarks/explanations.py --model=exports/imdb --data=DIRECTORY [--texts=50]

The texts are the first of the column `text` in DIRECTORY/test.tsv.gz that have at most 150 words. Printed are the means
over the texts of the correlations between the contribution of each word and the log odds that the label loses without
it, by value and by rank; and how often both name the same word as the strongest.
"""

import csv
import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from absl import app, flags

import unroll.serving

_MODEL = flags.DEFINE_string("model", None, "directory of the exported model", required=True)
_DATA = flags.DEFINE_string("data", None, "directory of test.tsv.gz", required=True)
_TEXTS = flags.DEFINE_integer("texts", 50, "number of texts")
_LONGEST = 150


def short_texts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if len(row["text"].split()) <= _LONGEST:
                yield row["text"]


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values))


def main(_: list[str]) -> None:
    model = unroll.serving.load(_MODEL.value)

    def log_odds(texts: list[str], label: str) -> np.ndarray:
        probabilities = [result.probabilities for result in model.classify(texts)]
        own = np.array([each[label] for each in probabilities])
        others = np.array([sum(each.values()) - each[label] for each in probabilities])
        return np.log(np.maximum(own, 1e-12)) - np.log(np.maximum(others, 1e-12))

    figures = []
    for text in islice(short_texts(Path(_DATA.value) / "test.tsv.gz"), _TEXTS.value):
        (result,) = model.explain([text])
        words, contributions = result.tokens, np.array(result.contributions)
        shortened = [" ".join(words[:position] + words[position + 1 :]) for position in range(len(words))]
        whole, *without = log_odds([" ".join(words), *shortened], result.label)
        lost = whole - np.array(without)
        figures.append(
            [
                np.corrcoef(contributions, lost)[0, 1],
                np.corrcoef(ranks(contributions), ranks(lost))[0, 1],
                np.argmax(np.abs(contributions)) == np.argmax(np.abs(lost)),
            ]
        )
    by_value, by_rank, same = np.mean(figures, axis=0)
    print(f"{len(figures)} texts: correlation {by_value:.2f}, by rank {by_rank:.2f}; same word {same:.0%}")


if __name__ == "__main__":
    app.run(main)
