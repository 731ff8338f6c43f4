"""`unroll inspect` on runs, and `--inspect_every` while they train."""

import contextlib
import html.parser
import io
import json
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import (
    best_weights,
    checkpoint_tensors,
    checkpoints,
    metrics_lines,
    tiny_options,
    tiny_text_options,
    write_texts,
)

from unroll.common.json_lines import JsonLines
from unroll.models.options import TranslationOptions
from unroll.models.translation import TranslationModel
from unroll.tasks import cli
from unroll.tasks.inspection.flow import FlowMeter
from unroll.tasks.inspection.live import LiveInspection
from unroll.tasks.inspection.pictures import distance_picture, spectrum_picture
from unroll.tasks.sentiment.task import Classification
from unroll.tasks.translation.task import TargetTokens

FILES = {"gradient_flow.json", "report.html", "distance.png", "spectrum.png"}


def inspect(workdir, *flags):
    return cli.main(["inspect", f"--workdir={workdir}", "--batches=2", *flags])


def files_of(directory):
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def report(directory):
    return json.loads((directory / "gradient_flow.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def inspected(trained_run, tmp_path_factory):
    """A copy of a sentiment run, inspected, and the output of the inspection."""
    workdir = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("inspected") / "run"))
    before, out = files_of(workdir), io.StringIO()
    with contextlib.redirect_stdout(out):
        assert inspect(workdir) == 0
    assert files_of(workdir) - before == {f"inspect/{name}" for name in FILES}
    return workdir, out.getvalue()


def test_numbers_are_written(inspected):
    found = report(inspected[0] / "inspect")
    assert found["verdict"] in ("healthy", "vanishing", "exploding")
    assert (found["application"], found["weights"], found["step"]) == ("sentiment", "best weights", "word")
    assert [layer["name"] for layer in found["layers"]] == [
        "recurrent/lstm_0 forward",
        "recurrent/lstm_0 backward",
    ]
    for layer in found["layers"]:
        assert layer["reach"][0] == 1
        assert len(layer["reach"]) == len(layer["rows"]) == len(layer["loss_h"]) == len(layer["loss_c"])
        assert all(len(gate["singular_values"]) == 6 for gate in layer["kernel"].values())
        assert 0 < layer["gates"]["forget"]["mean"] < 1
        assert layer["jacobians"]["distances"][0] == 1


def test_verdict_is_printed(inspected):
    _, out = inspected
    assert "of the last word's gradient" in out
    assert "report.html" in out


@pytest.mark.parametrize("layers", [2, 12])
@pytest.mark.parametrize("reach", [0.9, 1.0, 1e-5, 0.0, None])
def test_notes_and_legends_leave_the_axes_their_room(inspected, recwarn, reach, layers):
    measured = report(inspected[0] / "inspect") | {"truncation": 3}
    for layer in measured["layers"]:
        layer["reach"] = [1.0] + [reach] * (len(layer["reach"]) - 1)
    measured["layers"] *= layers // 2
    for figure in (distance_picture(measured), spectrum_picture(measured)):
        figure.draw_without_rendering()
        assert min(axes.get_position().height for axes in figure.axes) > 0.5
    assert not recwarn.list


def test_page_needs_no_network(inspected):
    sources, text = [], (inspected[0] / "inspect" / "report.html").read_text(encoding="utf-8")

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            sources.extend(value for name, value in attributes if name in ("src", "href"))

    Reader().feed(text)
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in text.replace(sources[0], "").replace(sources[1], "")
    assert "lstm_0 forward" in text


def test_checkpoints_alone_are_enough(inspected, trained_run, tmp_path, capsys):
    workdir = Path(shutil.copytree(trained_run, tmp_path / "run"))
    shutil.rmtree(workdir / "best")
    assert inspect(workdir, f"--output={tmp_path / 'report'}") == 0
    assert "weights of step" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "report").iterdir()} == FILES
    # The run has one epoch without averages: its last weights are the best.
    assert report(tmp_path / "report")["layers"] == report(inspected[0] / "inspect")["layers"]


def test_mistakes_are_one_sentence(trained_run, tmp_path, capsys):
    def refused(said, *arguments):
        assert cli.main(["inspect", *arguments]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unroll:")]
        assert said in line

    refused("inspect needs --workdir")
    refused("is not a run directory", f"--workdir={tmp_path / 'nowhere'}")
    refused("--batches=none: give a whole number", f"--workdir={trained_run}", "--batches=none")
    refused("--batches=0: 0 is not a positive integer", f"--workdir={trained_run}", "--batches=0")
    file = tmp_path / "file"
    file.touch()
    refused("is a file; give a directory", f"--workdir={trained_run}", f"--output={file}")
    workdir = tmp_path / "run"
    workdir.mkdir()
    shutil.copy(trained_run / "config.json", workdir)
    refused("has no data yet", f"--workdir={workdir}")
    for name in ("data", "vocabulary"):
        shutil.copytree(trained_run / name, workdir / name)
    refused("has no weights yet", f"--workdir={workdir}")


def test_language_models_are_measured_beyond_their_windows(tmp_path):
    options = tiny_text_options(write_texts(tmp_path / "texts", [400, 90]))
    workdir = tmp_path / "run"
    flags = [f"--{name}={value}" for name, value in options.items()]
    assert cli.main(["train", "language_modeling", f"--workdir={workdir}", *flags]) == 0
    assert inspect(workdir) == 0
    found = report(workdir / "inspect")
    (layer,) = found["layers"]
    assert found["truncation"] == 8
    assert len(layer["loss_h"]) == 8
    assert len(layer["reach"]) > 8
    assert found["layers_verdict"][0]["distance"] == 7


def test_decoders_with_input_feeding_are_measured(rng):
    model = TranslationModel(9, 9, TranslationOptions(units=4, embedding_size=3, input_feeding=True))
    source, target = (
        tf.constant([[4, 5, 6, 0], [5, 4, 7, 8]]),
        tf.constant([[2, 5, 6, 3, 0], [2, 6, 7, 8, 3]]),
    )
    model.logits(model(source, target[:, :-1])[:, 0])

    batch = {"source": source, "target": target}
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in batch}
    meter = FlowMeter(TargetTokens(0.0), model, spec, (), truncated=True, closely=True)
    sums, _ = meter(batch)
    assert meter.names == ["encoder/lstm_0 forward", "encoder/lstm_0 backward", "decoder/recurrent/lstm_0"]
    # Three tokens and the end in the first row, four and the end in the second; one step each.
    np.testing.assert_array_equal(sums[2]["rows"], [2, 2, 2, 1])
    assert sums[2]["reach"].all()
    assert sums[2]["steps"] == 7


# While training.


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    random_parts = {"dropout": 0.2, "recurrent_dropout": 0.2, "truncate_gradient": 4, "checkpoint_every": 3}
    return tiny_options(tmp_path_factory.mktemp("data")) | random_parts


def train(workdir, options, **changes):
    flags = [f"--{name}={value}" for name, value in (options | changes).items()]
    assert cli.main(["train", "sentiment", f"--workdir={workdir}", *flags]) == 0
    return workdir


@pytest.fixture(scope="module")
def watched(options, tmp_path_factory):
    """A run with --inspect_every=4, whose graph is made once."""
    traced = []
    loss = Classification.loss

    def noting(self, model, batch, training, carry=()):
        traced.append(training)
        return loss(self, model, batch, training, carry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classification, "loss", noting)
        workdir = train(tmp_path_factory.mktemp("watched") / "run", options, inspect_every=4)
    # Once for the step, and once for the measurements.
    assert sorted(traced) == [False, True]
    return workdir


def flow_lines(workdir):
    return [json.loads(line) for line in (workdir / "gradient_flow.jsonl").read_text().splitlines()]


def test_inspection_does_not_change_the_training(watched, options, tmp_path):
    plain = train(tmp_path / "run", options)
    assert not (plain / "gradient_flow.jsonl").exists()
    assert metrics_lines(plain) == metrics_lines(watched)
    for one, other in (
        (best_weights(plain), best_weights(watched)),
        (checkpoint_tensors(checkpoints(plain)[-1]), checkpoint_tensors(checkpoints(watched)[-1])),
    ):
        assert one.keys() == other.keys()
        for name in one:
            if not name.startswith("_CHECKPOINTABLE"):
                assert np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes(), name


def test_lines_are_written_every_so_many_steps(watched):
    lines = flow_lines(watched)
    assert [line["step"] for line in lines] == list(range(0, 4 * len(lines), 4))
    assert len(lines) > 5
    for layer in lines[0]["layers"]:
        assert len(layer["distances"]) == len(layer["reach"]) == len(layer["loss_h"]) == len(layer["loss_c"])
        assert (layer["distances"][:4], layer["reach"][0]) == ([0, 1, 2, 3], 1)


def test_live_reach_ignores_the_truncation(watched):
    longest = max((line["layers"][0] for line in flow_lines(watched)), key=lambda layer: len(layer["reach"]))
    # The gradient is cut after 4 steps.
    assert longest["distances"][5:7] == [5, 7]
    assert all(reach > 0 for reach in longest["reach"])


def test_tensorboard_has_the_curves_and_a_picture(watched):
    tags = set()
    for path in (watched / "logs").glob("*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert "reach/recurrent/lstm_0 forward/001_back" in tags
    assert "dL_dh/recurrent/lstm_0 backward/004_back" in tags
    assert "reach/recurrent/lstm_0 forward" in tags


def test_run_that_goes_on_cuts_the_lines_back(watched, options, tmp_path):
    workdir = Path(shutil.copytree(watched, tmp_path / "run"))
    # The one before is from before the last epoch was evaluated.
    shutil.rmtree(checkpoints(workdir)[-1])
    with (workdir / "gradient_flow.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 99, "layers": []}\n{"st')
    train(workdir, options, inspect_every=4)
    assert (workdir / "gradient_flow.jsonl").read_bytes() == (watched / "gradient_flow.jsonl").read_bytes()


def test_inspect_draws_the_history(watched):
    assert inspect(watched) == 0
    assert {path.name for path in (watched / "inspect").iterdir()} == FILES | {"history.png"}
    text = (watched / "inspect" / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/png") == 3


def scripted_inspection(path, reach):
    """An inspection of every tenth step, where the gradient of the last step reaches so far."""
    ones = np.ones(len(reach), np.float32)
    inspection = LiveInspection(JsonLines(path), 10, None, "word")
    scripted = {"rows": ones, "loss": [ones], "reach": reach, "last": ones}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unroll.tasks.inspection.live.FlowMeter", lambda *_, **__: _Scripted(scripted))
        inspection.begin(MagicMock(), tf.summary.create_noop_writer())
    return inspection


@pytest.mark.parametrize(
    ("reach", "said"),
    [
        (0.5 ** np.arange(30), "Step 100: rnn: vanishing: a word 29 steps back gets 2e-09"),
        (1.5 ** np.arange(30), "Step 0: rnn: exploding: the last word's gradient grows"),
        (0.9 ** np.arange(30), ""),
    ],
)
def test_a_warning_comes_once_in_a_run(tmp_path, capsys, reach, said):
    for steps in (range(115), range(115, 135)):
        # The second time the run is resumed.
        inspection = scripted_inspection(tmp_path / "lines", reach)
        for step in steps:
            inspection.before_step(step, None)
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("Step") == bool(said)
    assert [line["step"] for line in inspection.lines.read()] == list(range(0, 135, 10))


def test_a_run_that_resumes_before_its_warning_warns_again(tmp_path, capsys):
    inspection = scripted_inspection(tmp_path / "lines", 0.5 ** np.arange(30))
    inspection.before_step(90, None)
    size = inspection.lines.size
    inspection.before_step(100, None)
    inspection.lines.cut(size)
    scripted_inspection(tmp_path / "lines", 0.5 ** np.arange(30)).before_step(100, None)
    assert capsys.readouterr().err.count("vanishing") == 2


class _Scripted:
    """A meter whose measurement is given beforehand."""

    names = ("rnn",)

    def __init__(self, sums):
        self.sums = sums

    def __call__(self, batch, carry):
        return [self.sums], ()
