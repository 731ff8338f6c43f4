"""The command line: `unroll COMMAND [flags]`."""

import dataclasses
import io
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, NoReturn

from absl import flags as absl_flags

from ..common import flags, options
from ..common.errors import FailedError, UserError
from ..common.options import Options, option
from ..serving.loader import application as application_of
from ..serving.server.options import ServerOptions
from . import applications, commands
from .incoming import read_input
from .training.interruption import Interrupted
from .training.run_directory import RunDirectory

_USAGE = f"""\
usage: unroll COMMAND [flags]

  unroll train TASK --workdir=RUN [--preset=NAME] [flags]   train, or resume a run
  unroll evaluate --workdir=RUN [--split=test]              measure the best weights
  unroll inspect --workdir=RUN                              report how gradients flow, with a verdict
  unroll export --workdir=RUN --output=EXPORTS/NAME         write a verified SavedModel, EXPORTS/NAME/<version>
  unroll check --model=EXPORTS/NAME                         read an export again, and measure it
  unroll predict --model=EXPORTS/NAME [--input=FILE|-] [TEXT ...]   print one JSON object per line
  unroll serve [--model_base_path=EXPORTS/NAME] [flags]     answer requests over HTTP and gRPC

TASK is one of: {", ".join(applications.APPLICATIONS)}.
`unroll COMMAND --help` lists the flags of a command, `unroll train TASK --help` those of a task;
`evaluate --workdir=RUN`, `export --workdir=RUN` and `predict --model=MODEL` accept flags of their task, too.
--flagfile=FILE reads flags from a file, one per line. For captioning, TEXT is the path of an image.
`unroll --version` prints the version.
"""

# An argument that is meant as a flag; any other one that begins with a dash is a text.
_FLAG = re.compile(r"--?[A-Za-z][\w-]*(=.*)?", re.DOTALL)


class _HelpGiven(Exception):  # noqa: N818
    """The user asked for help, which was printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0 for success; 1 if training diverged, or an exported model failed its verification or check; 2
        for a user's mistake; 130 after Ctrl-C; 143 after SIGTERM.
    """
    _write_utf8()
    return _flushed(_exit_code(list(sys.argv[1:] if argv is None else argv)))


def _exit_code(arguments: list[str]) -> int:
    """Runs a command, and tells of its error; returns the exit code."""
    try:
        _dispatch(arguments)
    except _HelpGiven:
        return 0
    except FailedError as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 1
    except (UserError, absl_flags.Error) as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe (`head`, for example) has closed it.
        return 0
    except OSError as error:
        where = error.filename or "a file or standard output"
        print(f"unroll: {where} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 2
    except Interrupted as interrupted:
        print(f"unroll: {interrupted}.", file=sys.stderr)
        # As shells say it.
        return 128 + interrupted.number
    except KeyboardInterrupt:
        print("unroll: stopped.", file=sys.stderr)
        return 130
    return 0


def _write_utf8() -> None:
    """Makes output UTF-8 whatever the locale says; escapes stand for surrogates, which no encoding has."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _flushed(code: int) -> int:
    """Writes what is left of the output, which Python would do after the exit code is known; returns the exit code."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python tries again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and not isinstance(error, BrokenPipeError):
            print(f"unroll: standard output cannot be written: {error.strerror or error}.", file=sys.stderr)
            return 2
    return code


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        _give_help(_USAGE)
    if arguments[0] == "--version":
        libraries = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras"))
        _give_help(f"unroll {version('unroll')} (Python {platform.python_version()}, {libraries})\n")
    command, *rest = arguments
    if command not in _COMMANDS:
        raise UserError(f"There is no command {command!r}; choose one of {', '.join(_COMMANDS)}.")
    _COMMANDS[command](rest)


def _train(arguments: list[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        if {"--help", "-h"} & {*arguments}:
            _give_help(_USAGE)
        raise UserError(f"train needs a task; choose one of {', '.join(applications.APPLICATIONS)}.")
    task, *rest = arguments
    config_class = applications.config_class(task)
    names = ", ".join(applications.presets(task))

    @dataclasses.dataclass(frozen=True)
    class TrainFlags:
        workdir: str | None = option(None, "run directory", is_path=True)
        preset: str | None = option(
            None, f"flags for a data set, which other flags override; one of: {names}"
        )

    fields = options.of(config_class)
    values, _, named = _parse(f"train {task}", TrainFlags, rest, lambda _: fields)
    workdir = _required(values, "workdir", f"train {task}")
    given = _preset_options(task, values.preset, fields) | named
    commands.train(task, config_class(**given), given.keys(), named.keys(), workdir)


_RUNS = "run directories, separated by commas, instead of --workdir: their models as one, by the mean of probabilities"


@dataclasses.dataclass(frozen=True)
class _EvaluateFlags:
    workdir: str | None = option(None, "run directory", is_path=True)
    runs: str | None = option(None, _RUNS)
    split: str = option("test", "part of the data", choices=("train", "validation", "test"))
    output: str | None = option(None, "JSON file; by default metrics.json in the run directory", is_path=True)


def _evaluate(arguments: list[str]) -> None:
    values, _, changed = _parse(
        "evaluate", _EvaluateFlags, arguments, _run_options("evaluate"), _options_by_task("evaluate")
    )
    commands.evaluate(_workdirs(values, "evaluate"), values.split, values.output, changed)


@dataclasses.dataclass(frozen=True)
class _InspectFlags:
    workdir: str | None = option(None, "run directory", is_path=True)
    batches: int = option(4, "batches of the training data to read", minimum=1)
    output: str | None = option(
        None, "directory of the report; by default inspect in the run directory", is_path=True
    )


def _inspect(arguments: list[str]) -> None:
    values, _, _ = _parse("inspect", _InspectFlags, arguments)
    workdir = _required(values, "workdir", "inspect")
    commands.inspect(workdir, values.batches, values.output)


@dataclasses.dataclass(frozen=True)
class _ExportFlags:
    workdir: str | None = option(None, "run directory", is_path=True)
    runs: str | None = option(None, _RUNS)
    output: str | None = option(
        None, "directory for the versions of the model; its name is the model's", is_path=True
    )


def _export(arguments: list[str]) -> None:
    values, _, changed = _parse(
        "export", _ExportFlags, arguments, _run_options("export"), _options_by_task("export")
    )
    workdirs, output = _workdirs(values, "export"), _required(values, "output", "export")
    commands.export(workdirs, output, changed)


@dataclasses.dataclass(frozen=True)
class _CheckFlags:
    model: str | None = option(None, "directory of an exported model, or of a version", is_path=True)


def _check(arguments: list[str]) -> None:
    values, _, _ = _parse("check", _CheckFlags, arguments)
    commands.check(_required(values, "model", "check"))


@dataclasses.dataclass(frozen=True)
class _PredictFlags:
    model: str | None = option(
        None,
        "directory of an exported model, or its URL on a server: http://localhost:8501/NAME",
        is_path=True,
        may_be_url=True,
    )
    input: str | None = option(
        None,
        "file with one text, or path of an image, per line, plain or .gz, or with --text_column a CSV, TSV or JSON "
        "lines file; - is standard input, as without this flag and without texts",
        is_path=True,
    )
    text_column: str | None = option(None, "column of --input with the texts, or the paths of images")
    output: str | None = option(
        None,
        "file for the results of --input=FILE instead of standard output: .jsonl or .tsv, or with .gz after it",
        is_path=True,
    )
    workers: int = option(1, "processes that answer, with --output", minimum=1)


def _predict(arguments: list[str]) -> None:
    values, texts, changed = _parse(
        "predict", _PredictFlags, arguments, _predict_options, _options_of_models, positional=True
    )
    model = _required(values, "model", "predict")
    # Bytes that are not UTF-8 arrive as surrogates, which no output can hold.
    texts = [os.fsencode(text).decode("utf-8", "replace") for text in texts]
    if texts and values.input:
        raise UserError("predict was given texts and --input; give one of them.")
    if values.text_column and values.input in (None, "-"):
        raise UserError(
            f"--text_column={values.text_column} needs --input=FILE, a CSV, TSV or JSON lines file."
        )
    if values.output:
        if values.input in (None, "-"):
            raise UserError(f"--output={values.output} needs --input=FILE.")
        commands.predict_file(model, values.input, values.text_column, values.output, values.workers, changed)
        return
    if values.workers > 1:
        raise UserError(f"--workers={values.workers} needs --input=FILE and --output=FILE.")
    commands.predict(
        model, [texts] if texts else read_input(values.input or "-", values.text_column), changed
    )


def _serve(arguments: list[str]) -> None:
    values, _, _ = _parse("serve", ServerOptions, arguments)
    given = flags.given(options.of(ServerOptions), values)
    server_options = ServerOptions(**given)
    options.refuse_without_effect(server_options, given)
    commands.serve(server_options)


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "inspect": _inspect,
    "export": _export,
    "check": _check,
    "predict": _predict,
    "serve": _serve,
}


class _Arguments(NamedTuple):
    """The arguments of a command: its own flags, the arguments that are no flags, and the given options of the task."""

    own: absl_flags.FlagValues
    rest: list[str]
    named: dict[str, Any]


def _no_options(own: absl_flags.FlagValues) -> Options:
    return []


def _no_tasks() -> Mapping[str, Options]:
    return {}


def _parse(
    command: str,
    own_flags: type,
    arguments: list[str],
    options_of: Callable[[absl_flags.FlagValues], Options | None] = _no_options,
    options_by_task: Callable[[], Mapping[str, Options]] = _no_tasks,
    positional: bool = False,
) -> _Arguments:
    """Parses the flags of a command: first its own, then those of the task, which its own determine.

    Args:
        command: Name of the command.
        own_flags: Dataclass of the command's own flags.
        arguments: The arguments after the command.
        options_of: Returns the options of the task, from the command's own flags; None if they name none.
        options_by_task: Returns the options of each task, for a help without a task.
        positional: Whether to allow arguments that are no flags.

    Raises:
        _HelpGiven: If the user asked for help.
    """
    own, values = options.of(own_flags), absl_flags.FlagValues()
    # Flags may also follow the texts.
    values.set_gnu_getopt()
    flags.define(own, values)
    absl_flags.DEFINE_boolean("help", False, "this list", short_name="h", flag_values=values)
    # absl ignores it.
    if {"--flagfile=", "-flagfile="} & {*arguments}:
        raise UserError("--flagfile= names no file; give one with a flag per line, or leave it out.")
    try:
        unknown = values([command, *arguments], known_only=True)
    except UnicodeDecodeError as error:
        raise UserError("--flagfile names a file that is not text; give one with a flag per line.") from error
    except absl_flags.CantOpenFlagFileError as error:
        # absl quotes the error in brackets; a flag file may name another one, so the name is the error's.
        cause = error.__context__
        assert isinstance(cause, OSError)
        raise UserError(
            f"--flagfile={cause.filename} cannot be read: {cause.strerror}. Give a file with a flag per line."
        ) from error
    try:
        more = options_of(values)
    except UserError:
        # Help must not need a valid run or model.
        if not values.help:
            raise
        more = None
    if values.help:
        sections = [_usage_of(command), flags.help_text([*own, *(more or [])])]
        for task, of_task in (options_by_task() if more is None else {}).items():
            sections += [f"for {task}:", flags.help_text(of_task)] if of_task else []
        _give_help("\n\n".join(sections) + "\n")
    more = more or []
    flags.define(more, values)
    rest = _texts(values, unknown) if positional else values(unknown)[1:]
    if rest and not positional:
        raise UserError(f"{command} takes no argument {rest[0]!r}; write flags as --name=value.")
    return _Arguments(values, rest, flags.given(more, values))


def _texts(values: absl_flags.FlagValues, arguments: list[str]) -> list[str]:
    """Parses the flags among arguments, and returns the others, which may begin with a dash.

    Args:
        values: The defined flags.
        arguments: Name of the command, and its arguments.
    """
    rest = values(arguments, known_only=True)[1:]
    # After -- everything is a text.
    end = rest.index("--") if "--" in rest else len(rest)
    for argument in rest[:end]:
        if _FLAG.fullmatch(argument):
            try:
                values([arguments[0], argument])
            except absl_flags.UnrecognizedFlagError as error:
                raise UserError(f"{error}. If it is a text, put -- before the texts.") from error
    return rest[:end] + rest[end + 1 :]


def _usage_of(command: str) -> str:
    """Returns the line of the usage about a command, such as `predict` or `train sentiment`."""
    name, *task = command.split()
    (line,) = (line.strip() for line in _USAGE.splitlines() if line.startswith(f"  unroll {name} "))
    return line.replace("TASK", task[0]) if task else line


def _give_help(text: str) -> NoReturn:
    print(text, end="")
    raise _HelpGiven


def _run_options(command: str) -> Callable[[absl_flags.FlagValues], Options | None]:
    """Returns a function that finds the options of a run which a command may change."""

    def find(own: absl_flags.FlagValues) -> Options | None:
        if not (own.workdir or own.runs):
            return None
        application, _ = applications.read_config(RunDirectory(_workdirs(own, command)[0]))
        return _changeable(application, command)

    return find


def _options_by_task(command: str) -> Callable[[], Mapping[str, Options]]:
    """Returns a function that finds the options of each task's runs which a command may change."""
    return lambda: {task: _changeable(task, command) for task in applications.APPLICATIONS}


def _changeable(task: str, command: str) -> Options:
    """Returns the options of a run which a command may change."""
    return options.of(applications.config_class(task), lambda field: command in field.metadata["commands"])


def _predict_options(own: absl_flags.FlagValues) -> Options | None:
    """Returns the options of `predict` for the model's task; None without a model."""
    if not own.model:
        return None
    application = application_of(own.model)
    return (
        options.of(applications.predict_class(application))
        if application in applications.APPLICATIONS
        else []
    )


def _options_of_models() -> Mapping[str, Options]:
    """Returns the options of `predict` for each task."""
    return {task: options.of(applications.predict_class(task)) for task in applications.APPLICATIONS}


def _preset_options(task: str, preset: str | None, fields: Options) -> dict[str, Any]:
    """Returns the options in a preset."""
    if preset is None:
        return {}
    presets = applications.presets(task)
    if preset not in presets:
        raise UserError(f"{task} has no preset {preset!r}; choose one of {', '.join(presets)}.")
    values = absl_flags.FlagValues()
    flags.define(fields, values)
    values([task, f"--flagfile={presets[preset]}"])
    return flags.given(fields, values)


def _workdirs(values: absl_flags.FlagValues, command: str) -> list[str]:
    """Returns the run directories that --workdir or --runs names."""
    if not values.runs:
        return [_required(values, "workdir", command)]
    if values.workdir:
        raise UserError(f"{command} was given --workdir and --runs; give one of them.")
    paths = [path.strip() for path in values.runs.split(",")]
    if not all(paths):
        raise UserError(f"--runs={values.runs} has an empty path; separate run directories by single commas.")
    workdirs = [os.path.abspath(os.path.expanduser(path)) for path in paths]
    if len({*map(os.path.realpath, workdirs)}) < len(workdirs):
        raise UserError(f"--runs={values.runs} names a run twice; give each once.")
    return workdirs


def _required(values: absl_flags.FlagValues, name: str, command: str) -> str:
    value: str | None = values[name].value
    if not value:
        raise UserError(f"{command} needs --{name}; see `unroll {command} --help`.")
    return value


if __name__ == "__main__":
    sys.exit(main())
