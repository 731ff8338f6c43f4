"""The base class of exported models in Python."""

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, NamedTuple, NoReturn, Protocol, Self

import numpy as np

from ..common.errors import UserError
from ..common.normalization import nfc
from . import arguments

# Lines that `predict` reads before it answers.
_BATCH = 64


class TensorSpec(NamedTuple):
    """An input or output of a signature.

    Attributes:
        dtype: Its NumPy type; object for strings.
        shape: Its sizes, None where any is allowed.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class SignatureSpec(NamedTuple):
    """The inputs and outputs of a signature, by name."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


class Backend(Protocol):
    """Runs the signatures of an exported model, in this process or elsewhere."""

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            signature: Its name.
            inputs: All its inputs by name, with equal numbers of rows; strings as bytes.

        Returns:
            Its outputs by name; strings as arrays of bytes.
        """
        ...

    def close(self) -> None:
        """Frees the backend's memory and connections; later calls raise UserError."""
        ...


class Row(dict[str, Any]):
    """The outputs of a signature for one row, by name."""

    def __missing__(self, name: str) -> NoReturn:
        raise UserError(
            f"The model has no output {name!r}, so another version of unroll exported it; export its run again."
        )


class Model(abc.ABC):
    """An exported model. It is a context manager; its memory comes back with `close`, or with the object.

    Args:
        backend: Runs its signatures.
    """

    application: ClassVar[str]
    # A signature and one of its outputs, by which a model of this application is known.
    known_by: ClassVar[tuple[str, str]]
    # The method and the signature of a first request.
    first_method: ClassVar[str]
    first_signature: ClassVar[str] = "serving_default"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the memory of the model back; later calls raise UserError. Closing again does nothing."""
        self.backend.close()

    def predict(self, lines: Iterable[str], **options: Any) -> Iterator[Any]:
        """Yields the application's result for each line, as `unroll predict` prints it; reads some lines at a time.

        Args:
            lines: The input.
            options: Those of `answer`.
        """
        lines = iter(lines)
        while batch := list(islice(lines, _BATCH)):
            yield from self.answer(batch, **options)

    @abc.abstractmethod
    def answer(self, inputs: Sequence[str], **options: Any) -> list[Any]:
        """Returns the application's result for each input."""

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature: see `Backend`."""
        if not isinstance(inputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(
                f"inputs is {arguments.shown(inputs)}; give a dictionary of the inputs by name, each a list of rows."
            )
        return self.backend.call(signature, inputs)

    def rows(self, signature: str, inputs: Mapping[str, Sequence[Any]], batch_size: int) -> Iterator[Row]:
        """Calls a signature in batches.

        Args:
            signature: Its name.
            inputs: All its inputs by name, with equal numbers of rows.
            batch_size: Number of rows in a call.

        Yields:
            The outputs of each row by name.

        Raises:
            UserError: If `batch_size` is not a positive integer.
        """
        checked_batch_size(batch_size)
        count = len(next(iter(inputs.values())))
        for first in range(0, count, batch_size):
            batch = {name: values[first : first + batch_size] for name, values in inputs.items()}
            outputs = self.call(signature, batch)
            for row in zip(*outputs.values(), strict=True):
                yield Row(zip(outputs, row, strict=True))


class StreamingModel(Model):
    """An exported model that yields its result while it writes it."""

    @abc.abstractmethod
    def stream(self, prompt: str, *args: Any, **options: Any) -> Iterator[str]:
        """Yields the continuation of a prompt, piece by piece; takes the options of `predict`."""


def checked_batch_size(batch_size: int) -> int:
    """Returns the batch size.

    Raises:
        UserError: If `batch_size` is not a positive integer.
    """
    return arguments.integer(batch_size, "batch_size", "the number of rows in a call, at least 1", 1)


def encoded(texts: Sequence[str]) -> list[bytes]:
    """Returns texts in normal form C, as in training, in UTF-8."""
    return [nfc(text).encode("utf-8", "replace") for text in texts]
