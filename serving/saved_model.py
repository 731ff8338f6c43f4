"""A SavedModel in this process."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import UserError, first_line
from ..common.quiet_start import import_tensorflow
from .versions import check_files


class SavedModel:
    """A SavedModel, loaded by TensorFlow's Python loader.

    Args:
        directory: The version directory.

    Raises:
        UserError: If a file is missing or damaged.
    """

    def __init__(self, directory: Path) -> None:
        check_files(directory)
        # Late, since it takes seconds, and the command line answers `--help` without it.
        import_tensorflow()
        import tensorflow as tf

        self.directory = directory
        # Kept, since the signatures alone do not keep the variables alive.
        try:
            self._loaded = tf.saved_model.load(os.fspath(directory))
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise
        # TensorFlow raises anything for a file that it does not understand.
        except Exception as error:
            raise UserError(
                f"{directory} cannot be loaded ({first_line(error)}); export the model again."
            ) from error
        self._constant = tf.constant

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature: see `Backend`."""
        signatures = self._loaded.signatures
        if signature not in signatures:
            raise UserError(
                f"The model has no signature {signature!r}; choose one of {', '.join(sorted(signatures))}."
            )
        function = signatures[signature]
        dtypes = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
        if inputs.keys() != dtypes.keys():
            raise UserError(
                f"The signature {signature!r} takes the inputs {', '.join(sorted(dtypes))}, but was given "
                f"{', '.join(sorted(inputs)) or 'none'}."
            )
        outputs = function(**{name: self._constant(value, dtypes[name]) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
