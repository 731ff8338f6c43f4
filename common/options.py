"""Options as fields of dataclasses, and the command-line flags made from them.

A block (a layer, a model, a search) has a frozen dataclass of its options, an `OptionGroup`. A task's configuration
inherits the groups of its blocks, so that it is as flat as the command line. `OptionGroup.of` takes a block's options
out of it again, and they are passed on whole.
"""

import dataclasses
import os
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from absl import flags

from .errors import UserError


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
    """Returns a field of a configuration that is also a flag.

    Args:
        default: Value unless given.
        help: One line for `--help`, with the unit.
        choices: Allowed strings.
        minimum, maximum: Bounds of a number, inclusive.
        resumable: Whether a run may be resumed with another value.
        is_path: Whether to make a relative path absolute, so that later commands find it from any directory.
        commands: Commands beside `train` that take it: evaluate, export.
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


def override(group: type, name: str, default: Any, help: str | None = None, **changed: Any) -> Any:
    """Returns an option of a group with another default, and what else is `changed` of `option`'s arguments."""
    metadata = dict(group.__dataclass_fields__[name].metadata) | changed
    return dataclasses.field(default=default, metadata=metadata | {"help": help or metadata["help"]})


def fixed(default: Any) -> Any:
    """Returns an option of a group as a constant, for a configuration that has no such flag."""
    return dataclasses.field(default=default, metadata={"resumable": False, "commands": ()})


@dataclasses.dataclass(frozen=True)
class OptionGroup:
    """Base class of all options: those of a block, and those of a task, which inherits the groups of its blocks."""

    @classmethod
    def of(cls, config: "OptionGroup", **changed: Any) -> Self:
        """Takes this group out of a configuration that inherits it, with some values changed."""
        values = {field.name: getattr(config, field.name) for field in dataclasses.fields(cls)}
        return cls(**(values | changed))

    def __post_init__(self) -> None:
        """Raises UserError if an option is none of its choices. Groups add checks of options against each other."""
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata.get("choices")
            if choices and value not in choices:
                raise UserError(f"--{field.name}={value} is unknown; choose one of {', '.join(choices)}.")


class Option(NamedTuple):
    """A field of a configuration that is a flag, with its type."""

    field: dataclasses.Field
    kind: type


Options = list[Option]


def of(config_class: type, chosen: Callable[[dataclasses.Field], bool] = lambda field: True) -> Options:
    """Returns the options of a configuration that are flags, or some of them."""
    hints = typing.get_type_hints(config_class)
    fields = (field for field in dataclasses.fields(config_class) if "help" in field.metadata)
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
    """Returns the values that the command line or a flag file gives, by name."""
    found = {}
    for field, _ in options:
        flag = values[field.name]
        if flag.present:
            is_path = flag.value and field.metadata["is_path"]
            found[field.name] = os.path.abspath(flag.value) if is_path else flag.value
    return found


def help_text(options: Options) -> str:
    """Returns the help of each flag: name, default, meaning."""
    lines = []
    for field, kind in options:
        choices = field.metadata["choices"]
        value = "|".join(choices) if choices else kind.__name__
        default = "" if field.default is None else f" (default {field.default})"
        lines.append(f"  --{field.name}={value}{default}\n      {field.metadata['help']}")
    return "\n".join(lines)


def _plain_type(hint: Any) -> type:
    """Returns int for `int | None`."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint
