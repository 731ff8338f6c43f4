"""What clients of a server have in common: addresses, errors, deadlines and retries."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from ..common.errors import FailedError, UserError
from . import arguments

_SCHEMES = ("http", "https", "grpc")
_EXAMPLE = "such as http://localhost:8501 or grpc://localhost:8500"

# Seconds before the first retry, doubled before each further one up to the last.
FIRST_DELAY = 0.1
LAST_DELAY = 2.0
# Attempts at a call in all.
ATTEMPTS = 5

_Result = TypeVar("_Result")


class ServerError(FailedError):
    """The server failed, or did not answer in time; the request may be right."""


class UnavailableError(ServerError):
    """The server cannot be reached or is overloaded for the moment: worth another attempt."""


class Address(NamedTuple):
    """The address of a model on a server.

    Attributes:
        scheme: http, https or grpc.
        server: Host and port, and for REST a path before /v1, if any.
        name: Name of the model.
        version: Number of the version; None: the newest.
        label: Label of the version; None: no label.
    """

    scheme: str
    server: str
    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        """Returns the address as a URL."""
        which = f"/versions/{self.version}" if self.version is not None else ""
        which = f"/labels/{self.label}" if self.label is not None else which
        return f"{self.scheme}://{self.server}/v1/models/{self.name}{which}"


def is_address(model: str) -> bool:
    """Returns whether a model is named by the URL of a server, not by a path."""
    return urlsplit(model).scheme.lower() in _SCHEMES and "://" in model


def parse_address(url: str, name: str | None = None) -> Address:
    """Returns the address of a model.

    Args:
        url: URL of the server, or with the model's name behind it: http://localhost:8501/demo, or in full
            http://localhost:8501/v1/models/demo/versions/2 or .../labels/stable.
        name: Name of the model, unless the URL has it.

    Raises:
        UserError: If the URL has no host or an unknown scheme, or gives no name or two.
    """
    if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"name is {arguments.shown(name)}; give the name of a model, such as demo.")
    try:
        parts = urlsplit(url)
        scheme, host, _ = parts.scheme.lower(), parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{url!r} is not the URL of a server; give one, {_EXAMPLE}.") from error
    if scheme not in _SCHEMES or not host:
        raise UserError(f"{url!r} is not the URL of a server; give one, {_EXAMPLE}.")
    before, given, which, value = _split(unquote(parts.path).strip("/"))
    if given and name and given != name:
        raise UserError(
            f"{url} names the model {given!r}, but the name given is {name!r}; leave one of them out."
        )
    name = name or given
    if not name or "/" in name:
        raise UserError(f"{url} does not name a model; add its name, such as {scheme}://{parts.netloc}/demo.")
    if which == "versions" and not value.isdecimal():
        raise UserError(f"{url} asks for the version {value!r}; give a number.")
    return Address(
        scheme,
        parts.netloc + (f"/{before}" if before else ""),
        name,
        version=int(value) if which == "versions" else None,
        label=value if which == "labels" else None,
    )


def _split(path: str) -> tuple[str, str, str, str]:
    """Returns what precedes /v1/models, the name, "versions" or "labels" or "", and the version or label."""
    before, marker, rest = f"/{path}".rpartition("/v1/models/")
    pieces = (rest if marker else path).split("/")
    if len(pieces) == 3 and pieces[1] in ("versions", "labels"):
        return before.strip("/"), *pieces  # pyright: ignore[reportReturnType]
    return before.strip("/"), "/".join(pieces), "", ""


def retried(attempt: Callable[[float], _Result], deadline: float) -> _Result:
    """Calls a function until the server is available, with growing pauses.

    Args:
        attempt: Takes the seconds that are left.
        deadline: Seconds for all attempts.

    Raises:
        UnavailableError: If the last attempt failed, or the deadline would pass before the next.
    """
    end, delay = time.monotonic() + deadline, FIRST_DELAY
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt(end - time.monotonic())
        except UnavailableError:
            # Some randomness, so that clients do not come back all at once.
            pause = delay * random.uniform(0.8, 1.2)
            if number == ATTEMPTS or time.monotonic() + pause >= end:
                raise
            time.sleep(pause)
            delay = min(2 * delay, LAST_DELAY)
    raise AssertionError("unreachable")
