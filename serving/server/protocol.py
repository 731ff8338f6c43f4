"""HTTP connections whose clients may neither dawdle nor send headers without end."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of the first line and the headers of a request.
_MOST_BYTES = 64 * 1024
_MOST_SECONDS = 30.0


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection whose request does not come to the end of its headers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_headers, self._size = True, 0
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._size += len(data)
            if self._timer is None:
                self._start_timer()
        super().data_received(data)
        if self._in_headers and self._size > _MOST_BYTES and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_headers_complete(self) -> Any:
        self._stop_timer()
        self._in_headers = False
        return super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_headers, self._size = True, 0
        super().on_message_complete()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(_MOST_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
