"""Checks of the layers' arguments. A refusal is one sentence: the argument, its value, and what to give."""

import operator
from numbers import Real
from typing import Any

import tensorflow as tf


def count(value: Any, name: str, wanted: str) -> int:
    """Returns an integer of at least 1 as an int; NumPy's integers are accepted.

    Args:
        value: The number.
        name: Name of the argument.
        wanted: Description of the allowed values, for the error message.

    Raises:
        ValueError: If the value is not an integer, or is less than 1.
    """
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name} is {value!r}; give {wanted}.")
    return number


def share(value: Any, name: str) -> float:
    """Returns a number in [0, 1) as a float.

    Raises:
        ValueError: If the value is not a number, or is out of range.
    """
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else -1.0
    if not 0 <= number < 1:
        raise ValueError(f"{name} is {value!r}; give a share from 0 up to, but not including, 1.")
    return number


def of_shape(tensor: tf.Tensor, shape: tuple[int | None, ...], name: str, wanted: str) -> tf.Tensor:
    """Returns a tensor unchanged.

    Args:
        tensor: The tensor.
        shape: Its sizes; None for any size.
        name: Name of the argument.
        wanted: Description of the shape, for the error message.

    Raises:
        ValueError: If the static shape differs.
    """
    if not tensor.shape.is_compatible_with(shape):
        raise ValueError(f"{name} has the shape {list(tensor.shape)}; give {wanted}, {list(shape)} here.")
    return tensor
