"""Checks of arguments. A refusal is one sentence: the argument, its value, and what to give."""

import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

from ..common.errors import UserError

# Single items, though Python iterates over most of them.
_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike, Mapping)


def listed(values: Iterable, argument: str, kinds: type | tuple[type, ...], expected: str) -> list:
    """The items of a list, a generator, an open file, a column of a table, or any other iterable.

    Args:
        values: The items.
        argument: The name of the argument.
        kinds: The types that an item may have.
        expected: The plural of what an item is.

    Raises:
        UserError: if `values` is a single item, or an item has another type.
    """
    # A table of pandas has two dimensions, and iterates over the names of its columns.
    is_table = getattr(values, "ndim", 1) != 1
    if isinstance(values, _SINGLE) or is_table or not isinstance(values, Iterable):
        raise UserError(f"{argument} is {_shown(values)}; give a list of {expected}.")
    found = list(values)
    for position, value in enumerate(found):
        if not isinstance(value, kinds):
            raise UserError(f"{argument}[{position}] is {_shown(value)}; give a list of {expected}.")
    return found


def texts(values: Iterable[str], argument: str) -> list[str]:
    """The strings of any iterable; see `listed`."""
    return listed(values, argument, str, "strings")


def text(value: str, argument: str) -> str:
    """A string.

    Raises:
        UserError: if it is something else.
    """
    if not isinstance(value, str):
        raise UserError(f"{argument} is {_shown(value)}; give a string.")
    return value


def integer(value: int, argument: str, wanted: str, least: int, most: int | None = None) -> int:
    """A whole number in a range, bounds included; NumPy's integers are converted.

    Args:
        value: The number.
        argument: The name of the argument.
        wanted: What to give instead.
        least, most: The range.

    Raises:
        UserError: if it is something else or out of range.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        raise UserError(f"{argument} is {_shown(value)}; give {wanted}.")
    return number


def number(value: float, argument: str, wanted: str, allowed: Callable[[float], bool]) -> float:
    """A number.

    Args:
        value: The number.
        argument: The name of the argument.
        wanted: What to give instead.
        allowed: Tells whether a number is in range.

    Raises:
        UserError: if it is something else or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not allowed(float(value)):
        raise UserError(f"{argument} is {_shown(value)}; give {wanted}.")
    return float(value)


def _shown(value: Any) -> str:
    """A short form of a value; a long one has its type alone."""
    if value is None or isinstance(value, bool | Real | str | bytes):
        return reprlib.repr(value) if not isinstance(value, Real) else str(value)
    return f"of type {type(value).__name__}"
