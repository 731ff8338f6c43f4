"""Predictions as JSON, in both formats of TensorFlow Serving: by rows (`instances`) and by columns (`inputs`)."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import orjson

from ..model import SignatureSpec, TensorSpec
from .errors import RequestError, invalid
from .limits import check_names

_DEFAULT_SIGNATURE = "serving_default"
# Outputs with names that end so are bytes, not text.
_BYTES = "_bytes"


class PredictRequest(NamedTuple):
    """A request for a prediction.

    Attributes:
        signature: Name of the signature.
        inputs: The inputs by name.
        by_rows: Whether to answer by rows.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    by_rows: bool


def parse_request(body: bytes, signature_of: Callable[[str], SignatureSpec]) -> PredictRequest:
    """Parses the body of a request.

    Args:
        body: A JSON object with `inputs` or `instances`, and perhaps `signature_name`.
        signature_of: Returns a signature by name.

    Raises:
        RequestError: If it is no such object, or does not fit the signature.
    """
    try:
        content: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"The body is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise invalid('The body is not a JSON object; give one, such as {"inputs": {"text": ["A text."]}}.')
    request = cast("dict[str, Any]", content)
    name: Any = request.get("signature_name") or _DEFAULT_SIGNATURE
    if not isinstance(name, str):
        raise invalid("signature_name is not a string.")
    if ("inputs" in request) == ("instances" in request):
        raise invalid("The body has not exactly one of the keys inputs and instances; give one of them.")
    specs = signature_of(name)
    by_rows = "instances" in request
    columns = (
        _columns(request["instances"], name, specs) if by_rows else _named(request["inputs"], name, specs)
    )
    return PredictRequest(
        name, {key: _array(columns[key], key, spec) for key, spec in specs.inputs.items()}, by_rows
    )


def _named(inputs: Any, signature: str, specs: SignatureSpec) -> dict[str, Any]:
    """Returns inputs by name: a single one may stand without its name."""
    if isinstance(inputs, dict) and not _is_base64(inputs):
        named = cast("dict[str, Any]", inputs)
        check_names(named.keys(), signature, specs)
        return named
    return {_only_input(signature, specs): inputs}


def _columns(instances: Any, signature: str, specs: SignatureSpec) -> dict[str, Any]:
    """Returns the columns of rows."""
    if not isinstance(instances, list) or not instances:
        raise invalid("instances is not a list with at least one row.")
    rows = cast("list[Any]", instances)
    if not isinstance(rows[0], dict) or _is_base64(rows[0]):
        return {_only_input(signature, specs): rows}
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            raise invalid(f"instances[{position}] is no object, but the first one is; give equal rows.")
        try:
            check_names(cast("dict[str, Any]", row).keys(), signature, specs)
        except RequestError as error:
            raise invalid(f"instances[{position}]: {error.message}") from error
    return {name: [row[name] for row in rows] for name in specs.inputs}


def _only_input(signature: str, specs: SignatureSpec) -> str:
    if len(specs.inputs) != 1:
        raise invalid(
            f"The signature {signature!r} has several inputs ({', '.join(sorted(specs.inputs))}); give an object with "
            "their names."
        )
    return next(iter(specs.inputs))


def _array(value: Any, name: str, spec: TensorSpec) -> np.ndarray:
    """Returns a nested list as an array of the rank and dtype of an input."""
    rank, shape = len(spec.shape), list[int]()
    leaves: list[Any] = [value]
    for _ in range(rank):
        lists = cast("list[list[Any]]", leaves)
        if not all(isinstance(leaf, list) for leaf in leaves):
            raise invalid(f"The input {name!r} has too few levels of lists; it takes {_levels(rank)}.")
        sizes = {len(inner) for inner in lists} or {0}
        if len(sizes) > 1:
            raise invalid(f"The lists in the input {name!r} have different lengths; give equal ones.")
        shape.append(sizes.pop())
        leaves = [leaf for inner in lists for leaf in inner]
    if any(isinstance(leaf, list) for leaf in leaves):
        raise invalid(f"The input {name!r} has too many levels of lists; it takes {_levels(rank)}.")
    converted = np.empty(len(leaves), spec.dtype)
    convert = _converter(name, spec.dtype)
    for position, leaf in enumerate(leaves):
        converted[position] = convert(leaf)
    return converted.reshape(shape)


def _levels(rank: int) -> str:
    return "a value without a list" if rank == 0 else f"{rank} level{'s' if rank > 1 else ''}"


def _converter(name: str, dtype: "np.dtype[Any]") -> Callable[[Any], Any]:
    """Returns a function from a JSON value to an element of an array."""
    if dtype.kind == "O":
        return lambda value: _string(value, name)
    kinds, wanted = {
        "f": ((int, float), "numbers"),
        "b": ((bool,), "true or false"),
    }.get(dtype.kind, ((int,), "whole numbers"))
    bounds = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype) if dtype.kind in "iu" else None

    def convert(value: Any) -> Any:
        if type(value) not in kinds:
            raise invalid(f"The input {name!r} holds {_shown(value)}; give {wanted}.")
        if bounds is not None and not bounds.min <= value <= bounds.max:
            raise invalid(f"The input {name!r} holds {value}, which {dtype.name} cannot hold.")
        return value

    return convert


def _string(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not _is_base64(value):
        raise invalid(f'The input {name!r} holds {_shown(value)}; give strings, or {{"b64": ...}} for bytes.')
    # As TensorFlow Serving: with or without padding and line breaks.
    content = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(content + "=" * (-len(content) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"The input {name!r} holds a string that is not base64: {error}.") from error


def _is_base64(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    content = cast("dict[str, Any]", value)
    return content.keys() == {"b64"} and isinstance(content["b64"], str)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str | dict):
        return "a string" if isinstance(value, str) else "an object"
    return str(value).lower() if isinstance(value, bool) else str(value)


def format_outputs(outputs: Mapping[str, np.ndarray], by_rows: bool) -> bytes:
    """Returns the body of an answer; a single output stands without its name."""
    values = {
        name: _texts(array.tolist(), name.endswith(_BYTES)) if array.dtype.kind == "O" else array
        for name, array in outputs.items()
    }
    answer: Any
    if len(values) == 1:
        (answer,) = values.values()
    elif by_rows:
        answer = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    else:
        answer = values
    options = orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps({"predictions" if by_rows else "outputs": answer}, _plain, option=options)


def _plain(value: Any) -> Any:
    """Returns what orjson cannot write as numbers: rows that are not contiguous, and types that it does not know."""
    return value.tolist()


def _texts(value: Any, as_bytes: bool) -> Any:
    """Returns bytes as text; where they are none, or bytes by their name, as base64."""
    if isinstance(value, list):
        return [_texts(item, as_bytes) for item in cast("list[Any]", value)]
    try:
        if not as_bytes:
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"b64": base64.b64encode(value).decode()}
