"""One typed dataclass per task, and the command-line flags made from it."""

import dataclasses
import os
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import flags


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    resumable: bool = False,
    is_path: bool = False,
    commands: tuple[str, ...] = (),
) -> Any:
    """A field of a configuration, and so a flag.

    Args:
        default: its value unless given; its unit is told in `help`.
        help: one line for `--help`.
        choices: the strings allowed.
        minimum, maximum: bounds of a number, included.
        resumable: whether a run may be resumed with another value.
        is_path: a relative path is made absolute, so that later commands find it from any directory.
        commands: that take it, too, beside `train`: evaluate, export.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "resumable": resumable,
        "is_path": is_path,
        "commands": commands,
    }
    return dataclasses.field(default=default, metadata=metadata)


class Option(NamedTuple):
    """A field of a configuration, with its type."""

    field: dataclasses.Field
    kind: type


Options = list[Option]


def of(config_class: type, chosen: Callable[[dataclasses.Field], bool] = lambda field: True) -> Options:
    """The fields of a configuration, or some of them."""
    hints = typing.get_type_hints(config_class)
    fields = dataclasses.fields(config_class)
    return [Option(field, _plain_type(hints[field.name])) for field in fields if chosen(field)]


def define_flags(options: Options, values: flags.FlagValues) -> None:
    """Defines a flag for every option."""
    for field, kind in options:
        meta = field.metadata
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


def given(options: Options, values: flags.FlagValues) -> dict[str, Any]:
    """What the command line or a flag file names, by name."""
    found = {}
    for field, _ in options:
        flag = values[field.name]
        if flag.present:
            is_path = flag.value and field.metadata["is_path"]
            found[field.name] = os.path.abspath(flag.value) if is_path else flag.value
    return found


def help_text(options: Options) -> str:
    """A line for each flag: name, default, meaning."""
    lines = []
    for field, kind in options:
        choices = field.metadata["choices"]
        value = "|".join(choices) if choices else kind.__name__
        default = "" if field.default is None else f" (default {field.default})"
        lines.append(f"  --{field.name}={value}{default}\n      {field.metadata['help']}")
    return "\n".join(lines)


def _plain_type(hint: Any) -> type:
    """int for `int | None`."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint
