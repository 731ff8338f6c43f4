"""English sentences with their German translations, generated without a download."""

from collections.abc import Iterator
from typing import ClassVar

import tensorflow_datasets as tfds

from . import translation_grammar

_DESCRIPTION = """
English sentences and their translations into German, written by a synchronous grammar. Each sentence has only one
translation, which needs agreement in gender, case and number, and moves verbs and their parts, objects and adverbs over
distance. Every sentence of the validation and test splits has a combination of words, such as a verb with an object,
that the training split lacks; every word form is frequent there.
"""


class UnrollTranslation(tfds.core.GeneratorBasedBuilder):
    """Builds the dataset `unroll_translation`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    SPLIT_SIZES: ClassVar[dict[str, int]] = {"train": 20_000, "validation": 1_000, "test": 1_000}

    # tfds would search for this file, which fails in a namespace package installed in editable mode.
    code_path = tfds.core.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.Translation(languages=("en", "de")),
            supervised_keys=("en", "de"),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, str]]]]:
        del dl_manager
        return {split: self._generate_examples(split) for split in self.SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, str]]]:
        pairs = translation_grammar.generate_pairs(split, self.SPLIT_SIZES[split])
        for key, pair in enumerate(pairs):
            yield key, {"en": pair.english, "de": pair.german}
