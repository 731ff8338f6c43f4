"""A model on a server, over TensorFlow Serving's gRPC interface."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from ..common.errors import UserError, first_line
from ..common.quiet_start import import_tensorflow
from .model import SignatureSpec, TensorSpec
from .remote import ATTEMPTS, FIRST_DELAY, LAST_DELAY, Address, ServerError, UnavailableError

# The library's own retries, so that it also counts them against the deadline.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
            "retryPolicy": {
                "maxAttempts": ATTEMPTS,
                "initialBackoff": f"{FIRST_DELAY}s",
                "maxBackoff": f"{LAST_DELAY}s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
# Options of the connection.
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
# The caller's mistakes among the status codes.
_MISTAKES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
}


class GrpcBackend:
    """A model on a server: see `Backend`. One connection for all threads; a pickle connects again.

    Args:
        address: Address of the model.
        deadline: Seconds that a call may take, with its retries.

    Raises:
        UserError: If the server does not serve the model.
        ServerError: If the server does not answer.
    """

    def __init__(self, address: Address, deadline: float) -> None:
        # Late, since the protocol's classes import TensorFlow.
        import_tensorflow()
        import tensorflow as tf
        from tensorflow_serving.apis import (
            get_model_metadata_pb2,
            predict_pb2,
            prediction_service_pb2_grpc,
        )

        self._tf, self._requests, self._metadata = tf, predict_pb2, get_model_metadata_pb2
        self._address, self._deadline, self._process = address, deadline, os.getpid()
        self._closed = False
        self._channel = grpc.insecure_channel(address.server, options=OPTIONS)
        self._stub: Any = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self.signatures = self._described()

    def call(self, signature: str, inputs: Mapping[str, np.ndarray | Sequence[Any]]) -> dict[str, np.ndarray]:
        """Calls a signature: see `Backend`."""
        if signature not in self.signatures:
            raise UserError(
                f"The model has no signature {signature!r}; choose one of {', '.join(sorted(self.signatures))}."
            )
        request: Any = self._requests.PredictRequest()
        self._address_to(request)
        request.model_spec.signature_name = signature
        specs = self.signatures[signature].inputs
        for name, value in inputs.items():
            dtype = specs[name].dtype if name in specs else None
            try:
                tensor = self._tf.make_tensor_proto(np.asarray(value, dtype))
            except (TypeError, ValueError, OverflowError) as error:
                raise UserError(
                    f"The input {name!r} of {signature!r} cannot be sent: {first_line(error)}."
                ) from error
            request.inputs[name].CopyFrom(tensor)
        answer = self._answered(self._stub.Predict, request)
        return {name: self._tf.make_ndarray(proto) for name, proto in answer.outputs.items()}

    def close(self) -> None:
        """Closes the connection. Closing again does nothing."""
        self._closed = True
        self._channel.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return GrpcBackend, (self._address, self._deadline)

    def _described(self) -> dict[str, SignatureSpec]:
        request: Any = self._metadata.GetModelMetadataRequest()
        self._address_to(request)
        request.metadata_field.append("signature_def")
        answer = self._answered(self._stub.GetModelMetadata, request)
        signatures: Any = self._metadata.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        return {
            name: SignatureSpec(self._specs(signature.inputs), self._specs(signature.outputs))
            for name, signature in signatures.signature_def.items()
            if not name.startswith("__")
        }

    def _specs(self, infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
        return {
            name: TensorSpec(
                np.dtype(self._tf.dtypes.as_dtype(info.dtype).as_numpy_dtype),
                tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
            )
            for name, info in infos.items()
        }

    def _address_to(self, request: Any) -> None:
        request.model_spec.name = self._address.name
        if self._address.version is not None:
            request.model_spec.version.value = self._address.version
        if self._address.label is not None:
            request.model_spec.version_label = self._address.label

    def _answered(self, method: Any, request: Any) -> Any:
        if self._process != os.getpid():
            raise UserError(
                "The connection was opened before this process was forked; call connect() in the new process."
            )
        if self._closed:
            raise UserError("The model is closed; connect to it again.")
        try:
            return method(request, timeout=self._deadline)
        except grpc.RpcError as error:
            # Every error of a call has a code and details, but its declared type does not say so.
            failed: Any = error
            code, reason = failed.code(), f"{self._address}: {failed.details()}"
            if code in _MISTAKES:
                raise UserError(reason) from error
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ServerError(
                    f"{self._address} did not answer within {self._deadline:g} seconds."
                ) from error
            if code == grpc.StatusCode.UNAVAILABLE:
                raise UnavailableError(reason) from error
            raise ServerError(reason) from error
