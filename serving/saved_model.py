"""A SavedModel in this process."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..common.quiet_start import import_tensorflow


class SavedModel:
    """A SavedModel, loaded by TensorFlow's Python loader.

    Args:
        directory: The version directory.
    """

    def __init__(self, directory: Path) -> None:
        # Late, since it takes seconds, and the command line answers `--help` without it.
        import_tensorflow()
        import tensorflow as tf

        self.directory = directory
        # Kept, since the signatures alone do not keep the variables alive.
        self._loaded = tf.saved_model.load(os.fspath(directory))
        self._constant = tf.constant

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature: see `Backend`."""
        function = self._loaded.signatures[signature]
        dtypes = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
        outputs = function(**{name: self._constant(value, dtypes[name]) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
