"""TensorFlow Serving's REST interface, as an ASGI application."""

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
import orjson
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from tensorflow_serving.apis import get_model_metadata_pb2

from .access import Access
from .errors import RequestError, invalid
from .metrics import CONTENT_TYPE
from .rest_json import format_outputs, parse_request
from .service import Service, Target
from .version import Version

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(rf"{_MODEL}:predict", re.IGNORECASE)
_DESCRIBE = re.compile(rf"{_MODEL}(?P<metadata>/metadata)?", re.IGNORECASE)
# The largest number of a version, an int64.
_LARGEST = 2**63 - 1


def application(
    service: Service, executor: Executor, metrics_path: str | None, pages: Sequence[BaseRoute] = ()
) -> Access:
    """Returns the ASGI application.

    Args:
        service: Answers the requests.
        executor: Runs them.
        metrics_path: Path of the metrics; None: no metrics.
        pages: Further routes, such as those of pages for a browser.
    """
    interface = _Interface(service, executor)
    routes: list[BaseRoute] = [Route("/v1/{path:path}", interface.answer, methods=_METHODS)]
    if metrics_path is not None:
        routes.append(Route(metrics_path, interface.metrics, methods=["GET"]))
    errors: Any = {HTTPException: _http_error, Exception: _failure}
    return Access(Starlette(routes=[*routes, *pages], exception_handlers=errors))


# All of them, so that an unknown one is answered as TensorFlow Serving answers it.
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


class _Interface:
    def __init__(self, service: Service, executor: Executor) -> None:
        self._service, self._executor = service, executor

    async def metrics(self, _: Request) -> Response:
        return Response(self._service.metrics.page(), headers={"content-type": CONTENT_TYPE})

    async def answer(self, request: Request) -> Response:
        """Answers everything below /v1."""
        try:
            content = await self._content(request)
        except RequestError as error:
            return _error(error)
        except ClientDisconnect:
            return Response(status_code=499)
        return Response(content, media_type="application/json")

    async def _content(self, request: Request) -> bytes:
        path = request.scope["raw_path"].decode("ascii", "replace")
        predict, describe = _PREDICT.fullmatch(path), _DESCRIBE.fullmatch(path)
        if request.method == "POST" and predict is not None:
            target = _target(predict)
            body = await self._body(request)
            with self._service.admitted(target, "REST") as due:
                return await self._run(self._predicted, target, body, due)
        if request.method == "GET" and describe is not None:
            return await self._run(self._described, _target(describe), describe["metadata"] is not None)
        raise invalid(f"Malformed request: {request.method} {path}")

    async def _body(self, request: Request) -> bytes:
        limits, chunks, size = self._service.limits, list[bytes](), 0
        too_large = RequestError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The request is larger than {limits.request_bytes:,} bytes; send fewer rows at a time.",
            http_status=413,
        )
        given = request.headers.get("content-length", "")
        if given.isdecimal() and int(given) > limits.request_bytes:
            raise too_large
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for chunk in request.stream():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > limits.request_bytes:
                        raise too_large
        except TimeoutError as error:
            raise RequestError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"The request did not arrive within {limits.body_seconds:g} seconds.",
                http_status=408,
            ) from error
        return b"".join(chunks)

    async def _run(self, function: Any, *arguments: Any) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _predicted(self, target: Target, body: bytes, due: float) -> bytes:
        by_rows = False

        def inputs(signature_of: Any) -> tuple[str, dict[str, Any]]:
            nonlocal by_rows
            signature, arrays, by_rows = parse_request(body, signature_of)
            return signature, arrays

        return format_outputs(self._service.predict(target, inputs, due).outputs, by_rows)

    def _described(self, target: Target, metadata: bool) -> bytes:
        if not metadata:
            found = self._service.models.states(*target)
            return _indented({"model_version_status": [_status(version) for version in found]})
        number, signatures = self._service.metadata(target, "REST")
        described: Any = get_model_metadata_pb2.SignatureDefMap(signature_def=signatures)
        return _indented(
            {
                "model_spec": {"name": target.name, "signature_name": "", "version": str(number)},
                "metadata": {
                    "signature_def": json_format.MessageToDict(
                        described,
                        preserving_proto_field_name=True,
                        always_print_fields_with_no_presence=True,
                    )
                },
            }
        )


def _target(match: re.Match[str]) -> Target:
    version = match["version"]
    if version is not None and int(version) > _LARGEST:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return Target(
        _decoded(match["name"]),
        None if version is None else int(version),
        None if match["label"] is None else _decoded(match["label"]),
    )


def _decoded(part: str) -> str:
    return unquote_to_bytes(part).decode("utf-8", "replace")


def _status(version: Version) -> dict[str, Any]:
    return {
        "version": str(version.number),
        "state": version.state.name,
        "status": {
            "error_code": "OK" if version.error is None else "UNKNOWN",
            "error_message": version.error or "",
        },
    }


def _indented(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)


def _error(error: RequestError) -> Response:
    headers = {"Retry-After": "1"} if error.http_status == 503 else {}
    return JSONResponse({"error": error.message}, error.http_status, headers=headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Answers a path or a method that no route has."""
    if error.status_code == 404:
        return JSONResponse({"error": "There is nothing at this path; models are at /v1/models/NAME."}, 404)
    return JSONResponse({"error": f"{error.detail}."}, error.status_code, headers=error.headers)


async def _failure(request: Request, error: Exception) -> Response:
    """Answers after a fault of the server itself, which the log shows."""
    return JSONResponse({"error": "The server failed; its log says why."}, 500)
