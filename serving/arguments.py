"""Checks of arguments. A refusal is one sentence: the argument, its value, and what to give.

Callers may give anything, whatever the type hints say.
"""

import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

from ..common.errors import UserError

# Types of single items, though most of them are iterable.
_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike, Mapping)


def listed(values: Iterable[Any], argument: str, kinds: type | tuple[type, ...], expected: str) -> list[Any]:
    """Returns the items of any iterable: a list, a generator, an open file, a column of a table.

    Args:
        values: The items.
        argument: Name of the argument.
        kinds: Allowed types of the items.
        expected: Plural noun for the items, for the error message.

    Raises:
        UserError: If `values` is a single item, or an item has a wrong type.
    """
    # A pandas table has two dimensions, and iterates over its column names.
    is_table = getattr(values, "ndim", 1) != 1
    is_iterable = isinstance(values, Iterable)  # pyright: ignore[reportUnnecessaryIsInstance]
    if isinstance(values, _SINGLE) or is_table or not is_iterable:
        raise UserError(f"{argument} is {shown(values)}; give a list of {expected}.")
    found = list(values)
    for position, value in enumerate(found):
        if not isinstance(value, kinds):
            raise UserError(f"{argument}[{position}] is {shown(value)}; give a list of {expected}.")
    return found


def texts(values: Iterable[str], argument: str) -> list[str]:
    """Returns the strings of any iterable; see `listed`."""
    return listed(values, argument, str, "strings")


def text(value: str, argument: str) -> str:
    """Returns a string unchanged.

    Raises:
        UserError: If the value is not a string.
    """
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"{argument} is {shown(value)}; give a string.")
    return value


def integer(value: int, argument: str, wanted: str, least: int, most: int | None = None) -> int:
    """Returns an integer of a range as an int; NumPy's integers are accepted.

    Args:
        value: The number.
        argument: Name of the argument.
        wanted: Description of the allowed values, for the error message.
        least, most: Bounds of the range, inclusive.

    Raises:
        UserError: If the value is not an integer, or is out of range.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        raise UserError(f"{argument} is {shown(value)}; give {wanted}.")
    return number


def number(value: float, argument: str, wanted: str, allowed: Callable[[float], bool]) -> float:
    """Returns a number as a float.

    Args:
        value: The number.
        argument: Name of the argument.
        wanted: Description of the allowed values, for the error message.
        allowed: Returns whether a number is in range.

    Raises:
        UserError: If the value is not a number, or is out of range.
    """
    try:
        real = None if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        real = None
    if real is None or not allowed(real):
        raise UserError(f"{argument} is {shown(value)}; give {wanted}.")
    return real


def shown(value: Any) -> str:
    """Returns a short form of a value for a message: only the type of a collection."""
    if value is None or isinstance(value, bool | Real | str | bytes):
        return reprlib.repr(value) if not isinstance(value, Real) else str(value)
    return f"of type {type(value).__name__}"
