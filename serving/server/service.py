"""What the interfaces have in common: the path of a request from its model to its answer."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import numpy as np

from ..model import SignatureSpec
from .errors import RequestError, invalid
from .limits import Admission, Limits, check_inputs
from .metrics import Metrics
from .models import Models
from .version import Version


class Target(NamedTuple):
    """The model that a request asks for.

    Attributes:
        name: Its name.
        version: Number of the version; None: the newest.
        label: Label of the version; None: no label.
    """

    name: str
    version: int | None = None
    label: str | None = None


class Answer(NamedTuple):
    """The answer to a request for a prediction."""

    version: int
    signature: str
    outputs: dict[str, np.ndarray]


# Returns the signature's name and the inputs of a request, given a function that finds signatures by name.
Inputs = Callable[[Callable[[str], SignatureSpec]], tuple[str, dict[str, np.ndarray]]]


class Service:
    """Answers requests. Threads share it.

    Args:
        models: The served models.
        limits: Limits of requests.

    Attributes:
        models, limits: As above.
        metrics: Counts of requests.
    """

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits, self.metrics = models, limits, Metrics()
        self._admission = Admission(limits.in_flight)

    @contextmanager
    def admitted(self, target: Target, entrypoint: str) -> Generator[float]:
        """Counts and times a request for a prediction; yields when its answer is due, by `time.monotonic`.

        Args:
            target: The model.
            entrypoint: REST or GRPC, for the metrics.

        Raises:
            RequestError: If there is no such model, or there are too many requests.
        """
        self._check_name(target.name)
        with self.metrics.observed(target.name, "Predict", entrypoint), self._admission.admitted():
            yield time.monotonic() + self.limits.seconds

    def predict(self, target: Target, inputs: Inputs, due: float) -> Answer:
        """Answers an admitted request for a prediction.

        Args:
            target: The model.
            inputs: Parses the request.
            due: When the answer is due, by `time.monotonic`.

        Raises:
            RequestError: If the request is wrong, or cannot be answered in time.
        """
        with self.models.version(*target) as version:
            signature, arrays = inputs(lambda name: _signature(version, name))
            check_inputs(arrays, signature, _signature(version, signature), self.limits)
            rows = max((len(value) for value in arrays.values() if value.ndim), default=1)
            self.metrics.count_rows(target.name, rows)
            left = due - time.monotonic()
            if left <= 0:
                raise RequestError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"The request waited longer than {self.limits.seconds:g} seconds; the server is busy.",
                )
            return Answer(version.number, signature, version.run(signature, arrays, left))

    def metadata(self, target: Target, entrypoint: str) -> tuple[int, dict[str, Any]]:
        """Returns the number of a version, and its signatures as SignatureDef messages.

        Raises:
            RequestError: If there is no such model or version.
        """
        self._check_name(target.name)
        with (
            self.metrics.observed(target.name, "GetModelMetadata", entrypoint),
            self.models.version(*target) as version,
        ):
            return version.number, version.signature_defs

    def _check_name(self, name: str) -> None:
        # Before anything is counted under this name.
        self.models.states(name, None, None)


def _signature(version: Version, name: str) -> SignatureSpec:
    if name not in version.signatures:
        raise invalid(
            f"The model has no signature {name[:100]!r}; choose one of {', '.join(sorted(version.signatures))}."
        )
    return version.signatures[name]
