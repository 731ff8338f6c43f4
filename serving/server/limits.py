"""Limits of requests: no request may fill the memory, hold the server, or harm other requests."""

import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import numpy as np

from ..model import SignatureSpec, TensorSpec
from .errors import RequestError, invalid


@dataclass(frozen=True)
class Limits:
    """The limits of requests.

    Attributes:
        request_bytes: Bytes of a request.
        rows: Rows of a request.
        in_flight: Requests that are answered or wait for it; others are refused at once.
        seconds: Seconds that an answer may take.
        body_seconds: Seconds that a client may take to send a request.
    """

    request_bytes: int = 32 * 2**20
    rows: int = 1024
    in_flight: int = 256
    seconds: float = 30.0
    body_seconds: float = 30.0


class Admission:
    """Counts the requests in flight, of both interfaces.

    Args:
        limit: Their maximum number.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._free = limit, threading.Semaphore(limit)

    @contextmanager
    def admitted(self) -> Generator[None]:
        """Counts a request.

        Raises:
            RequestError: If there are too many.
        """
        if not self._free.acquire(blocking=False):
            raise RequestError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"The server is busy with {self._limit} requests; try again in a moment.",
            )
        try:
            yield
        finally:
            self._free.release()


def check_inputs(
    inputs: Mapping[str, np.ndarray], signature: str, specs: SignatureSpec, limits: Limits
) -> None:
    """Checks the inputs of a request before they can share a batch with those of others.

    Raises:
        RequestError: If an input is missing or unknown, or has another dtype, shape or number of rows.
    """
    check_names(inputs.keys(), signature, specs)
    for name, array in inputs.items():
        spec = specs.inputs[name]
        if array.dtype != spec.dtype:
            raise invalid(f"The input {name!r} is of type {_named(array.dtype)}; give {_named(spec.dtype)}.")
        check_shape(array.shape, name, spec, limits)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise invalid(f"The input {name!r} holds a number that is not finite; give finite numbers.")
    counts = {name: len(array) for name, array in inputs.items() if specs.inputs[name].shape[:1] == (None,)}
    if len({*counts.values()}) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        raise invalid(f"The inputs have different numbers of rows: {shown}.")


def check_shape(shape: Sequence[int], name: str, spec: TensorSpec, limits: Limits) -> None:
    """Checks the shape of an input, which may not exist yet.

    Raises:
        RequestError: If it is not that of the signature, or has too many rows.
    """
    fits = len(shape) == len(spec.shape) and all(
        size >= 0 and wanted in (None, size) for size, wanted in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise invalid(f"The input {name!r} has the shape [{', '.join(map(str, shape))}]; give [{wanted}].")
    if spec.shape[:1] == (None,) and shape[0] > limits.rows:
        raise invalid(f"The request has {shape[0]} rows; send at most {limits.rows} in a request.")


def check_names(names: Iterable[str], signature: str, specs: SignatureSpec) -> None:
    """Checks the names of a request's inputs.

    Raises:
        RequestError: If one is missing or unknown.
    """
    given = {*names}
    wanted = ", ".join(sorted(specs.inputs))
    for missing in sorted(specs.inputs.keys() - given):
        raise invalid(f"The input {missing!r} is missing; the signature {signature!r} takes {wanted}.")
    for extra in sorted(given - specs.inputs.keys()):
        raise invalid(f"The signature {signature!r} has no input {extra[:100]!r}; it takes {wanted}.")


def _named(dtype: "np.dtype[np.generic]") -> str:
    return "string" if dtype.kind == "O" else dtype.name
