"""Film and product reviews for sentiment analysis, generated without a download."""

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from . import review_grammar

_DESCRIPTION = """
Reviews of films and household goods, written by a grammar and labelled negative or positive. The label always
follows from the text, but praise and blame are often negated, outweighed by a later clause, or attributed to
somebody else, and the deciding word may be far from either end of the review. No sentence occurs in more than
one split.
"""


class UnrollReviews(tfds.core.GeneratorBasedBuilder):
    """Builds the dataset `unroll_reviews`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    SPLIT_SIZES: ClassVar[dict[str, int]] = {"train": 8_000, "validation": 1_000, "test": 1_000}

    # tfds would search for this file, which fails in a namespace package installed in editable mode.
    code_path = tfds.core.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["negative", "positive"]),
                }
            ),
            supervised_keys=("text", "label"),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        return {split: self._generate_examples(split) for split in self.SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        reviews = review_grammar.generate_reviews(split, self.SPLIT_SIZES[split])
        for key, review in enumerate(reviews):
            yield key, {"text": review.text, "label": int(review.positive)}
