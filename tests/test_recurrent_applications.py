"""A cell in the applications: training, inspection, export and the exported model, from the command line."""

import json

import pytest
from captioned_images import as_flags
from tiny_training import (
    metrics_lines,
    tiny_options,
    tiny_text_options,
    tiny_translation_options,
    write_texts,
)

from unroll.tasks import cli

# How it starts, by flags that all applications have.
START = {
    "forget_bias": "log",
    "recurrent_initializer": "glorot_uniform",
    "recurrent_gain": 0.9,
    "activation": "softsign",
}
APPLICATIONS = {
    "sentiment": tiny_options,
    # Its decoder is that of captioning.
    "translation": lambda path: tiny_translation_options(path) | {"bridge": "dense"},
    "language_modeling": lambda path: tiny_text_options(write_texts(path / "texts", [300, 200])),
}


@pytest.mark.usefixtures("replayed_here")
@pytest.mark.parametrize("application", APPLICATIONS)
def test_a_gru_learns_and_is_inspected_and_exported(application, tmp_path, capsys):
    options = (
        APPLICATIONS[application](tmp_path) | START | {"cell": "gru", "epochs": 3, "learning_rate": 0.02}
    )
    run = tmp_path / "run"
    assert cli.main(["train", application, f"--workdir={run}", *as_flags(options)]) == 0
    losses = [line["train_loss"] for line in metrics_lines(run) if "train_loss" in line]
    assert losses[-1] < losses[0] - 0.02
    assert cli.main(["inspect", f"--workdir={run}", "--batches=2"]) == 0
    report = json.loads((run / "inspect" / "gradient_flow.json").read_text(encoding="utf-8"))
    for layer in report["layers"]:
        assert (layer["cell"], layer["activation"]) == ("gru", "softsign")
        assert list(layer["kernel"]) == ["update", "reset", "candidate"]
        assert list(layer["gates"]) == ["update", "reset"]
        assert layer["gates"]["update"]["memory_median"] > 0
    # Exporting compares the exported model with the one in memory.
    assert cli.main(["export", f"--workdir={run}", f"--output={tmp_path / 'exports'}"]) == 0
    assert "gru" in capsys.readouterr().out
