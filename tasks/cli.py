"""The command line: `unroll COMMAND [flags]`."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags

from ..common import options
from ..common.errors import UserError
from ..common.quiet_start import import_tensorflow
from ..serving.versions import describe, newest_version
from . import applications
from .datasets.text_files import read_lines

_HELP = frozenset({"--help", "-h"})
_USAGE = """\
usage: unroll COMMAND [flags]

  unroll train TASK --workdir=RUN [--preset=NAME] [flags]   train, or go on with a run that exists
  unroll evaluate --workdir=RUN [--split=test]              measure the best weights
  unroll inspect --workdir=RUN                              how its gradients flow: a verdict and a report
  unroll export --workdir=RUN --output=EXPORTS/NAME         write a verified SavedModel, EXPORTS/NAME/<version>
  unroll predict --model=EXPORTS/NAME [--input=FILE|-] [TEXT ...]   one JSON object a line

TASK is one of: {tasks}.
`unroll COMMAND --help` lists the flags of a command, `unroll train TASK --help` those of a task;
`evaluate --workdir=RUN` and `predict --model=MODEL` have flags of their task, too.
For captioning TEXT is the path of an image.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0, or 2 if something that the user gave cannot be used, or 1 if training diverged or an
        exported model failed its verification.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except (UserError, flags.Error) as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe, `head` say, has seen enough; nothing more can be written, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(
            f"unroll: {error.filename or 'a file'} cannot be used: {error.strerror or error}.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        hint = "; the same command goes on from the last checkpoint" if arguments[:1] == ["train"] else ""
        print(f"unroll: stopped{hint}.", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    usage = _USAGE.format(tasks=", ".join(applications.APPLICATIONS))
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(usage, end="")
        return 0
    command, *rest = arguments
    if command not in _COMMANDS:
        raise UserError(f"There is no command {command!r}; choose one of {', '.join(_COMMANDS)}.")
    return _COMMANDS[command](rest) or 0


def _train(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        if _asks_for_help(arguments):
            print(_USAGE.format(tasks=", ".join(applications.APPLICATIONS)), end="")
            return 0
        raise UserError(f"train needs a task; choose one of {', '.join(applications.APPLICATIONS)}.")
    task, *rest = arguments
    config_class = applications.config_class(task)
    fields = options.of(config_class)
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "run directory", flag_values=values)
    flags.DEFINE_string("preset", None, f"one of {', '.join(applications.presets(task))}", flag_values=values)
    options.define_flags(fields, values)
    if _asks_for_help(rest):
        names = ", ".join(applications.presets(task))
        print(f"unroll train {task} --workdir=RUN\n\n  --preset=NAME\n      one of: {names}")
        print("  --flagfile=FILE\n      flags from a file, one a line\n" + options.help_text(fields))
        return 0
    _parse(values, _with_preset(task, rest), f"unroll train {task}", positional=False)
    workdir = _required(values, "workdir", f"train {task}")
    given = options.given(fields, values)
    config = config_class(**given)
    import_tensorflow()
    import tensorflow as tf

    from . import commands
    from .training.trainer import DivergenceError

    try:
        commands.train(task, config, given.keys(), workdir)
    except DivergenceError as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 1
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"Memory is exhausted with --batch_tokens={config.batch_tokens} in the run {workdir}; train in another "
            "--workdir with fewer, or with smaller layers."
        ) from error
    return 0


def _evaluate(arguments: list[str]) -> None:
    found = _flags(
        arguments,
        "evaluate",
        {
            "workdir": (None, "run directory"),
            "split": ("test", "train, validation or test"),
            "output": (None, "JSON file; by default metrics.json in the run directory"),
        },
        options_of=lambda given: _run_options(given.workdir, "evaluate"),
    )
    if found is None:
        return
    values, _, changed = found
    workdir = _required(values, "workdir", "evaluate")
    if values.split not in ("train", "validation", "test"):
        raise UserError(f"There is no split {values.split!r}; choose train, validation or test.")
    import_tensorflow()
    from . import commands

    commands.evaluate(workdir, values.split, values.output, changed)


def _inspect(arguments: list[str]) -> None:
    found = _flags(
        arguments,
        "inspect",
        {
            "workdir": (None, "run directory"),
            "batches": ("4", "batches of the training data to read"),
            "output": (None, "directory of the report; by default inspect in the run directory"),
        },
    )
    if found is None:
        return
    values, _, _ = found
    workdir = _required(values, "workdir", "inspect")
    if not values.batches.isdecimal() or not int(values.batches):
        raise UserError(f"--batches={values.batches} is not a number of batches; give 1 or more.")
    import_tensorflow()
    from . import commands

    commands.inspect(workdir, int(values.batches), values.output)


def _export(arguments: list[str]) -> int:
    found = _flags(
        arguments,
        "export",
        {
            "workdir": (None, "run directory"),
            "output": (None, "directory for the versions of the model; its name is the model's"),
        },
        options_of=lambda given: _run_options(given.workdir, "export"),
    )
    if found is None:
        return 0
    values, _, changed = found
    workdir, output = _required(values, "workdir", "export"), _required(values, "output", "export")
    import_tensorflow()
    from ..export.verify import VerificationError
    from . import commands

    try:
        commands.export(workdir, output, changed)
    except VerificationError as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 1
    return 0


def _predict(arguments: list[str]) -> None:
    found = _flags(
        arguments,
        "predict",
        {
            "model": (None, "directory of an exported model"),
            "input": (None, "file with one text, or path of an image, a line; - is standard input"),
        },
        options_of=lambda given: _predict_options(given.model),
        positional=True,
    )
    if found is None:
        return
    values, texts, changed = found
    model = _required(values, "model", "predict")
    # What is not UTF-8 on the command line comes as surrogates, which no output can hold.
    texts = [os.fsencode(text).decode("utf-8", "replace") for text in texts]
    if texts and values.input:
        raise UserError("predict was given texts and --input; give one of them.")
    from . import commands

    commands.predict(model, texts or _lines(values.input or "-"), changed)


_COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "inspect": _inspect,
    "export": _export,
    "predict": _predict,
}


def _asks_for_help(arguments: list[str]) -> bool:
    return not _HELP.isdisjoint(arguments)


def _flags(
    arguments: list[str],
    command: str,
    definitions: dict[str, tuple[str | None, str]],
    options_of: Callable[[flags.FlagValues], options.Options | None] = lambda given: None,
    positional: bool = False,
) -> tuple[flags.FlagValues, list[str], dict[str, Any]] | None:
    """Parses the flags of a command.

    Args:
        arguments: after the command.
        command: its name.
        definitions: default and help of its own flags, all strings.
        options_of: the options of the application that its own flags lead to; None if they name none.
        positional: whether there may be more than flags.

    Returns:
        The flags, what is not a flag, and the options that were given; None if help was asked for and given.
    """
    own, values = flags.FlagValues(), flags.FlagValues()
    for name, (default, help_line) in definitions.items():
        for target in (own, values):
            flags.DEFINE_string(name, default, help_line, flag_values=target)
    own.set_gnu_getopt()
    own(["unroll", *(a for a in arguments if a not in _HELP)], known_only=True)
    try:
        more = options_of(own)
    except UserError:
        # Whoever asks for help may not know yet where things are.
        if not _asks_for_help(arguments):
            raise
        more = None
    if more:
        options.define_flags(more, values)
    if _asks_for_help(arguments):
        print(f"unroll {command}")
        for name, (default, help_line) in definitions.items():
            print(f"  --{name}{f' (default {default})' if default else ''}\n      {help_line}")
        if more:
            print(options.help_text(more))
        return None
    rest = _parse(values, arguments, f"unroll {command}", positional)
    return values, rest, options.given(more, values) if more else {}


def _run_options(workdir: str | None, command: str) -> options.Options | None:
    from .training.run_directory import RunDirectory

    if not workdir:
        return None
    application, _ = applications.read_config(RunDirectory(workdir))
    return options.of(
        applications.config_class(application), lambda field: command in field.metadata["commands"]
    )


def _predict_options(model: str | None) -> options.Options | None:
    if not model:
        return None
    application = describe(newest_version(model))["application"]
    return (
        options.of(applications.predict_class(application))
        if application in applications.APPLICATIONS
        else None
    )


def _parse(values: flags.FlagValues, arguments: list[str], program: str, positional: bool) -> list[str]:
    """Parses flags; returns what is not a flag."""
    # Flags may also follow the texts.
    values.set_gnu_getopt()
    rest = values([program, *arguments])[1:]
    if rest and not positional:
        raise UserError(f"{program} does not know what to do with {rest[0]!r}; flags look like --name=value.")
    return rest


def _with_preset(task: str, arguments: list[str]) -> list[str]:
    """Puts the flags of the preset before all others, which override them."""
    chosen = flags.FlagValues()
    flags.DEFINE_string("preset", None, "", flag_values=chosen)
    chosen(["unroll", *arguments], known_only=True)
    if chosen.preset is None:
        return arguments
    presets = applications.presets(task)
    if chosen.preset not in presets:
        raise UserError(f"{task} has no preset {chosen.preset!r}; choose one of {', '.join(presets)}.")
    return [f"--flagfile={presets[chosen.preset]}", *arguments]


def _required(values: flags.FlagValues, name: str, command: str) -> str:
    if not values[name].value:
        raise UserError(f"{command} needs --{name}; `unroll {command} --help` tells more.")
    return values[name].value


def _lines(path: str) -> Iterator[str]:
    if path != "-":
        yield from read_lines(path, "a text file, or - for standard input", errors="replace")
        return
    # Standard input by its number: `sys.stdin` would fail at bytes that are not UTF-8.
    with open(0, encoding="utf-8", errors="replace", closefd=False) as file:
        yield from (line.rstrip("\n") for line in file)


if __name__ == "__main__":
    sys.exit(main())
