"""The commands, without the parsing of the command line."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from ..common.checksums import checksum_of_json
from ..common.counts import counted
from ..common.errors import FailedError, UserError
from ..common.files import is_writable, write_json
from ..common.json_lines import JsonLines, json_line
from ..common.options import memory_flags, refuse_without_effect
from ..common.quiet_start import import_tensorflow
from ..serving.server.options import ServerOptions
from .applications import predict_class, read_config, task_of
from .exhaustion import explained
from .initialization import fits_weights, initialize, taken_over
from .keras_settings import import_keras
from .results import name_of_other_data, writable_or_temporary
from .training.cluster import place_of
from .training.config import FITTED, TrainingConfig
from .training.interruption import Interrupted, Interruption
from .training.run_directory import RunDirectory


def train(
    application: str, config: TrainingConfig, given: Collection[str], named: Collection[str], workdir: str
) -> None:
    """Starts a run, or resumes it.

    Args:
        application: Name of the application.
        config: Options of a new run.
        given: Names of the options given by the user or a preset; a resumed run keeps its saved values of the others.
        named: Names of the options given by the user.
        workdir: Run directory.
    """
    run = RunDirectory(workdir)
    saved = read_config(run) if run.exists() else None
    is_resumed = saved is not None and run.has_begun
    if saved and is_resumed:
        # Those of a preset may have been fitted to the data, or to another run.
        follows = {*FITTED} | (fits_weights(config) if saved[1].initialize_from else set())
        config = _resumed_config(run, saved, application, config, {*given} - (follows - {*named}))
    else:
        config = taken_over(application, config, named)
    refuse_without_effect(config, named)
    run.check_free()
    advice = f"train in another --workdir than {workdir} with less, or with smaller layers"
    place = place_of(config.distribution)
    memory = memory_flags(config)
    with (
        run.locked() if place.is_chief else nullcontext(),
        explained(workdir, memory, advice),
        _interruptible(application, run) as interruption,
    ):
        if place.is_chief and saved != (application, config):
            run.save_config(application, config)
        if place.addresses:
            # A lost worker gets one sentence, without TensorFlow's own.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import_keras(config.seed)
        from .data import PreparedData
        from .inspection.live import LiveInspection
        from .inspection.measurements import step_name
        from .training.fitting import fitted
        from .training.trainer import Trainer
        from .training.workers import join

        task = task_of(application)
        inspection = LiveInspection(
            JsonLines(run.gradient_flow),
            config.inspect_every,
            task.truncation(config).steps,
            step_name(config),
        )

        def fit(data: PreparedData) -> PreparedData:
            data, changes = fitted(data, named)
            # For the message: the sizes may be smaller now.
            memory[:] = memory_flags(data.config)
            if changes and place.is_chief:
                print(changes)
                run.save_config(application, data.config)
            return data

        with join(config.distribution, place) as workers:
            workers.check_all_see(run.config)
            workers.check_same(
                int(checksum_of_json([application, dataclasses.asdict(config)]), 16), "options"
            )
            Trainer(
                task,
                task.data(config, run),
                workers,
                observers=[inspection] if place.is_chief else [],
                # A resumed run keeps its sizes.
                fit=None if is_resumed else fit,
                start=partial(initialize, application),
                interruption=interruption,
            ).train()
    if not place.is_chief:
        print("Trained; the chief has written the files.")
        return
    print(f"Trained. The weights of the best epoch are in {run.intact(run.best_weights)}.")


@contextmanager
def _interruptible(application: str, run: RunDirectory) -> Generator[Interruption]:
    """Handles signals, and completes the message of one that ends the training."""
    with Interruption() as interruption:
        try:
            yield interruption
        except Interrupted as interrupted:
            message = "stopped; the same command begins again"
            if reached := str(interrupted):
                command = f"unroll train {application} --workdir={shlex.quote(os.fspath(run.path))}"
                message = f"stopped {reached}; `{command}` goes on"
            raise Interrupted(interrupted.number, message) from None


def evaluate(workdirs: Sequence[str], split: str, output: str | None, changed: Mapping[str, Any]) -> None:
    """Measures the best weights of a run, prints a table and writes JSON.

    Args:
        workdirs: Run directories; several are measured as one model, on the data of the first.
        split: train, validation or test.
        output: JSON file; None: metrics.json in the run directory, or metrics-NAME.json for another part or several
            runs.
        changed: Options of the run to change, by name.
    """
    if split != "test" and "test_data" in changed:
        raise UserError(
            f"--test_data has an effect only with --split=test, but --split is {split}; leave one of them out."
        )
    run, path = RunDirectory(workdirs[0]), Path(output) if output else None
    if path and path.is_dir():
        raise UserError(f"--output={path} is a directory; give the name of a JSON file.")
    if path:
        _check_writable(path.parent)
    _, own = read_config(run)
    with writable_or_temporary(run.path, "--output=FILE keeps the metrics") as directory:
        task, data, model = _trained(workdirs, changed)
        data.results = data.results._replace(directory=directory, name=name_of_other_data(changed, own))
        if split == "train" or (split == "test" and not data.config.test_data):
            _tell_of_changed_source(data, split)
        path = path or data.results.metrics(split)
        with explained(os.fspath(path), memory_flags(data.config, "evaluate")):
            evaluation = task.report(model, data, split)
            write_json(path, evaluation.metrics | {"split": split} | evaluation.details)
    kept = f"Written to {path}" if output or directory == run.path else "The results were not kept"
    source = changed.get("test_data", data.config.dataset) if split == "test" else data.config.dataset
    paragraphs = [evaluation.report, evaluation.warning, f"{kept}."]
    print(f"{split} part of {source}: " + "\n\n".join(filter(None, paragraphs)))


def _tell_of_changed_source(data: Any, split: str) -> None:
    if changed := data.changed_source():
        print(
            f"{changed} has changed since the run prepared its data: the {split} part is not the one of then, and may "
            "hold examples that the model was trained on.",
            file=sys.stderr,
        )


def inspect(workdir: str, batches: int, output: str | None) -> None:
    """Measures how gradients flow in a run, prints a verdict, and writes numbers, pictures and a page.

    Args:
        workdir: Run directory.
        batches: Number of batches of the training data to read.
        output: Directory of the files; None: inspect/ in the run directory.
    """
    run = RunDirectory(workdir)
    directory = Path(output) if output else run.inspection
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--output={directory} is a file; give a directory.")
    if output:
        _check_writable(directory)
    application, config = read_config(run)
    if not run.has_begun:
        raise UserError(f"The run in {run.path} has no data yet; `unroll train` resumes it.")
    import_keras(config.seed)
    task = task_of(application)
    data = task.data(config, run)
    with writable_or_temporary(directory, "--output=DIRECTORY keeps the report") as written:
        data.prepare()
        model, weights = _with_any_weights(task, data)
        from .inspection.measurements import measure
        from .inspection.report import write_report
        from .inspection.verdict import judge

        with explained(os.fspath(directory), [f"--batches={batches}"]):
            measured = measure(task, data, model, batches) | {"application": application, "weights": weights}
            verdict = judge(measured, config)
            title = f"Gradient flow of {run.path.absolute().name} ({application}, {weights})"
            page = write_report(written, title, measured, verdict, JsonLines(run.gradient_flow).read())
    kept = f"Written to {page}" if written == directory else "The report was not kept"
    print(f"{title}\n\n" + "\n".join(verdict.lines) + f"\n\n{kept}.")


def export(workdirs: Sequence[str], output: str, changed: Mapping[str, Any]) -> None:
    """Exports the best weights of a run as a new version.

    Args:
        workdirs: Run directories; several are exported as one model.
        output: Directory of the model.
        changed: Options of the run to change, by name.
    """
    if not Path(output).is_file():
        _check_writable(Path(output))
    task, data, model = _trained(workdirs, changed)
    from ..export.saved_model import export as export_bundle
    from .about import about

    with explained(output):
        version = export_bundle(task.bundle(model, data), output, about(task, data, model))
    print(f"Exported and verified: {version}")


def check(model: str) -> None:
    """Reads an exported model again, measures it, and prints what was found.

    Args:
        model: Directory of an exported model, whose newest version is checked, or of a version.

    Raises:
        FailedError: If something is wrong.
    """
    from ..serving.versions import newest_version

    version = newest_version(model).absolute()
    import_tensorflow(without=["keras"])
    from ..export.check import check as findings_about

    print(version)
    wrong: list[str] = []
    with explained(model):
        for finding in findings_about(version):
            print(f"  {finding.subject:16} {'' if finding.good else 'WRONG: '}{finding.text}", flush=True)
            wrong += [] if finding.good else [finding.subject]
    if wrong:
        raise FailedError(f"{version} is not in order: {', '.join(wrong)}.")


def predict(model: str, batches: Iterable[Iterable[str]], changed: Mapping[str, Any]) -> None:
    """Prints a JSON object for each line of input. On a terminal, a language model's text is printed as it is written.

    Args:
        model: Directory of an exported model, or its URL on a server.
        batches: Lines of input; those of a batch are answered together.
        changed: Options of the application's `PREDICT` class to change, by name.
    """
    from ..serving.loader import application, load_or_connect
    from ..serving.model import StreamingModel

    options = predict_class(application(model))(**changed)
    refuse_without_effect(options, changed)
    with explained("standard output"):
        loaded, arguments = load_or_connect(model), dataclasses.asdict(options)
        if isinstance(loaded, StreamingModel) and sys.stdout.isatty():
            for line in chain.from_iterable(batches):
                for piece in chain([line], loaded.stream(line, **arguments), ["\n"]):
                    print(piece, end="", flush=True)
            return
        printed = unusable = 0
        for batch in batches:
            for result in loaded.predict(batch, **arguments):
                print(json_line(result._asdict()), flush=True)
                printed += 1
                unusable += bool(getattr(result, "error", ""))
            # The first input alone is drawn.
            arguments.pop("plot", None)
        if printed and unusable == printed:
            raise UserError(f'No input of {printed} can be used; "error" says why.')
        if changed.get("plot") and not printed:
            raise UserError(
                f"--plot={changed['plot']} draws the first line of the input, and there was none."
            )


def predict_file(
    model: str, source: str, column: str | None, output: str, workers: int, changed: Mapping[str, Any]
) -> None:
    """Writes a result for each line of a file to another; the same command goes on after a kill.

    Args:
        model, source, column, output, workers: As for `bulk_prediction.predict_file`.
        changed: Options of the application's `PREDICT` class to change, by name.
    """
    from ..serving.loader import application
    from .bulk_prediction import predict_file as predict_lines

    if "plot" in changed:
        raise UserError(
            f"--plot={changed['plot']} has an effect only without --output; leave one of them out."
        )
    options = predict_class(application(model))(**changed)
    refuse_without_effect(options, changed)
    arguments = {name: value for name, value in dataclasses.asdict(options).items() if name != "plot"}
    with explained(output), Interruption():
        try:
            lines = predict_lines(model, source, column, output, workers, arguments)
        except Interrupted as interrupted:
            message = "stopped; the same command goes on where it was"
            raise Interrupted(interrupted.number, message) from None
    print(f"{counted(lines, 'line')} in {output}.")


def serve(options: ServerOptions) -> None:
    """Serves exported models until it is told to stop.

    Args:
        options: Flags of the server.
    """
    import_tensorflow(without=["keras"])
    from ..serving.server.main import serve as serve_until_stopped

    serve_until_stopped(options)


def _resumed_config(
    run: RunDirectory,
    before: tuple[str, TrainingConfig],
    application: str,
    config: TrainingConfig,
    given: Collection[str],
) -> TrainingConfig:
    """Returns the options of a run with the changes that are allowed."""
    saved_application, saved = before
    if saved_application != application:
        raise UserError(
            f"{run.path} is a run of {saved_application}, not of {application}; give another --workdir."
        )
    changed = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name in given and getattr(config, field.name) != getattr(saved, field.name)
    }
    resumable = {field.name for field in dataclasses.fields(config) if field.metadata["resumable"]}
    for name in sorted(changed.keys() - resumable):
        changeable = ", ".join(f"--{other}" for other in sorted(resumable))
        raise UserError(
            f"The run in {run.path} has --{name}={getattr(saved, name)}, not {changed[name]}; a resumed run "
            f"may change only {changeable}. Leave the flag out, or give another --workdir."
        )
    return saved.changed(changed)


def _check_writable(directory: Path) -> None:
    if not is_writable(directory):
        raise UserError(f"{directory} cannot be written to; give --output in another directory.")


def _trained(workdirs: Sequence[str], changed: Mapping[str, Any]) -> tuple:
    """Returns the task of a run, its data with some options changed, and its model with the best weights; of several
    runs the task and the data of the first, and one model."""
    first, *others = (_trained_alone(RunDirectory(workdir), changed) for workdir in workdirs)
    task, data, model = first
    data.results = data.results._replace(runs=len(workdirs))
    if not others:
        return first
    for other, other_data, _ in others:
        if other is not task or other_data.vocabulary != data.vocabulary:
            raise UserError(
                f"{other_data.run.path} has another application or vocabulary than {data.run.path}; --runs takes runs "
                "of the same training data and the same options of the vocabulary."
            )
        if other_data.encoder != data.encoder:
            raise UserError(
                f"{other_data.run.path} has another frozen encoder than {data.run.path}, and one model reads the "
                "features of one; --runs takes runs of the same --image_encoder, --image_encoder_layers, "
                "--train_encoder_from and --image_size."
            )
    return task, data, task.mean([model, *(of for *_, of in others)])


def _trained_alone(run: RunDirectory, changed: Mapping[str, Any]) -> tuple:
    """Does the work of `_trained` for one run."""
    application, config = read_config(run)
    config = config.changed(changed)
    refuse_without_effect(config, changed)
    if not run.has_best_weights:
        raise UserError(f"The run in {run.path} has not finished an epoch; `unroll train` resumes it.")
    import_keras(config.seed)
    task = task_of(application)
    data = task.data(config, run)
    model = task.build_model(config, data.sizes)
    run.load_best_weights(model)
    return task, data, model


def _with_any_weights(task: Any, data: Any) -> tuple[Any, str]:
    """Returns the model of a run and a description of its weights: the best, or else those of the newest checkpoint."""
    import tensorflow as tf

    from .training.checkpoints import Checkpoints, variables_of

    run, model = data.run, task.build_model(data.config, data.sizes)
    if run.has_best_weights:
        run.load_best_weights(model)
        return model, "best weights"
    progress = Checkpoints(run.checkpoints).load(tf.train.Checkpoint(model=variables_of(model)))
    if progress is None:
        raise UserError(f"The run in {run.path} has no weights yet; `unroll train` resumes it.")
    return model, f"weights of step {progress.step}"
