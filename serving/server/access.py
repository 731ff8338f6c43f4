"""The access log and the headers of all answers."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_log = logging.getLogger("unroll.serve.access")

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]

# No answer is taken for another type, shown inside another page, or loads anything from elsewhere.
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


class Access:
    """An ASGI application that logs each request to another one, and adds headers to its answers.

    Args:
        application: The other application.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(
        self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: _Send
    ) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: _Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            await self._application(scope, receive, send_with_headers)
        finally:
            # As it came, still percent-encoded: no path can forge a line of the log.
            path = scope["raw_path"].decode("ascii", "backslashreplace")
            log_access(scope.get("client"), scope["method"], path, str(status), started)


def log_access(
    client: tuple[str, int] | str | None, method: str, path: str, status: str, started: float
) -> None:
    """Logs a request.

    Args:
        client: Its address.
        method, path: Of HTTP; "gRPC" and the method of the service.
        status: The status code of the answer.
        started: When it began, by `time.perf_counter`.
    """
    address = client[0] if isinstance(client, tuple) else client or "-"
    milliseconds = 1000 * (time.perf_counter() - started)
    _log.info("%s %s %s %s %.1f ms", address, method, path, status, milliseconds)
