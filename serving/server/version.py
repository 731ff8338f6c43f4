"""A version of a model in the server: loading, answering, and giving its memory back."""

import copy
import enum
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tensorflow.core.protobuf import config_pb2

from ...common.errors import UserError, first_line
from ..c_api import WITHOUT_OPTIMIZER, SavedModelSession, TensorFlowError
from ..model import SignatureSpec
from ..saved_model import first_sentence, specs_of
from ..versions import CHECKSUMS, check_files
from ..warmup import FILE_NAME, read_warmup_requests
from .batching import UNBATCHED, BatchingParameters, batched_directory
from .errors import RequestError, code_of
from .meta_graph import read_saved_model

# With `disable_thread_spinning` in a ConfigProto: threads that wait for more work would keep the processors from the
# answer, for more than a millisecond.
_CONFIG = WITHOUT_OPTIMIZER + b"\x82\x01\x02\x48\x01"

# Codes with which the requests of a batch fail together, though only one of them may be at fault.
_SHARED_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class State(enum.IntEnum):
    """The states of a version, with TensorFlow Serving's names and numbers."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Version:
    """A version of a model.

    Args:
        number: Number of the version.
        directory: The version directory.
        batching: Parameters of the scheduler; None: each request runs alone.

    Attributes:
        number, directory: As above.
        state: Its state.
        error: Why it could not be loaded; None if it could.
        signatures: Its signatures, once it is loaded.
        signature_defs: The same as messages, for its metadata.
    """

    def __init__(self, number: int, directory: Path, batching: BatchingParameters | None) -> None:
        self.number, self.state, self.error = number, State.START, None
        self.signatures: dict[str, SignatureSpec] = {}
        self.signature_defs: dict[str, Any] = {}
        self.directory, self._batching = directory, batching
        self._session: SavedModelSession | None = None
        self._lock, self._in_use = threading.Lock(), 0

    def load(self, model: str, warm_up: bool) -> None:
        """Loads the version and runs its warm-up requests; after a failure its state is END, with an error.

        Args:
            model: Name of the model.
            warm_up: Whether to run the warm-up requests.
        """
        self.state = State.LOADING
        try:
            if (self.directory / CHECKSUMS).exists():
                check_files(self.directory)
            saved_model = read_saved_model(self.directory)
            # Copies, since batches change the graph.
            self.signature_defs = {
                name: copy.deepcopy(signature)
                for name, signature in saved_model.meta_graphs[0].signature_def.items()
                if not name.startswith("__")
            }
            if self._batching is None:
                self._session = SavedModelSession(self.directory, _CONFIG)
            else:
                with batched_directory(self.directory, saved_model, self._batching) as temporary:
                    # The optimiser also breaks conditions in functions that run in batches ("Retval[0] does not have
                    # value").
                    self._session = SavedModelSession(temporary, _CONFIG)
            specs = specs_of(self._session)
            self.signatures = {name: specs[name] for name in self.signature_defs}
            if warm_up:
                self._warm_up()
        except (UserError, TensorFlowError, RequestError, OSError, ValueError) as error:
            self.error = f"Version {self.number} of {model} cannot be loaded: {first_line(error)}."
            self._close()
            return
        self.state = State.AVAILABLE

    def _warm_up(self) -> None:
        extra = self.directory / "assets.extra"
        if (extra / FILE_NAME).exists():
            for signature, inputs in read_warmup_requests(extra):
                self.run(signature, inputs, None)

    def acquire(self) -> bool:
        """Keeps the version loaded until `release`; returns whether it is available."""
        with self._lock:
            available = self.state == State.AVAILABLE
            self._in_use += available
        return available

    def release(self) -> None:
        """Ends what `acquire` began."""
        with self._lock:
            self._in_use -= 1
            done = self._in_use == 0 and self.state == State.UNLOADING
        if done:
            self._close()

    def retire(self) -> None:
        """Frees the version once the last request that uses it is answered."""
        with self._lock:
            self.state = State.UNLOADING
            done = self._in_use == 0
        if done:
            self._close()

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float | None
    ) -> dict[str, np.ndarray]:
        """Calls a signature with checked inputs.

        Args:
            signature: Its name.
            inputs: Its inputs.
            seconds: Seconds that the call may take; None: any.

        Raises:
            RequestError: If the call fails.
        """
        rows = max((len(value) for value in inputs.values() if value.ndim), default=0)
        # A larger request is a batch already, and the scheduler would refuse it; it cannot split nothing, either.
        alone = self._batching is not None and not 0 < rows <= self._batching.max_batch_size
        started = time.monotonic()
        try:
            return self._called(UNBATCHED + signature if alone else signature, inputs, seconds)
        except RequestError as error:
            left = None if seconds is None else seconds - (time.monotonic() - started)
            is_over = left is not None and left <= 0
            if self._batching is None or alone or is_over or error.code not in _SHARED_FAULTS:
                raise
            return self._called(UNBATCHED + signature, inputs, left)

    def _called(
        self, signature: str, inputs: Mapping[str, Any], seconds: float | None
    ) -> dict[str, np.ndarray]:
        session = self._session
        assert session is not None
        try:
            # 0 is no limit.
            milliseconds = 0 if seconds is None else max(1, int(1000 * seconds))
            options: Any = config_pb2.RunOptions(timeout_in_ms=milliseconds)
            return session.run(signature, inputs, options.SerializeToString())
        except TensorFlowError as error:
            code = code_of(error.code)
            if self._batching is not None and code == grpc.StatusCode.UNAVAILABLE:
                raise RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "The queue of the model is full; try again in a moment.",
                ) from error
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise RequestError(code, "The answer took too long; send less text or fewer rows.") from error
            raise RequestError(code, first_sentence(str(error))) from error

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self.state = State.END
