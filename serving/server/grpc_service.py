"""TensorFlow Serving's gRPC interface, and gRPC's own health service."""

import logging
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import tensorflow as tf
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ...common.errors import first_line
from ..model import SignatureSpec
from .access import log_access
from .errors import RequestError, invalid
from .limits import check_names, check_shape
from .service import Service, Target

_log = logging.getLogger("unroll.serve")
_DEFAULT_SIGNATURE = "serving_default"
_SIGNATURES = "signature_def"


def grpc_server(service: Service, address: str, threads: int) -> tuple[grpc.Server, int]:
    """Returns a gRPC server that has its port, and waits to be started.

    Args:
        service: Answers the requests.
        address: Host and port; port 0: any free one.
        threads: Requests that run at the same time.

    Returns:
        The server, and its port; 0 if the address is in use.
    """
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        # Those beyond it are refused at once, with RESOURCE_EXHAUSTED.
        maximum_concurrent_rpcs=service.limits.in_flight,
        options=[
            ("grpc.max_receive_message_length", service.limits.request_bytes),
            ("grpc.max_send_message_length", -1),
            # Another process at the same port is a mistake here.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(service), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(service), server)
    healthy = health.HealthServicer()
    for name in ("", "tensorflow.serving.PredictionService"):
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    untyped: Any = health_pb2_grpc
    untyped.add_HealthServicer_to_server(healthy, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        return server, 0
    return server, port


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def inputs(signature_of: Callable[[str], SignatureSpec]) -> tuple[str, dict[str, Any]]:
            signature = request.model_spec.signature_name or _DEFAULT_SIGNATURE
            specs = signature_of(signature)
            check_names(request.inputs.keys(), signature, specs)
            for name, proto in request.inputs.items():
                # First, since a few bytes can stand for a tensor of any size.
                shape = [dim.size for dim in proto.tensor_shape.dim]
                check_shape(shape, name, specs.inputs[name], self._service.limits)
            return signature, {name: _array(name, proto) for name, proto in request.inputs.items()}

        target = _target(request)
        with _answering(context, "Predict"), self._service.admitted(target, "GRPC") as due:
            # None, whatever its type says, if the client sets no deadline.
            remaining = context.time_remaining()
            if remaining is not None:  # pyright: ignore[reportUnnecessaryComparison]
                due = min(due, time.monotonic() + remaining)
            answer = self._service.predict(target, inputs, due)
            wanted = {*request.output_filter}
            for unknown in sorted(wanted - answer.outputs.keys()):
                raise invalid(f"The signature {answer.signature!r} has no output {unknown[:100]!r}.")
            response = predict_pb2.PredictResponse()
            _describe(response, request.model_spec.name, answer.version, answer.signature)
            for name, array in answer.outputs.items():
                if not wanted or name in wanted:
                    response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
            return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _answering(context, "GetModelMetadata"):
            for name in request.metadata_field:
                if name != _SIGNATURES:
                    raise invalid(f"There is no metadata field {name[:100]!r}; ask for {_SIGNATURES}.")
            if not request.metadata_field:
                raise invalid(f"The request names no metadata field; ask for {_SIGNATURES}.")
            number, signatures = self._service.metadata(_target(request), "GRPC")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            _describe(response, request.model_spec.name, number)
            described = get_model_metadata_pb2.SignatureDefMap(signature_def=signatures)
            response.metadata[_SIGNATURES].Pack(described)
            return response


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _answering(context, "GetModelStatus"):
            response = get_model_status_pb2.GetModelStatusResponse()
            for version in self._service.models.states(*_target(request)):
                status = response.model_version_status.add(version=version.number, state=int(version.state))
                status.status.error_code = 0 if version.error is None else 2
                status.status.error_message = version.error or ""
            return response


@contextmanager
def _answering(context: grpc.ServicerContext, method: str) -> Generator[None]:
    """Ends a call with the status of its error, and logs it."""
    started, status = time.perf_counter(), "OK"
    try:
        yield
    except RequestError as error:
        status = error.code.name
        context.abort(error.code, error.message)
    except Exception:
        status = "INTERNAL"
        _log.exception("%s failed.", method)
        context.abort(grpc.StatusCode.INTERNAL, "The server failed; its log says why.")
    finally:
        log_access(context.peer(), "gRPC", method, status, started)


def _target(request: Any) -> Target:
    spec = request.model_spec
    chosen = spec.WhichOneof("version_choice")
    return Target(
        spec.name,
        spec.version.value if chosen == "version" else None,
        spec.version_label if chosen == "version_label" else None,
    )


def _array(name: str, proto: Any) -> Any:
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f"The input {name!r} is no complete tensor: {first_line(error)}.") from error


def _describe(response: Any, name: str, version: int, signature: str = "") -> None:
    response.model_spec.name = name
    response.model_spec.version.value = version
    response.model_spec.signature_name = signature
