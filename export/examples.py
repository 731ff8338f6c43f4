"""The example requests of a SavedModel, with the answers of the model in memory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..serving.versions import describe

Call = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

_TOLERANCE = 1e-4
# Contributions sum up gradients through maxima, which jump where two steps are nearly equal.
_TOLERANCES = {"contributions": 1e-2}


# For each signature the outputs of each example.
Answers = Mapping[str, Sequence[Mapping[str, np.ndarray]]]


def answers(directory: Path, call: Call) -> Answers:
    """Calls each signature with its example requests.

    Args:
        directory: Directory of the SavedModel.
        call: (signature, inputs) -> outputs, through some loader.
    """
    return {
        signature: [
            call(signature, {name: from_json(value) for name, value in example["inputs"].items()})
            for example in examples
        ]
        for signature, examples in describe(directory)["examples"].items()
    }


def compare(directory: Path, found: Answers) -> None:
    """Compares answers with those of the model in memory.

    Raises:
        AssertionError: If one differs.
    """
    for signature, examples in describe(directory)["examples"].items():
        for example, outputs in zip(examples, found[signature], strict=True):
            _compare(signature, example["outputs"], outputs)


def replay(directory: Path, call: Call) -> None:
    """Calls each signature with its example requests, and compares the answers; see `answers` and `compare`."""
    compare(directory, answers(directory, call))


def _compare(signature: str, expected: Mapping[str, Mapping], found: Mapping[str, np.ndarray]) -> None:
    if set(expected) != set(found):
        raise AssertionError(
            f"Signature {signature!r} gives {sorted(found)}, but {sorted(expected)} was expected."
        )
    for name, value in expected.items():
        given, wanted = np.asarray(found[name]), from_json(value)
        tolerance = _TOLERANCES.get(name, _TOLERANCE)
        if wanted.dtype == object:
            same = given.tolist() == wanted.tolist()
        else:
            same = given.shape == wanted.shape and np.allclose(given, wanted, atol=tolerance, rtol=tolerance)
        if not same:
            raise AssertionError(
                f"Signature {signature!r}, output {name!r}: {given.tolist()} is not {wanted.tolist()}."
            )


def to_json(arrays: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """Converts arrays of numbers or bytes to JSON, from which `from_json` restores them exactly."""
    return {
        name: {
            "dtype": array.dtype.name,
            "shape": array.shape,
            "values": [_printable(value) for value in array.ravel().tolist()],
        }
        for name, array in arrays.items()
    }


def _printable(value: bytes | float) -> str | float:
    # JSON holds bytes that are not UTF-8, such as an image, as escapes.
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def from_json(saved: Mapping[str, Any]) -> np.ndarray:
    """Restores an array."""
    values = saved["values"]
    if saved["dtype"] == "object":
        values = [value.encode("utf-8", "surrogateescape") for value in values]
    return np.array(values, saved["dtype"]).reshape(saved["shape"])
