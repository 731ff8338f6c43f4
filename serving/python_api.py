"""Loads a SavedModel through TensorFlow's Python package, whose loader keeps the memory of each model for ever."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..common.quiet_start import import_tensorflow
from .c_api import SignatureDef, TensorFlowError, TensorInfo


class PythonSession:
    """A SavedModel with the attributes and methods of `SavedModelSession`."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # Late, since it takes seconds.
        import_tensorflow()
        import tensorflow as tf

        self._tf = tf
        # Kept, since the signatures alone do not keep the variables alive.
        self._loaded = tf.saved_model.load(os.fspath(directory))
        self.signatures = {
            name: SignatureDef(
                _infos(function.structured_input_signature[1]), _infos(function.structured_outputs)
            )
            for name, function in self._loaded.signatures.items()
        }

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature with all its inputs, in its dtypes.

        Raises:
            ValueError: If the session is closed, or an input does not fit.
            TensorFlowError: If the call fails in TensorFlow.
        """
        if self._loaded is None:
            raise ValueError("The model is closed; load it again.")
        tensors = {name: self._tf.constant(value) for name, value in inputs.items()}
        try:
            outputs = self._loaded.signatures[signature](**tensors)
        except self._tf.errors.OpError as error:
            raise TensorFlowError(error.message, error.error_code) from error
        return {name: value.numpy() for name, value in outputs.items()}

    def close(self) -> None:
        """Ends the use of the model. TensorFlow keeps its memory."""
        self._loaded = None


def _infos(specs: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(spec.name, np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape))
        for name, spec in specs.items()
    }
