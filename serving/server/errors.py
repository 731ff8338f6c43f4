"""The error of a request, with its status codes in both interfaces."""

import grpc

# TensorFlow Serving's HTTP status for each gRPC code, except for overload: its 429 would make clients give up.
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
# Characters of a message: it may quote the request.
_LONGEST = 500


class RequestError(Exception):
    """A request that gets no answer.

    Attributes:
        code: The gRPC status code.
        http_status: The HTTP status code.
        message: One sentence: what was given, what was expected.
    """

    def __init__(self, code: grpc.StatusCode, message: str, http_status: int | None = None) -> None:
        message = message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"
        super().__init__(message)
        self.code, self.message = code, message
        self.http_status = http_status or _HTTP.get(code, 500)


def invalid(message: str) -> RequestError:
    """Returns the error of a request that no server could answer."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def code_of(number: int) -> grpc.StatusCode:
    """Returns the gRPC code of a TF_Code: the numbers are the same."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)
