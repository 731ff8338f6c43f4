"""Programs to model: the source files of the running interpreter's standard library. No download."""

import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

_DESCRIPTION = """
Python source files of the standard library of the interpreter that generated the data set; its version is the data
set's. Programs are sequences, and every machine has them. A fixed random order assigns whole files to splits.
"""
# Larger files are mostly tables.
_LARGEST_FILE = 60_000


class UnrollPython(tfds.core.GeneratorBasedBuilder):
    """Builds the dataset `unroll_python`."""

    VERSION = tfds.core.Version(".".join(map(str, sys.version_info[:3])))
    # Characters in each split; its last file may exceed them.
    SPLIT_SIZES: ClassVar[dict[str, int]] = {"test": 100_000, "validation": 50_000, "train": 1_500_000}

    # tfds would search for this file, which fails in a namespace package installed in editable mode.
    code_path = tfds.core.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"name": tfds.features.Text(), "text": tfds.features.Text()}),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        files = source_files(Path(sysconfig.get_path("stdlib")))
        # The splits share one stream of files, and each takes as many as it needs.
        return {split: self._generate_examples(files, size) for split, size in self.SPLIT_SIZES.items()}

    def _generate_examples(
        self, files: Iterator[tuple[str, str]], size: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields files until they have `size` characters in all."""
        characters, key = 0, 0
        while characters < size and (file := next(files, None)) is not None:
            name, text = file
            yield key, {"name": name, "text": text}
            characters += len(text)
            key += 1


def source_files(library: Path) -> Iterator[tuple[str, str]]:
    """Yields name and text of the modules and packages of a standard library, in a fixed random order.

    Leaves out tests, installed packages, and files that are not UTF-8, very long or empty.
    """
    paths = [
        path
        for path in sorted(library.rglob("*.py"))
        if not {"test", "tests", "site-packages", "dist-packages", "idlelib"}
        & set(path.relative_to(library).parts)
    ]
    random.Random(0).shuffle(paths)
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if text.strip() and len(text) <= _LARGEST_FILE:
            yield path.relative_to(library).as_posix(), text
