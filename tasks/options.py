"""One typed dataclass per task, and the command-line flags made from it."""

import dataclasses
import os
import types
import typing
from typing import Any, TypeVar

from absl import flags

T = TypeVar("T")


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    resumable: bool = False,
    is_path: bool = False,
) -> Any:
    """A field of a configuration, and so a flag.

    Args:
        default: its value unless given; its unit is told in `help`.
        help: one line for `--help`.
        choices: the strings allowed.
        minimum, maximum: bounds of a number, included.
        resumable: whether a run may be resumed with another value.
        is_path: a relative path is made absolute, so that later commands find it from any directory.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "resumable": resumable,
        "is_path": is_path,
    }
    return dataclasses.field(default=default, metadata=metadata)


def define_flags(config_class: type, values: flags.FlagValues) -> None:
    """Defines a flag for every field of a configuration."""
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        kind, meta = _plain_type(hints[field.name]), field.metadata
        arguments = (field.name, field.default, meta["help"])
        bounds = {"lower_bound": meta["minimum"], "upper_bound": meta["maximum"], "flag_values": values}
        if meta["choices"]:
            flags.DEFINE_enum(field.name, field.default, meta["choices"], meta["help"], flag_values=values)
        elif kind is bool:
            flags.DEFINE_boolean(*arguments, flag_values=values)
        elif kind is int:
            flags.DEFINE_integer(*arguments, **bounds)
        elif kind is float:
            flags.DEFINE_float(*arguments, **bounds)
        else:
            flags.DEFINE_string(*arguments, flag_values=values)


def from_flags(config_class: type[T], values: flags.FlagValues) -> T:
    """The configuration that the parsed flags give."""
    found = {}
    for field in dataclasses.fields(config_class):
        value = values[field.name].value
        found[field.name] = os.path.abspath(value) if value and field.metadata["is_path"] else value
    return config_class(**found)


def given(config_class: type, values: flags.FlagValues) -> set[str]:
    """The fields that the command line or a flag file names."""
    return {field.name for field in dataclasses.fields(config_class) if values[field.name].present}


def help_text(config_class: type) -> str:
    """A line for each flag: name, default, meaning."""
    lines = []
    for field in dataclasses.fields(config_class):
        choices = field.metadata["choices"]
        value = (
            "|".join(choices)
            if choices
            else _plain_type(typing.get_type_hints(config_class)[field.name]).__name__
        )
        default = "" if field.default is None else f" (default {field.default})"
        lines.append(f"  --{field.name}={value}{default}\n      {field.metadata['help']}")
    return "\n".join(lines)


def _plain_type(hint: Any) -> type:
    """int for `int | None`."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint
