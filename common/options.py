"""Options as fields of dataclasses; `common.flags` makes the command line from them.

A block (a layer, a model, a search) has a frozen dataclass of its options, an `OptionGroup`. A task's configuration
inherits the groups of its blocks, so that it is as flat as the command line. `OptionGroup.of` takes a block's options
out of it again, and they are passed on whole.
"""

import dataclasses
import operator
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from .errors import UserError

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "in": lambda value, several: value in several,
}

# The largest float32 is a little larger.
_LARGEST = 3.4e38


class When(NamedTuple):
    """The value that another option must have for an option to have an effect.

    Attributes:
        name: The other option.
        comparison: One of =, !=, >, in.
        value: The value to compare with; None stands for an option that is not given.
    """

    name: str
    comparison: str
    value: Any

    def holds(self, config: Any) -> bool:
        """Returns whether a configuration meets the condition."""
        return _COMPARISONS[self.comparison](getattr(config, self.name), self.value)

    def __str__(self) -> str:
        """Returns the condition in words that follow "only"."""
        if self.value is None:
            return f"{'without' if self.comparison == '=' else 'with'} --{self.name}"
        if self.comparison == "in":
            return f"with --{self.name}={' or '.join(self.value)}"
        if self.comparison == "!=":
            return f"with another --{self.name} than {self.value}"
        return f"with --{self.name}{self.comparison}{self.value}"


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    resumable: bool = False,
    is_path: bool = False,
    is_name_or_path: bool = False,
    may_be_url: bool = False,
    suffixes: tuple[str, ...] = (),
    only: When | None = None,
    saves_memory: bool = False,
    commands: tuple[str, ...] = (),
    fits_weights: bool = False,
) -> Any:
    """Returns a field of a configuration that is also a flag.

    Args:
        default: Value unless given.
        help: One line for `--help`, with the unit.
        choices: Allowed strings.
        minimum, maximum: Bounds of a number, inclusive.
        resumable: Whether a run may be resumed with another value.
        is_path: Whether to expand ~ and make a path absolute, so that later commands find it from any directory.
        is_name_or_path: Whether to do so with values that name a directory, too.
        may_be_url: Whether the URL of a server may stand for the path.
        suffixes: Allowed endings of a file's name; none: any.
        only: When the option has an effect; elsewhere the command line refuses it.
        saves_memory: Whether a smaller value saves memory.
        commands: Commands besides `train` that accept it: evaluate, export.
        fits_weights: Whether the weights of a model fit one value alone, so that a run that starts from another has its
            value.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "resumable": resumable,
        "is_path": is_path,
        "is_name_or_path": is_name_or_path,
        "may_be_url": may_be_url,
        "suffixes": suffixes,
        "only": only,
        "saves_memory": saves_memory,
        "commands": commands,
        "fits_weights": fits_weights,
    }
    return dataclasses.field(default=default, metadata=metadata)


def override(
    group: "type[OptionGroup]", name: str, default: Any, help: str | None = None, **changed: Any
) -> Any:
    """Returns an option of a group with another default, and other `changed` arguments of `option`."""
    (metadata,) = (dict(field.metadata) for field in dataclasses.fields(group) if field.name == name)
    metadata |= changed
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

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Returns these options with other values of some, by name."""
        return dataclasses.replace(self, **values)

    def __post_init__(self) -> None:
        """Raises UserError if a value is not among its choices. Groups add checks of options against each other."""
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata.get("choices")
            if choices and value not in choices:
                raise UserError(f"--{field.name}={value} is unknown; choose one of {', '.join(choices)}.")


class Option(NamedTuple):
    """A field of a configuration that is a flag, with its type."""

    field: dataclasses.Field[Any]
    kind: type


Options = list[Option]


def _every(field: dataclasses.Field[Any]) -> bool:
    return True


def of(config_class: type, chosen: Callable[[dataclasses.Field[Any]], bool] = _every) -> Options:
    """Returns the options of a configuration that are flags, or some of them."""
    hints = typing.get_type_hints(config_class)
    fields = (field for field in dataclasses.fields(config_class) if "help" in field.metadata)
    return [Option(field, _plain_type(hints[field.name])) for field in fields if chosen(field)]


def refuse_without_effect(config: OptionGroup, names: Iterable[str]) -> None:
    """Refuses options that the user gave but that have no effect with the others.

    Args:
        config: The configuration in force.
        names: Names of the options that the user gave.

    Raises:
        UserError: If one of them has no effect.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name in names:
        only: When | None = fields[name].metadata["only"]
        if only and not only.holds(config):
            value, other = getattr(config, name), getattr(config, only.name)
            if isinstance(value, tuple):
                value = ",".join(typing.cast("tuple[str, ...]", value))
            raise UserError(
                f"--{name}={value} has an effect only {only}, but --{only.name} is {other}; leave it out, or change "
                f"--{only.name}."
            )


def memory_flags(config: OptionGroup, command: str = "train") -> list[str]:
    """Returns the options that determine the memory of a command, as flags.

    Args:
        config: Options in force.
        command: Name of the command. The options of later commands, such as a beam's width, play no part in `train`.
    """
    found: list[str] = []
    for field, _ in of(type(config), lambda field: command in (field.metadata["commands"] or ("train",))):
        only: When | None = field.metadata["only"]
        value = getattr(config, field.name)
        if field.metadata["saves_memory"] and value and (only is None or only.holds(config)):
            found.append(f"--{field.name}={value}")
    return found


def is_finite(number: float) -> bool:
    """Returns whether a number is finite as a float32."""
    return abs(number) <= _LARGEST


def _plain_type(hint: Any) -> type:
    """Returns int for `int | None`, and tuple for `tuple[str, ...]`, an option that may be given several times."""
    if typing.get_origin(hint) is tuple:
        return tuple
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint
