"""Checkpoints, from which a killed run resumes exactly."""

import dataclasses
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf

from ...common.checksums import seal, verify
from ...common.errors import UserError, first_line
from ...common.files import read_json, replacing, write_json
from .progress import Progress

# The newest checkpoint, and one more in case the newest is damaged.
_KEPT = 2
_PROGRESS = "progress.json"
_ADVICE = "the one before it is used"
# Errors of a damaged checkpoint; TensorFlow's readers turn some of theirs into Python's own.
_DAMAGE = (OSError, ValueError, TypeError, LookupError, RuntimeError, AssertionError, tf.errors.OpError)


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """Returns the weights and random seeds of a model, as checkpoints hold them: of these TensorFlow finds by itself
    neither the seeds nor what stands in lists."""
    return list(model.variables)


class Checkpoints:
    """Complete checkpoints in a directory, one folder each, named by step.

    Args:
        directory: Directory of the checkpoints, which need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __bool__(self) -> bool:
        """Whether a checkpoint exists."""
        return bool(self._complete())

    def save(self, tensors: tf.train.Checkpoint, progress: Progress) -> None:
        """Saves everything, then removes all but the newest checkpoints."""
        with replacing(self._directory / f"step-{progress.step:09d}-epoch-{progress.epoch:05d}") as folder:
            folder.mkdir()
            tensors.write(os.fspath(folder / "tensors"))
            write_json(folder / _PROGRESS, dataclasses.asdict(progress))
            seal(folder)
        for old in self._complete()[:-_KEPT]:
            shutil.rmtree(old)

    def restore(self, build: Any) -> tuple[Any, Progress]:
        """Restores the newest checkpoint that can be read.

        Args:
            build: A function from a `Progress` to an object whose attribute `tensors` is the `tf.train.Checkpoint` to
                restore into; called again for each checkpoint tried.

        Returns:
            The object and its progress; a new `Progress` if no checkpoint exists.

        Raises:
            UserError: If no checkpoint can be read.
        """
        found = self._complete()
        for folder in reversed(found):
            try:
                verify(folder, advice=_ADVICE)
                progress = Progress(**read_json(folder / _PROGRESS, _ADVICE))
            except _DAMAGE as error:
                _warn(folder, error)
                continue
            built = build(progress)
            try:
                status = built.tensors.read(os.fspath(folder / "tensors"))
                # `load` restores a part of a checkpoint; the rest needs no warning.
                status.assert_existing_objects_matched().expect_partial()
                return built, progress
            except _DAMAGE as error:
                _warn(folder, error)
        if found:
            raise UserError(
                f"No checkpoint in {self._directory} can be read; train again with another --workdir."
            )
        progress = Progress()
        return build(progress), progress

    def load(self, tensors: tf.train.Checkpoint) -> Progress | None:
        """Restores some of the tensors of the newest checkpoint that can be read.

        Args:
            tensors: A part of the saved checkpoint, under the same names.

        Returns:
            The progress that was saved with them; None if no checkpoint exists.

        Raises:
            UserError: If no checkpoint can be read.
        """
        return self.restore(lambda _: SimpleNamespace(tensors=tensors))[1] if self._complete() else None

    def _complete(self) -> list[Path]:
        return sorted(self._directory.glob("step-*"))


def _warn(folder: Path, error: Exception) -> None:
    print(f"The checkpoint {folder} is damaged ({first_line(error)}) and passed over.", file=sys.stderr)
