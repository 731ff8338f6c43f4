"""A first request to an exported model, from Python and over REST, with its answers."""

import base64
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..serving.applications import class_of
from ..serving.saved_model import SavedModel
from ..serving.server.rest_json import format_outputs, parse_request
from ..serving.versions import describe
from .examples import from_json

# The image of an example request, beside it for the Python lines to read.
EXAMPLE_IMAGE = "assets.extra/example.jpg"

_PYTHON = """\
import unroll.serving

with unroll.serving.load(".") as model:
    for result in model.{method}([{example!r}]):
        print(result)
"""


class Demonstration(NamedTuple):
    """A request and its answers.

    Attributes:
        python: Python lines, to run in the version directory.
        printed: Their output.
        body: The body of a REST request.
        answer: The body of its answer.
    """

    python: str = ""
    printed: str = ""
    body: str = ""
    answer: str = ""


def demonstrate(directory: Path, loaded: SavedModel) -> Demonstration:
    """Runs the method that the Python lines call, and the REST request.

    Args:
        directory: The version directory.
        loaded: The loaded version.
    """
    description = describe(directory)
    model_class = class_of(description["application"], directory)
    inputs = {
        name: from_json(value)[:1]
        for name, value in description["examples"][model_class.first_signature][0]["inputs"].items()
    }
    first = _text(next(iter(inputs.values()))[0])
    python = _PYTHON.format(method=model_class.first_method, example=first or EXAMPLE_IMAGE)
    with contextlib.chdir(directory):
        results = getattr(model_class(loaded), model_class.first_method)([first or EXAMPLE_IMAGE])
    body = _body(model_class.first_signature, inputs)
    request = parse_request(body.encode(), loaded.signatures.__getitem__)
    answer = format_outputs(loaded.call(request.signature, request.inputs), request.by_rows)
    return Demonstration(python, "".join(f"{result}\n" for result in results), body, answer.decode())


def example_image(inputs: Mapping[str, np.ndarray]) -> bytes | None:
    """Returns the image of an example request; None for texts."""
    first = next(iter(inputs.values())).ravel()[0]
    return first if isinstance(first, bytes) and _text(first) is None else None


def _body(signature: str, inputs: Mapping[str, np.ndarray]) -> str:
    columns = {name: [_json(value) for value in column.tolist()] for name, column in inputs.items()}
    named = {} if signature == "serving_default" else {"signature_name": signature}
    return json.dumps(named | {"inputs": columns}, ensure_ascii=False)


def _text(value: bytes | float) -> str | None:
    """Returns a string input as text; None for the bytes of an image, and for a number."""
    try:
        return value.decode() if isinstance(value, bytes) else None
    except UnicodeDecodeError:
        return None


def _json(value: bytes | float) -> str | float | dict[str, str]:
    """Returns a value as TensorFlow Serving's JSON has it."""
    if not isinstance(value, bytes):
        return value
    text = _text(value)
    return {"b64": base64.b64encode(value).decode()} if text is None else text
