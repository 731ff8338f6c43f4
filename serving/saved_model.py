"""A SavedModel in this process."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..common.errors import UserError, first_line
from ..common.quiet_start import quiet_start
from . import c_api
from .c_api import WITHOUT_OPTIMIZER, SavedModelSession, SignatureDef, TensorFlowError, TensorInfo
from .model import SignatureSpec, TensorSpec
from .python_api import PythonSession
from .versions import check_files


class Session(Protocol):
    """A loaded SavedModel: `SavedModelSession` or `PythonSession`."""

    signatures: dict[str, SignatureDef]

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    def close(self) -> None: ...


def open_session(directory: Path) -> Session:
    """Loads a SavedModel through TensorFlow's C API: in half the time of its Python package, in less memory, and all
    memory comes back. The Python package takes its place where it comes without the C API, as on Windows."""
    if c_api.find_library() is None:
        return PythonSession(directory)
    with nullcontext() if c_api.is_loaded() else quiet_start():
        return SavedModelSession(directory, WITHOUT_OPTIMIZER)


def specs_of(session: Session) -> dict[str, SignatureSpec]:
    """Returns the signatures of a loaded SavedModel by name."""
    return {
        name: SignatureSpec(_specs(signature.inputs), _specs(signature.outputs))
        for name, signature in session.signatures.items()
    }


class SavedModel:
    """A SavedModel, loaded in this process. Threads may share it; a pickle of it loads the directory again.

    Args:
        directory: The version directory.
        load: Loads it.

    Raises:
        UserError: If a file is missing or damaged, or the process was forked after another model was loaded.
    """

    def __init__(self, directory: Path, load: Callable[[Path], Session] = open_session) -> None:
        check_files(directory)
        self.directory = Path(directory).absolute()
        self._load = load
        _refuse_forked_process()
        try:
            self._session = load(self.directory)
        except MemoryError:
            raise
        # TensorFlow raises anything for a file that it does not understand.
        except Exception as error:
            if getattr(error, "code", None) == c_api.RESOURCE_EXHAUSTED:
                raise MemoryError(str(error)) from error
            raise UserError(
                f"{directory} cannot be loaded ({first_line(error)}); export the model again."
            ) from error

    @property
    def signatures(self) -> dict[str, SignatureSpec]:
        """The signatures by name."""
        return specs_of(self._session)

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature: see `Backend`.

        Raises:
            UserError: If the signature or an input is wrong, the model is closed, or the process was forked after it
                was loaded.
        """
        _refuse_forked_process()
        signatures = self._session.signatures
        if signature not in signatures:
            raise UserError(
                f"The model has no signature {signature!r}; choose one of {', '.join(sorted(signatures))}."
            )
        specs = signatures[signature].inputs
        if inputs.keys() != specs.keys():
            raise UserError(
                f"The signature {signature!r} takes the inputs {', '.join(sorted(specs))}, but was given "
                f"{', '.join(sorted(inputs)) or 'none'}."
            )
        arrays = {
            name: _array(inputs[name], spec.dtype, f"The input {name!r} of {signature!r}")
            for name, spec in specs.items()
        }
        try:
            return self._session.run(signature, arrays)
        except TensorFlowError as error:
            if error.code == c_api.INVALID_ARGUMENT:
                raise UserError(first_sentence(str(error))) from error
            if error.code == c_api.RESOURCE_EXHAUSTED:
                raise MemoryError(str(error)) from error
            raise
        except ValueError as error:
            raise UserError(str(error)) from error

    def close(self) -> None:
        """Gives the memory back, once calls in other threads have ended. Closing again does nothing."""
        self._session.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return SavedModel, (self.directory, self._load)


# The process that has loaded a model first: TensorFlow's threads are in this process alone.
_process: int | None = None


def _refuse_forked_process() -> None:
    """Raises UserError in a process that was forked after a model was loaded, where each call would wait for ever."""
    global _process
    if _process is None:
        _process = os.getpid()
    if _process != os.getpid():
        raise UserError(
            "This process was forked after a model was loaded, and TensorFlow does not run in it; load the model in "
            'the new process alone, or start that with multiprocessing.get_context("spawn").'
        )


def _specs(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(info.dtype, info.shape) for name, info in tensors.items()}


def _array(value: np.ndarray | Sequence[Any], dtype: np.dtype, label: str) -> np.ndarray:
    """Returns an input as an array of its dtype.

    Raises:
        UserError: If the values have another kind, are out of range, or make no array.
    """
    strings = dtype == np.dtype(object)
    try:
        array = np.asarray(value, object if strings else None)
    except (ValueError, OverflowError):
        raise UserError(f"{label} has rows of different lengths; give an array.") from None
    if strings:
        return array
    fits = not array.size or np.can_cast(array.dtype, dtype, "same_kind")
    if fits and array.size and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        fits = limits.min <= array.min() and array.max() <= limits.max
    if not fits:
        raise UserError(f"{label} is of type {array.dtype}, or too large; give {dtype}.")
    return array.astype(dtype)


def first_sentence(message: str) -> str:
    """Returns the sentence of an assertion in the graph, or the first line of another message of TensorFlow."""
    first = message.strip().split("\n")[0]
    _, asserted, sentence = first.partition("assertion failed: [")
    return sentence.removesuffix("]") if asserted else first
