"""Pictures of coloured shapes with captions, drawn without a download."""

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from . import scene_drawing, scene_grammar

_DESCRIPTION = """
Pictures of one or two groups of coloured shapes, each with four captions by a grammar: count, size (optional), colour
and shape of the groups, and the position of one group relative to the other. Every picture of the validation and test
splits combines a colour and a shape that never occur together in the training split; every word is frequent there.
"""


class UnrollScenes(tfds.core.GeneratorBasedBuilder):
    """Builds the dataset `unroll_scenes`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    SPLIT_SIZES: ClassVar[dict[str, int]] = {"train": 4_000, "validation": 400, "test": 400}

    # tfds would search for this file, which fails in a namespace package installed in editable mode.
    code_path = tfds.core.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        side = scene_drawing.SIDE
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(side, side, 3), encoding_format="png"),
                    "captions": tfds.features.Sequence(tfds.features.Text()),
                }
            ),
            supervised_keys=("image", "captions"),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        return {split: self._generate_examples(split) for split in self.SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, scene in enumerate(scene_grammar.generate_scenes(split, self.SPLIT_SIZES[split])):
            image = scene_drawing.draw(scene, seed=f"{split} {key}")
            yield key, {"image": image, "captions": list(scene.captions)}
