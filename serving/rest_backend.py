"""A model on a server, over TensorFlow Serving's REST interface; without TensorFlow."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx2
import numpy as np

from ..common.errors import UserError, first_line
from .model import SignatureSpec, TensorSpec
from .remote import Address, ServerError, UnavailableError, retried

# The names of the types in a server's metadata, as NumPy types.
_DTYPES = {
    "DT_STRING": "object",
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_BOOL": "bool",
}
# Status codes for mistakes of the caller.
_MISTAKES = (400, 404, 413)


class RestBackend:
    """A model on a server: see `Backend`. Keeps its connections open; threads may share it, and a pickle
    connects again.

    Args:
        address: Address of the model.
        deadline: Seconds that a call may take, with its retries.
        transport: Carries the requests, for tests; None: the network.

    Raises:
        UserError: If the server does not serve the model.
        ServerError: If the server does not answer.
    """

    def __init__(
        self, address: Address, deadline: float, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._address, self._deadline, self._transport = address, deadline, transport
        self._path = f"/v1/models/{quote(address.name, safe='')}"
        if address.version is not None:
            self._path += f"/versions/{address.version}"
        if address.label is not None:
            self._path += f"/labels/{quote(address.label, safe='')}"
        self._client, self._process = self._connected(), os.getpid()
        self.signatures = _signatures(self._request("GET", f"{self._path}/metadata"))

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature: see `Backend`."""
        if signature not in self.signatures:
            raise UserError(
                f"The model has no signature {signature!r}; choose one of {', '.join(sorted(self.signatures))}."
            )
        specs, outputs = self.signatures[signature]
        try:
            columns = {name: _to_json(value, specs.get(name)) for name, value in inputs.items()}
            body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"The inputs of {signature!r} cannot be sent: {first_line(error)}.") from error
        answer = self._request("POST", f"{self._path}:predict", body)["outputs"]
        # A single output stands without its name.
        named = answer if len(outputs) > 1 else {name: answer for name in outputs}
        try:
            return {name: _from_json(named[name], spec) for name, spec in outputs.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError(f"{self._address} gave an answer that does not fit its metadata.") from error

    def close(self) -> None:
        """Closes the connections. Closing again does nothing."""
        self._client.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return RestBackend, (self._address, self._deadline)

    def _connected(self) -> httpx2.Client:
        server = f"{self._address.scheme}://{self._address.server}"
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32)
        return httpx2.Client(base_url=server, transport=self._transport, limits=limits)

    def _request(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        if self._process != os.getpid():
            # A forked process must not write into the connections of its parent.
            self._client, self._process = self._connected(), os.getpid()
        if self._client.is_closed:
            raise UserError("The model is closed; connect to it again.")
        return retried(lambda seconds: self._attempt(method, path, body, seconds), self._deadline)

    def _attempt(self, method: str, path: str, body: bytes | None, seconds: float) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            response = self._client.request(
                method, path, content=body, headers=headers, timeout=max(seconds, 0.001)
            )
        except httpx2.TimeoutException as error:
            raise ServerError(f"{self._address} did not answer within {self._deadline:g} seconds.") from error
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(f"{self._address} cannot be reached: {reason}.") from error
        try:
            # TensorFlow Serving writes the bytes of a string unchanged, whether they are UTF-8 or not.
            answer: dict[str, Any] = json.loads(response.content.decode("utf-8", "surrogateescape"))
            if not isinstance(answer, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError("not an object")
        except ValueError as error:
            raise ServerError(
                f"{self._address} answered with status {response.status_code} and no JSON object; is it a model server?"
            ) from error
        if response.is_success:
            return answer
        reason = f"{self._address}: {answer.get('error', f'status {response.status_code}')}"
        if response.status_code == 503:
            raise UnavailableError(reason)
        raise UserError(reason) if response.status_code in _MISTAKES else ServerError(reason)


def _signatures(metadata: Mapping[str, Any]) -> dict[str, SignatureSpec]:
    described = metadata["metadata"]["signature_def"]["signature_def"]
    return {
        name: SignatureSpec(
            *({key: _spec(info) for key, info in signature[side].items()} for side in ("inputs", "outputs"))
        )
        for name, signature in described.items()
        if not name.startswith("__")
    }


def _spec(info: Mapping[str, Any]) -> TensorSpec:
    sizes = (int(dim["size"]) for dim in info["tensor_shape"].get("dim", []))
    return TensorSpec(np.dtype(_DTYPES[info["dtype"]]), tuple(None if size < 0 else size for size in sizes))


def _to_json(value: Any, spec: TensorSpec | None) -> Any:
    """Returns an input as JSON: bytes as text where they are UTF-8, else as base64."""
    value = getattr(value, "tolist", lambda: value)()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(item, spec) for item in cast("Sequence[Any]", value)]
    return float(value) if spec is not None and spec.dtype.kind == "f" else value


def _from_json(value: Any, spec: TensorSpec) -> np.ndarray:
    array = np.array(_bytes(value) if spec.dtype == object else value, spec.dtype)
    # No rows: the other dimensions are lost.
    return array if array.size else array.reshape([0, *(size or 0 for size in spec.shape[1:])])


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        return base64.b64decode(cast("Mapping[str, str]", value)["b64"])
    return [_bytes(item) for item in value]
