"""What the commands do, without the command line."""

import dataclasses
import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..common.files import write_json
from ..common.json_lines import JsonLines
from ..common.options import refuse_without_effect
from ..common.quiet_start import import_tensorflow
from ..serving.versions import describe, newest_version
from .applications import predict_class, read_config, task_of
from .exhaustion import explained, memory_flags
from .training.config import TrainingConfig
from .training.run_directory import RunDirectory


def train(
    application: str, config: TrainingConfig, given: Collection[str], named: Collection[str], workdir: str
) -> None:
    """Begins a run, or goes on with it.

    Args:
        application: The task's name.
        config: Configuration of a new run.
        given: Options that are not left at their default; a run that goes on keeps its own for the others.
        named: Those of them that the user named, and not a preset.
        workdir: The run directory.
    """
    run = RunDirectory(workdir)
    if run.exists():
        config = _resumed_config(run, application, config, given)
        refuse_without_effect(config, named)
    else:
        refuse_without_effect(config, named)
        run.create(application, config)
    import_tensorflow()
    from .inspection.live import LiveInspection
    from .inspection.measurements import step_name
    from .training.trainer import Trainer

    advice = f"train in another --workdir than {workdir} with less, or with smaller layers"
    with run.locked(), explained(workdir, memory_flags(config), advice):
        task = task_of(application)
        inspection = LiveInspection(
            JsonLines(run.gradient_flow),
            config.inspect_every,
            task.truncation(config).steps,
            step_name(config),
        )
        Trainer(task, task.data(config, run), observers=[inspection]).train()
    print(f"Trained. The weights of the best epoch are in {run.best_weights}.")


def evaluate(workdir: str, split: str, output: str | None, changed: Mapping[str, Any]) -> None:
    """Measures the best weights of a run, prints a table and writes JSON.

    Args:
        workdir: the run directory.
        split: train, validation or test.
        output: the JSON file; by default metrics.json in the run directory.
        changed: options of the run that are to be others here.
    """
    path = Path(output) if output else Path(workdir) / "metrics.json"
    if path.is_dir():
        raise UserError(f"--output={path} is a directory; give the name of a JSON file.")
    task, data, model = _trained(workdir, changed)
    with explained(os.fspath(path), memory_flags(data.config, "evaluate")):
        evaluation = task.report(model, data, split)
        write_json(path, evaluation.metrics | {"split": split} | evaluation.details)
    source = changed.get("test_data", data.config.dataset) if split == "test" else data.config.dataset
    print(f"{split} part of {source}: {evaluation.report}\n\nWritten to {path}.")


def inspect(workdir: str, batches: int, output: str | None) -> None:
    """Measures how gradients flow in a run, prints a verdict, and writes numbers, pictures and a page.

    Args:
        workdir: the run directory.
        batches: of the training data to read.
        output: directory of the files; by default inspect/ in the run directory.
    """
    run = RunDirectory(workdir)
    directory = Path(output) if output else run.inspection
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--output={directory} is a file; give a directory.")
    application, config = read_config(run)
    if not run.data.exists():
        raise UserError(f"The run in {run.path} has no data yet; `unroll train` goes on with it.")
    import_tensorflow()
    task = task_of(application)
    data = task.data(config, run)
    model, weights = _with_any_weights(task, data)
    from .inspection.measurements import measure
    from .inspection.report import write_report
    from .inspection.verdict import judge

    with explained(os.fspath(directory), [f"--batches={batches}"]):
        measured = measure(task, data, model, batches) | {"application": application, "weights": weights}
        verdict = judge(measured, config)
        title = f"Gradient flow of {run.path.absolute().name} ({application}, {weights})"
        history = JsonLines(run.gradient_flow).read()
        page = write_report(directory, title, measured, verdict, history)
    print(f"{title}\n\n" + "\n".join(verdict.lines) + f"\n\nWritten to {page}.")


def export(workdir: str, output: str, changed: Mapping[str, Any]) -> None:
    """Exports the best weights of a run as a new version.

    Args:
        workdir: the run directory.
        output: the model's directory.
        changed: options of the run that are to be others here.
    """
    task, data, model = _trained(workdir, changed)
    from ..export.saved_model import export as export_bundle

    with explained(output):
        version = export_bundle(task.bundle(model, data), output)
    print(f"Exported and verified: {version}")


def predict(model: str, lines: Iterable[str], changed: Mapping[str, Any]) -> None:
    """Prints a JSON object for each line of input; or, on a terminal, what a model writes while it writes.

    Args:
        model: directory of an exported model.
        lines: of input.
        changed: the `PREDICT` options of the application that are not to have their default.
    """
    from .. import serving

    options = predict_class(describe(newest_version(model))["application"])(**changed)
    refuse_without_effect(options, changed)
    with explained("standard output"):
        loaded, arguments = serving.load(model), dataclasses.asdict(options)
        if loaded.streams and sys.stdout.isatty():
            for line in lines:
                for piece in chain([line], loaded.stream(line, **arguments), ["\n"]):
                    print(piece, end="", flush=True)
            return
        for result in loaded.predict(lines, **arguments):
            print(json.dumps(result._asdict(), ensure_ascii=False), flush=True)


def _resumed_config(
    run: RunDirectory, application: str, config: TrainingConfig, given: Collection[str]
) -> TrainingConfig:
    saved_application, saved = read_config(run)
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
    # Before the data is prepared nothing depends on the options, and a mistake in them can be mended.
    refused = changed.keys() - resumable if run.data.exists() else set()
    for name in sorted(refused):
        raise UserError(
            f"The run in {run.path} has --{name}={getattr(saved, name)}, not {changed[name]}, and is resumed as it was "
            f"begun; only {', '.join(sorted(resumable))} may change. Leave the flag out, or give another --workdir."
        )
    if changed:
        saved = dataclasses.replace(saved, **changed)
        run.save_config(application, saved)
    return saved


def _trained(workdir: str, changed: Mapping[str, Any]) -> tuple:
    """The task of a run, its data with some options changed, and its model with the best weights."""
    run = RunDirectory(workdir)
    application, config = read_config(run)
    config = dataclasses.replace(config, **changed)
    refuse_without_effect(config, changed)
    if not run.best_weights.exists():
        raise UserError(f"The run in {run.path} has not finished an epoch; `unroll train` goes on with it.")
    import_tensorflow()
    task = task_of(application)
    data = task.data(config, run)
    model = task.build_model(config, data.sizes)
    model.load_weights(run.best_weights)
    return task, data, model


def _with_any_weights(task: Any, data: Any) -> tuple[Any, str]:
    """The model of a run with its best weights, or those of the newest checkpoint; and which they are."""
    import tensorflow as tf

    from .training.checkpoints import Checkpoints
    from .training.optimizers import build_optimizer

    run, model = data.run, task.build_model(data.config, data.sizes)
    if run.best_weights.exists():
        model.load_weights(run.best_weights)
        return model, "best weights"
    # Layers in lists are in a checkpoint by way of the optimiser, which has all weights that are trained.
    optimizer = build_optimizer(data.config)
    optimizer.build(model.trainable_variables)
    progress = Checkpoints(run.checkpoints).load(tf.train.Checkpoint(model=model, optimizer=optimizer))
    if progress is None:
        raise UserError(f"The run in {run.path} has no weights yet; `unroll train` goes on with it.")
    return model, f"weights of step {progress.step}"
