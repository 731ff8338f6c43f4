"""Command-line flags from options."""

import os
import re
from typing import Any, cast

from absl import flags as absl_flags

from .options import Option, Options, is_finite

# Schemes of servers of models.
_SERVERS = ("http", "https", "grpc")
# TensorFlow's shapes and positions hold no more.
_LARGEST_INTEGER = 2**31 - 1
_ESCAPES = {r"\n": "\n", r"\t": "\t", "\\\\": "\\"}


def define(options: Options, values: absl_flags.FlagValues) -> None:
    """Defines a flag for every option."""
    for option in options:
        name, default, help_line = option.field.name, option.field.default, option.field.metadata["help"]
        if option.kind is bool:
            flag = absl_flags.BooleanFlag(name, bool(default), help_line)
            flag.parser = _BooleanParser()
            absl_flags.DEFINE_flag(flag, values)
        elif option.kind is tuple:
            serializer: absl_flags.ArgumentSerializer[str] = absl_flags.ArgumentSerializer()
            absl_flags.DEFINE_multi(_EscapedParser(), serializer, name, [], help_line, flag_values=values)
        else:
            absl_flags.DEFINE(_parser(option), name, default, help_line, flag_values=values)


def given(options: Options, values: absl_flags.FlagValues) -> dict[str, Any]:
    """Returns the values that the command line or a flag file gives, by name."""
    found: dict[str, Any] = {}
    for field, kind in options:
        flag = cast("Any", values[field.name])
        if flag.present:
            found[field.name] = tuple(flag.value) if kind is tuple else flag.value
    return found


def help_text(options: Options) -> str:
    """Returns the help of each flag: name, type or choices, default, condition, meaning."""
    lines: list[str] = []
    for field, kind in options:
        meta = field.metadata
        value = "|".join(meta["choices"]) if meta["choices"] else "str" if kind is tuple else kind.__name__
        notes = [f"default {field.default}"] if field.default not in (None, ()) else []
        notes += ["may be given several times"] if kind is tuple else []
        notes += [f"only {meta['only']}"] if meta["only"] else []
        note = f" ({', '.join(notes)})" if notes else ""
        lines += [f"  --{field.name}={value}{note}", f"      {meta['help']}"]
    return "\n".join(lines)


class _FileParser(absl_flags.ArgumentParser[str]):
    """Expands ~ and makes a path absolute, so that later commands find it from any directory.

    - stays unchanged, which stands for standard input. Addresses of stores are refused, and URLs of servers unless they
    may stand for a path.

    Args:
        suffixes: Allowed endings; none: any.
        may_be_name: Whether a value without a directory is a name, which stays unchanged.
        may_be_url: Whether the value may be the URL of a server, which stays unchanged.
    """

    syntactic_help = "a path"

    def __init__(self, suffixes: tuple[str, ...], may_be_name: bool, may_be_url: bool) -> None:
        self._suffixes = suffixes
        self._may_be_name = may_be_name
        self._may_be_url = may_be_url

    def parse(self, argument: str) -> str:
        if self._suffixes and not argument.endswith(self._suffixes):
            raise ValueError(f"give a file that ends in {', '.join(self._suffixes)}")
        scheme = argument.partition("://")[0] if "://" in argument else ""
        if scheme and scheme.lower() not in _SERVERS:
            raise ValueError(
                f"paths of mounted file systems are read and written, not {scheme}://; mount the store (gcsfuse for "
                "gs://, mount-s3 for s3://) and give the path below the mount point"
            )
        if scheme and not self._may_be_url:
            raise ValueError(f"give a path on this machine, not {scheme}://")
        if argument in ("", "-") or scheme:
            return argument
        if self._may_be_name and not os.path.dirname(argument):
            return argument
        path = os.path.expanduser(argument)
        if path.startswith("~"):
            raise ValueError(f"there is no user {path.split('/')[0][1:]!r}; write ./~ for a name with ~")
        return os.path.abspath(path)


class _EscapedParser(absl_flags.ArgumentParser[str]):
    """Reads a string in which \\n, \\t and \\\\ stand for a line break, a tab and a backslash."""

    syntactic_help = "a string"

    def parse(self, argument: str) -> str:
        return re.sub(r"\\[nt\\]", lambda found: _ESCAPES[found[0]], argument)


class _BooleanParser(absl_flags.BooleanParser):
    """Parses true or false, or says what to give."""

    def parse(self, argument: str | int) -> bool:
        try:
            return super().parse(argument)
        except (TypeError, ValueError) as error:
            raise ValueError("give true or false") from error


class _IntegerParser(absl_flags.IntegerParser):
    """Parses a whole number that is an int32 unless it may be larger, or says what it is."""

    def convert(self, argument: Any) -> int:
        try:
            number = super().convert(argument)
        except (TypeError, ValueError) as error:
            raise ValueError("give a whole number") from error
        if self.upper_bound is None and abs(number) > _LARGEST_INTEGER:
            raise ValueError(f"give at most {_LARGEST_INTEGER:,}")
        return number


class _FloatParser(absl_flags.FloatParser):
    """Parses a number that is finite as a float32, or says what it is."""

    def convert(self, argument: Any) -> float:
        try:
            number = super().convert(argument)
        except (TypeError, ValueError) as error:
            raise ValueError("give a number") from error
        if not is_finite(number):
            raise ValueError("give a finite number, at most 3.4e38")
        return number


def _parser(option: Option) -> absl_flags.ArgumentParser[Any]:
    meta = option.field.metadata
    if meta["choices"]:
        return absl_flags.EnumParser(meta["choices"])
    if meta["is_path"] or meta["is_name_or_path"]:
        return _FileParser(meta["suffixes"], meta["is_name_or_path"], meta["may_be_url"])
    if option.kind is int:
        return _IntegerParser(meta["minimum"], meta["maximum"])
    if option.kind is float:
        return _FloatParser(meta["minimum"], meta["maximum"])
    return absl_flags.ArgumentParser()
