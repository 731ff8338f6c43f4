"""The command line: help, presets, the output of each command, and invalid flags."""

import dataclasses
import errno
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from absl import flags as absl_flags

from unroll.common import flags, options
from unroll.common.errors import FailedError
from unroll.tasks import applications, cli, commands

TRAIN = ["train", "sentiment", "--workdir=run"]
TRAIN_ON_TEXT = ["train", "language_modeling", "--workdir=run"]
TRAIN_TRANSLATOR = ["train", "translation", "--workdir=run"]
TRAIN_CAPTIONER = ["train", "captioning", "--workdir=run"]
HELP = {
    "nothing": ([], "usage: unroll COMMAND"),
    "command": (["--help"], "usage: unroll COMMAND"),
    "train": (["train", "--help"], "usage: unroll COMMAND"),
    "train_short": (["train", "-h"], "usage: unroll COMMAND"),
    "task": (
        ["train", "sentiment", "--help"],
        "--pooling=last|mean|max|attention (default max, only with another --cell than none)",
    ),
    "task_short": (["train", "sentiment", "-h"], "--learning_rate=float (default 0.002)"),
    "evaluate": (["evaluate", "--help"], "--split=train|validation|test (default test)"),
    "inspect": (["inspect", "--help"], "--batches=int (default 4)"),
    "export": (["export", "--help"], "--output"),
    "predict": (["predict", "--help"], "standard input"),
    "predict_usage": (["predict", "--help"], "[TEXT ...]   print one JSON object per line\n\n  --model"),
    "task_usage": (["train", "sentiment", "--help"], "unroll train sentiment --workdir=RUN"),
    "predict_short": (["predict", "-h"], "--model"),
    "predict_of_tasks": (["predict", "--help"], "for language_modeling:\n\n  --max_length=int (default 200)"),
    "evaluate_of_tasks": (["evaluate", "--help"], "zip file or folder of JPEG and PNG images"),
    "version": (["--version"], "unroll 0.1.0 (Python 3."),
}
HELP |= {task: (["train", task, "--help"], "--epochs=int") for task in applications.APPLICATIONS}
FLAG_ERRORS = {
    "command": (
        ["trian"],
        "no command 'trian'; choose one of train, evaluate, inspect, export, check, predict",
    ),
    "no_task": (["train"], "needs a task; choose one of sentiment, language_modeling"),
    "flag_for_task": (["train", "--workdir=run"], "needs a task"),
    "task": (["train", "weather", "--workdir=run"], "no task 'weather'; choose one of sentiment"),
    "help_of_unknown_task": (["train", "weather", "--help"], "no task 'weather'"),
    "flag": ([*TRAIN, "--unitz=3"], "'unitz'. Did you mean: units"),
    "flag_of_command": (["predict", "--bogus"], "'bogus'"),
    "flag_or_text": (["predict", "-Good"], "'Good'. If it is a text, put -- before the texts."),
    "flag_or_text_with_dashes": (["predict", "--max-length=3"], "'max-length'. If it is a text, put --"),
    "flag_of_a_model_that_is_not_there": (["predict", "--model=m", "--seed=1"], "m holds no exported model"),
    "flag_of_a_run_that_is_not_there": (["evaluate", "--workdir=run", "--test_data=f"], "run is not a run"),
    "not_a_whole_number": ([*TRAIN, "--units=2.5"], "--units=2.5: give a whole number"),
    "more_than_an_int32": ([*TRAIN, "--units=2147483648"], "--units=2147483648: give at most 2,147,483,647"),
    "not_a_number": ([*TRAIN, "--learning_rate=high"], "--learning_rate=high: give a number"),
    "infinite": ([*TRAIN, "--global_clipnorm=inf"], "--global_clipnorm=inf: give a finite number"),
    "nan": ([*TRAIN, "--dropout=nan"], "--dropout=nan: give a finite number"),
    "more_than_a_float32": ([*TRAIN, "--learning_rate=1e39"], "--learning_rate=1e39: give a finite number"),
    "bias_more_than_a_float32": (
        [*TRAIN, "--forget_bias=-1e39"],
        "--forget_bias is -1e39; give a number, or log",
    ),
    "large_seed": ([*TRAIN, "--seed=4294967296"], "--seed=4294967296"),
    "too_small": ([*TRAIN, "--units=0"], "--units=0"),
    "too_large": ([*TRAIN, "--dropout=1.5"], "--dropout=1.5"),
    "not_a_choice": ([*TRAIN, "--cell=gur"], "lstm|gru|simple_rnn"),
    "not_a_boolean": ([*TRAIN, "--bidirectional=perhaps"], "--bidirectional=perhaps: give true or false"),
    "not_a_boolean_either": ([*TRAIN_TRANSLATOR, "--residual=2"], "--residual=2: give true or false"),
    "no_value": ([*TRAIN, "--units"], "--units"),
    "preset": ([*TRAIN, "--preset=nosuch"], "no preset 'nosuch'; choose one of"),
    "flagfile": ([*TRAIN, "--flagfile=nosuch.flags"], "--flagfile=nosuch.flags cannot be read: No such file"),
    "flagfile_of_no_name": ([*TRAIN, "--flagfile="], "--flagfile= names no file"),
    "flagfile_of_a_directory": ([*TRAIN, "--flagfile=/"], "--flagfile=/ cannot be read: Is a directory"),
    "url_of_a_run": (["train", "sentiment", "--workdir=http://host/run"], "give a path on this machine"),
    "url_of_a_file": (
        [*TRAIN, "--train_data=https://host/f.tsv"],
        "give a path on this machine, not https://",
    ),
    "url_to_check": (["check", "--model=grpc://host/m"], "give a path on this machine, not grpc://"),
    "flagfile_of_bytes": (
        [*TRAIN, f"--flagfile={sys.executable}"],
        "--flagfile names a file that is not text",
    ),
    "stray": ([*TRAIN, "reviews.tsv"], "unroll: train sentiment takes no argument 'reviews.tsv'"),
    "stray_between_flags": ([*TRAIN, "reviews.tsv", "--units=3"], "'reviews.tsv'"),
    "no_workdir": (["train", "sentiment"], "needs --workdir; see `unroll train sentiment --help`"),
    "evaluate_no_workdir": (["evaluate"], "evaluate needs --workdir"),
    "evaluate_no_run": (["evaluate", "--workdir=run", "--split=test"], "run is not a run directory"),
    "inspect_no_workdir": (["inspect"], "inspect needs --workdir"),
    "inspect_no_batches": (["inspect", "--workdir=run", "--batches=no"], "--batches=no"),
    "export_no_workdir": (["export", "--output=model"], "export needs --workdir"),
    "export_no_run": (["export", "--workdir=run"], "run is not a run directory"),
    "predict_no_model": (["predict", "Good."], "predict needs --model"),
    "predict_no_such_model": (["predict", "--model=m", "--input=f", "Good."], "m holds no exported model"),
    "tied_embeddings": (
        [*TRAIN_ON_TEXT, "--tie_embeddings", "--embedding_size=5", "--units=8"],
        "--embedding_size and --units to be equal, but they are 5 and 8",
    ),
    "tied_one_hot": ([*TRAIN_ON_TEXT, "--tie_embeddings"], "--embedding_size and --units to be equal"),
    "odd_units": ([*TRAIN_TRANSLATOR, "--units=7"], "--units=7 is odd; a bidirectional encoder"),
    "blind_decoder": (
        [*TRAIN_TRANSLATOR, "--attention=none", "--bridge=zero"],
        "leave the decoder nothing of",
    ),
    "same_language": ([*TRAIN_TRANSLATOR, "--target_language=en"], "are both 'en'"),
    "no_beam": ([*TRAIN_TRANSLATOR, "--beam_width=0"], "--beam_width=0"),
    "wide_beam": (
        [*TRAIN_TRANSLATOR, "--beam_width=101", "--vocabulary_size=100"],
        "--beam_width=101 is larger than --vocabulary_size=100",
    ),
    "no_vocabulary": ([*TRAIN_TRANSLATOR, "--vocabulary_size=4"], "--vocabulary_size=4"),
    "least_above_most": (
        [*TRAIN_TRANSLATOR, "--min_decode_length=9", "--max_decode_length=8"],
        "--min_decode_length=9 is more than --max_decode_length=8",
    ),
    "flag_of_another_task": ([*TRAIN_ON_TEXT, "--label_column=label"], "'label_column'"),
    "order": ([*TRAIN_ON_TEXT, "--ngram_order=-1"], "--ngram_order=-1"),
    "no_clipping": ([*TRAIN, "--global_clipnorm=0"], "--global_clipnorm=0"),
    "files_without_data": ([*TRAIN, "--dataset=files"], "needs --train_data=FILE"),
    "data_without_files": ([*TRAIN, "--train_data=f.tsv"], "--train_data names files, but --dataset is"),
    "validation_without_files": (
        [*TRAIN, "--validation_data=f.tsv"],
        "--validation_data names files, but --dataset is",
    ),
    "nothing_to_train_on": (
        [*TRAIN, "--test_fraction=0.5", "--validation_fraction=0.5"],
        "less than a tenth",
    ),
}
# A flag that has no effect with the others, which comes last.
WITHOUT_EFFECT = {
    "momentum": ([*TRAIN, "--momentum=0.9"], "--optimizer=sgd, but --optimizer is adam"),
    "weight_decay": (
        [*TRAIN, "--optimizer=sgd", "--weight_decay=1"],
        "--optimizer=adamw, but --optimizer is sgd",
    ),
    "plateau_patience": ([*TRAIN, "--plateau_patience=2"], "--schedule=plateau, but --schedule is cosine"),
    "plateau_factor": ([*TRAIN, "--plateau_factor=0.1"], "--schedule=plateau, but"),
    "validation_fraction": (
        [*TRAIN, "--dataset=files", "--train_data=t", "--validation_data=/v", "--validation_fraction=0.1"],
        "only without --validation_data, but --validation_data is /v",
    ),
    "test_fraction": (
        [*TRAIN, "--test_data=/t", "--test_fraction=0.1"],
        "without --test_data, but --test_data is /t",
    ),
    "batch_tokens": ([*TRAIN_ON_TEXT, "--batch_tokens=9"], "with --truncation=0, but --truncation is 128"),
    "shuffle_buffer": (
        [*TRAIN_ON_TEXT, "--shuffle_buffer=9"],
        "with --truncation=0, but --truncation is 128",
    ),
    "batch": ([*TRAIN_ON_TEXT, "--truncation=0", "--batch=9"], "with --truncation>0, but --truncation is 0"),
    "residual": ([*TRAIN_TRANSLATOR, "--residual"], "with --layers>1, but --layers is 1"),
    "doubly_stochastic": (
        [*TRAIN_CAPTIONER, "--attention=none", "--doubly_stochastic=1"],
        "with another --attention than none, but --attention is none",
    ),
    "gated_context": (
        [*TRAIN_CAPTIONER, "--attention=none", "--nogated_context"],
        "than none, but --attention is",
    ),
    "rewarded_learning_rate": (
        [*TRAIN_CAPTIONER, "--rewarded_learning_rate=1"],
        "with --rewarded_epochs>0, but",
    ),
    "rewarded_cider": ([*TRAIN_CAPTIONER, "--rewarded_cider=1"], "with --rewarded_epochs>0, but"),
    "rewarded_likelihood": ([*TRAIN_TRANSLATOR, "--rewarded_likelihood=1"], "with --rewarded_epochs>0, but"),
    "coverage_penalty": (
        [*TRAIN_TRANSLATOR, "--attention=none", "--coverage_penalty=1"],
        "with another --attention than none, but --attention is none",
    ),
    "upper_layers": (
        [*TRAIN_CAPTIONER, "--attention=none", "--upper_layers=1"],
        "with another --attention than none, but --attention is none",
    ),
    "shortlist": (
        [*TRAIN_TRANSLATOR, "--attention=none", "--shortlist=9"],
        "with another --attention than none, but --attention is none",
    ),
    "copy_unknown": (
        [*TRAIN_TRANSLATOR, "--attention=none", "--copy_unknown"],
        "with another --attention than none, but --attention is none",
    ),
    "ngram_buckets": ([*TRAIN, "--ngrams=0", "--ngram_buckets=9"], "with --ngrams>0, but --ngrams is 0"),
    "vocabulary_size": (
        [*TRAIN_ON_TEXT, "--vocabulary_size=20"],
        "with --tokenizer=subwords or words, but --tokenizer is characters",
    ),
    "image_encoder_layers": (
        [*TRAIN_CAPTIONER, "--image_encoder_layers=a,b"],
        "--image_encoder_layers=a,b has an effect only with another --image_encoder than small, but",
    ),
    "train_encoder_from": (
        [*TRAIN_CAPTIONER, "--train_encoder_from=a"],
        "with another --image_encoder than small, but --image_encoder is small",
    ),
    "encoder_rate": (
        [*TRAIN_CAPTIONER, "--encoder_rate=0.1"],
        "with --train_encoder_from, but --train_encoder_from is None",
    ),
    "segmentation_dropout": (
        [*TRAIN_CAPTIONER, "--segmentation_dropout=0.1"],
        "--segmentation_dropout=0.1 has an effect only with --tokenizer=subwords, but --tokenizer is words",
    ),
    "both_directions": (
        [*TRAIN_TRANSLATOR, "--both_directions=1"],
        "--both_directions=1 has an effect only with --joint_vocabulary=True, but --joint_vocabulary is False",
    ),
    "skip_connections": ([*TRAIN_ON_TEXT, "--skip_connections"], "with --layers>1, but --layers is 1"),
    "ngram_weight": (
        [*TRAIN_ON_TEXT, "--ngram_order=0", "--ngram_weight=0.4"],
        "with --ngram_order>0, but --ngram_order is 0",
    ),
    **{
        name: ([*TRAIN_ON_TEXT, f"--{name}={value}"], "with --adapt=True, but --adapt is False")
        for name, value in {"adapt_rate": 0.1, "adapt_decay": 0.1, "adapt_segment": 8}.items()
    },
    **{
        name: (
            [*TRAIN, "--cell=none", f"--{name}={value}"],
            "with another --cell than none, but --cell is none",
        )
        for name, value in {
            "layers": 2,
            "units": 9,
            "embedding_size": 9,
            "bidirectional": "false",
            "segment": 9,
            "pooling": "mean",
            "dropout": 0.1,
            "recurrent_dropout": 0.1,
            "word_dropout": 0.1,
            "weight_drop": 0.1,
            "zoneout": 0.1,
            "adversarial": 0.1,
            "truncate_gradient": 9,
            "activation": "relu",
            "recurrent_initializer": "glorot_uniform",
            "recurrent_gain": 2,
            "forget_bias": 1,
        }.items()
    },
    "image_encoder_weights": (
        [*TRAIN_CAPTIONER, "--image_encoder_weights=w"],
        "with another --image_encoder than small, but --image_encoder is small",
    ),
    "of_a_preset": (
        [*TRAIN, "--preset=demo", "--schedule=cosine", "--plateau_factor=0.1"],
        "but --schedule is cosine",
    ),
}
FLAG_ERRORS |= WITHOUT_EFFECT


@pytest.fixture(scope="module")
def without_tensorflow():
    """Exit code, stdout and stderr of each of the commands above, from one process that never imports TensorFlow."""
    program = """
import contextlib, io, json, sys
from unroll.tasks import cli

answers = []
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments)
    assert "tensorflow" not in sys.modules, arguments
    answers.append([code, out.getvalue(), err.getvalue()])
json.dump(answers, sys.stdout)
"""
    commands = [arguments for arguments, _ in (*HELP.values(), *FLAG_ERRORS.values())]
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, input=json.dumps(commands), capture_output=True, text=True, check=True)
    return {tuple(given): answer for given, answer in zip(commands, json.loads(result.stdout), strict=True)}


def assert_refused(code, err, said):
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("unroll:")]
    assert said in line
    assert "Traceback" not in err


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused, with these words."""

    def run(arguments, said):
        code = cli.main(arguments)
        assert_refused(code, capsys.readouterr().err, said)

    return run


@pytest.fixture
def table(tmp_path):
    """Writes a TSV file and returns the flags to train on it."""

    def write(content, *others, name="train.tsv", parts=("--validation_fraction=0.4",)):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        return [
            *["train", "sentiment", "--dataset=files", f"--workdir={tmp_path / 'run'}"],
            *[f"--train_data={path}", *parts, "--min_count=1", *others],
        ]

    return write


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["evaluate", "--split=tset"], "--split=tset: value should be one of <train|validation|test>"),
        (["export"], "export needs --output"),
    ],
)
def test_flag_errors_with_a_run(trained_run, refused, command, said):
    refused([*command, f"--workdir={trained_run}"], said)


def test_texts_and_a_file_of_texts_are_one_too_many(exported_model, refused):
    refused(["predict", f"--model={exported_model}", "--input=f", "Good."], "texts and --input")


def rows(labels, count=20):
    return "text\tlabel\n" + "".join(
        f"This is number {number}.\t{labels[number % len(labels)]}\n" for number in range(count)
    )


# Help and flags, at once.


@pytest.mark.parametrize("level", HELP)
def test_help_is_printed_without_tensorflow(without_tensorflow, level):
    arguments, said = HELP[level]
    code, out, err = without_tensorflow[tuple(arguments)]
    assert (code, err) == (0, "")
    assert said in out


@pytest.mark.parametrize("task", applications.APPLICATIONS)
def test_help_of_a_task_tells_every_flag(without_tensorflow, task):
    _, out, _ = without_tensorflow["train", task, "--help"]
    for field, _ in options.of(applications.config_class(task)):
        assert f"  --{field.name}=" in out
        assert field.metadata["help"] in out
        if field.metadata["only"]:
            assert f"only {field.metadata['only']})" in out
    assert f"one of: {', '.join(applications.presets(task))}" in out


def test_help_of_evaluate_tells_the_flags_of_the_run(without_tensorflow, trained_run, capsys):
    _, out, _ = without_tensorflow["evaluate", "--help"]
    assert "for sentiment:\n\n  --test_data" in out
    assert "--ngram_order" in out
    assert cli.main(["evaluate", f"--workdir={trained_run}", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--test_data" in out
    assert "--units" not in out
    assert "--ngram_order" not in out


def test_a_test_file_belongs_to_the_test_split(trained_run, refused):
    refused(
        ["evaluate", f"--workdir={trained_run}", "--split=train", "--test_data=f"],
        "--test_data has an effect only with --split=test, but --split is train",
    )


@pytest.mark.parametrize("error", FLAG_ERRORS)
def test_flag_errors_are_one_line_without_tensorflow(without_tensorflow, error):
    arguments, said = FLAG_ERRORS[error]
    code, out, err = without_tensorflow[tuple(arguments)]
    assert out == ""
    assert len(err.splitlines()) == 1
    assert_refused(code, err, said)


def test_the_installed_command_exits_with_its_code():
    program = Path(sys.executable).with_name("unroll")
    result = subprocess.run([program, "train", "weather"], capture_output=True, text=True, check=False)
    assert_refused(result.returncode, result.stderr, "no task 'weather'")


# Presets.


def test_output_that_nobody_reads_is_no_error_and_output_without_room_is():
    """Both are found at the end, when Python writes what is left."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "unroll.tasks.cli", "help"]
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full, os.fdopen(writer, "wb") as closed:
        results = [
            subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment)
            for output in (full, closed)
        ]
    assert [result.returncode for result in results] == [2, 0]
    assert [result.stderr for result in results] == [
        "unroll: standard output cannot be written: No space left on device.\n",
        "",
    ]


@pytest.mark.parametrize(
    ("application", "preset"),
    [
        (application, preset)
        for application in applications.APPLICATIONS
        for preset in applications.presets(application)
    ],
)
def test_preset_is_made_of_flags_of_its_task_and_names_no_local_path(application, preset):
    path = applications.presets(application)[preset]
    text = path.read_text(encoding="utf-8")
    assert f"unroll train {application} --preset={preset}" in text
    given = dict(line[2:].partition("=")[::2] for line in text.splitlines() if line.startswith("--"))
    assert given.keys().isdisjoint({"workdir", "flagfile", "train_data", "validation_data", "test_data"})
    assert not any(value.startswith(("/", "~", ".")) for value in given.values())

    config_class = applications.config_class(application)
    fields, values = options.of(config_class), absl_flags.FlagValues()
    flags.define(fields, values)
    assert values(["unroll", f"--flagfile={path}"]) == ["unroll"]
    found = flags.given(fields, values)
    assert found.keys() == given.keys()
    if found.get("dataset") == "files":
        known = {option.field.name for option in fields}
        found |= {name: "file" for name in known & {"train_data", "images", "captions"}}
    config_class(**found)


def test_flags_override_the_preset_wherever_they_stand(tmp_path, reviews_table, capsys):
    before = ["--units=3", "--dataset=files", f"--train_data={reviews_table}"]
    after = ["--epochs=1", "--embedding_size=5", f"--workdir={tmp_path / 'run'}"]
    command = ["train", "sentiment", *before, "--preset=demo", *after]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["config"]
    assert (config["units"], config["epochs"], config["embedding_size"]) == (3, 1, 5)
    # From the preset.
    assert (config["learning_rate"], config["schedule"], config["monitor"]) == (0.003, "cosine", "accuracy")
    # Of the preset, but for so little data.
    assert 64 < config["batch_tokens"] < 8192
    assert f"For so little data: --batch_tokens={config['batch_tokens']} instead of 8192." in lines
    (summary,) = [line for line in lines if line.startswith("Training on ")]
    assert " examples with 3 labels, a vocabulary of " in summary
    (steps,) = [line for line in lines if " steps an epoch, " in line]
    assert "parameters; " in steps
    (epoch,) = [line for line in lines if line.startswith("epoch 1/1  train_loss ")]
    assert len(epoch) <= 100
    assert "  accuracy " in epoch
    assert epoch.endswith("  (best)")
    # The run goes on with its own sizes, and not with the preset's.
    assert cli.main(command) == 0
    assert "has ended" in capsys.readouterr().out


def test_flags_of_a_preset_may_be_without_effect_and_those_of_the_user_may_not(table, tmp_path, monkeypatch):
    preset = tmp_path / "sgd.flags"
    preset.write_text("--optimizer=sgd\n--momentum=0.5\n")
    monkeypatch.setattr(applications, "presets", lambda task: {"sgd": preset})
    stop = FailedError("Enough is known.")
    monkeypatch.setattr(commands, "task_of", failing(stop))
    flags = table(rows("ab"), "--preset=sgd", "--optimizer=adam")
    assert cli.main(flags) == 1
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["config"]
    assert (config["optimizer"], config["momentum"]) == ("adam", 0.5)
    # The same command resumes the run.
    assert cli.main(flags) == 1
    assert cli.main([*flags, "--momentum=0.5"]) == 2


def test_every_condition_is_about_an_option_of_the_same_configuration_and_tested():
    tested = {
        arguments[-1].partition("=")[0][2:].removeprefix("no") for arguments, _ in WITHOUT_EFFECT.values()
    }
    for application in applications.APPLICATIONS:
        for class_ in (applications.config_class(application), applications.predict_class(application)):
            names = {field.name for field, _ in options.of(class_)}
            for field, _ in options.of(class_):
                if field.metadata["only"]:
                    assert field.metadata["only"].name in names - {field.name}
                    assert field.name in tested | {"top_k", "top_p", "seed"}


# Exhausted resources.


def failing(error):
    def fail(*arguments):
        raise error

    return fail


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sentiment", "--batch_tokens=99"], "with --batch_tokens=99; train"),
        (["language_modeling", "--truncation=7"], "with --truncation=7 and --batch=32; train"),
        (["language_modeling", "--truncation=0"], "with --batch_tokens=8192; train"),
    ],
)
def test_exhausted_memory_names_the_flags_that_the_task_has(tmp_path, monkeypatch, refused, arguments, said):
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9]")
    monkeypatch.setattr(commands, "task_of", failing(error))
    refused(["train", *arguments, f"--workdir={tmp_path / 'run'}"], said)
    # Once the data is prepared, those of the run count, and not the defaults.
    (tmp_path / "run" / "data").mkdir()
    refused(["train", arguments[0], f"--workdir={tmp_path / 'run'}"], said)


def test_exhausted_memory_names_the_sizes_that_follow_the_data(table, monkeypatch, refused):
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9]")
    task = dataclasses.replace(applications.task_of("sentiment"), build_model=failing(error))
    monkeypatch.setattr(commands, "task_of", lambda application: task)
    refused(table(rows("ab", 400)), "with --batch_tokens=256; train")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "logs/events"),
        RuntimeError("Unable to flush file (errno = 28, error message = 'No space left on device')"),
        tf.errors.ResourceExhaustedError(None, None, "logs/events; No space left on device"),
    ],
    ids=["disk", "quota", "hdf5", "tensorflow"],
)
def test_a_full_disk_is_told_as_such_with_the_place(tmp_path, monkeypatch, capsys, error):
    monkeypatch.setattr(commands, "task_of", failing(error))
    assert cli.main(["train", "sentiment", f"--workdir={tmp_path / 'run'}"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("unroll: The disk is full")
    assert (getattr(error, "filename", None) or str(tmp_path / "run")) in printed
    assert "emory" not in printed


# Invalid flags and files.


DATA_ERRORS = {
    "missing_file": ([], None, "cannot be read"),
    "empty": ([], "", "is empty; a header"),
    "header_only": ([], "text\tlabel\n", "has a header, but no rows"),
    "missing_column": (["--text_column=body"], rows("ab"), "no column 'body'; its columns are text, label"),
    "one_class": ([], rows("a"), "only the label 'a'"),
    "too_few_to_cut": (["--validation_fraction=0.001"], rows("ab"), "--validation_fraction=0.001"),
    "label_not_utf8": (
        [],
        rows("ab") + "Good.\tn\udce9gatif\n",
        "0xe9 is not UTF-8; if the file is in latin1",
    ),
    "label_not_printable": (
        [],
        rows(["a", "ne\u2028gative"]),
        "label 'ne\\u2028gative'; labels are printable",
    ),
    "label_blank": (
        [],
        rows("ab") + "Good.\t \n",
        "has nothing in the column 'label'; correct the line",
    ),
    "no_token": (["--min_count=99"], rows("ab"), "No token occurs 99 times"),
    "plateau_of_nothing": (
        ["--validation_fraction=0", "--schedule=plateau"],
        rows("ab"),
        "need a validation part",
    ),
    "early_stop_of_nothing": (
        ["--validation_fraction=0", "--early_stopping_patience=1"],
        rows("ab"),
        "need a validation part",
    ),
}


@pytest.mark.parametrize("error", DATA_ERRORS)
def test_training_data_that_cannot_be_used(refused, table, tmp_path, error):
    changed, content, said = DATA_ERRORS[error]
    arguments = table(content or "", *changed)
    if content is None:
        (tmp_path / "train.tsv").unlink()
    refused(arguments, said)


def test_label_unseen_in_training_is_found_before_the_first_step(refused, table, tmp_path):
    table(rows("abc"), name="validation.tsv")
    refused(table(rows("ab"), parts=[f"--validation_data={tmp_path / 'validation.tsv'}"]), "the label 'c'")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("name", ["no_such_set", "no/such/set", "glue/no_such_config"])
def test_unknown_data_set_is_known_as_such_without_a_network(refused, tmp_path, monkeypatch, name):
    connections = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: connections.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: connections.append(address))
    refused(
        ["train", "sentiment", f"--dataset={name}", f"--workdir={tmp_path / 'run'}"], f"no data set {name!r}"
    )
    assert not connections


def test_working_directory_of_something_else(refused, table, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    refused(table(rows("ab")), "exists and is not a run directory")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_commands_on_what_is_not_a_run(refused, tmp_path, command):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        refused([command, f"--workdir={path}", f"--output={tmp_path / 'out'}"], "is not a run directory")
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    refused([command, f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}"], "config.json cannot be used")


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_commands_on_a_run_without_an_epoch(refused, trained_run, tmp_path, command):
    shutil.copy(trained_run / "config.json", tmp_path)
    arguments = [command, f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}"]
    refused(arguments, "has not finished an epoch")


def test_predict_without_a_model(refused, trained_run):
    refused(["predict", f"--model={trained_run}", "Good."], "holds no exported model")


def test_predict_reads_files_as_training_does(exported_model, tmp_path, capsys):
    texts = ["A wonderful film, said Amélie.", 'An "awful" film.']
    (tmp_path / "texts.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode("utf-8-sig")))
    (tmp_path / "wide.txt").write_text("\n".join(texts), encoding="utf-16")
    (tmp_path / "table.csv").write_text(
        'id;review\n1;"A wonderful film, said Amélie."\n2;"An ""awful"" film."\n', encoding="utf-8-sig"
    )
    for name, flag in (("texts.txt.gz", ""), ("wide.txt", ""), ("table.csv", "--text_column=review")):
        command = ["predict", f"--model={exported_model}", f"--input={tmp_path / name}", *flag.split()]
        assert cli.main(command) == 0
        results = predicted(capsys)
        assert [(result["text"], result["label"]) for result in results] == [
            (texts[0], "positive"),
            (texts[1], "negative"),
        ]


def test_predict_refuses_what_is_not_lines_of_text(exported_model, tmp_path, capsys):
    (tmp_path / "table.csv").write_text("id,review\n1,Good\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Good\nAmélie\n".encode("latin1"))
    for name, flag, said in (
        (
            "table.csv",
            "",
            "is a table with the columns id, review; choose the column to read with --text_column",
        ),
        ("table.csv", "--text_column=text", "has no column 'text'; its columns are id, review"),
        ("latin.txt", "", "line 2, byte 3: 0xe9 is not UTF-8"),
        ("-", "--text_column=text", "--text_column=text needs --input=FILE"),
    ):
        given = name if name == "-" else str(tmp_path / name)
        assert cli.main(["predict", f"--model={exported_model}", f"--input={given}", *flag.split()]) == 2
        assert said in capsys.readouterr().err


def test_predict_from_what_cannot_be_read(refused, exported_model, tmp_path):
    for path in (tmp_path / "nothing.txt", tmp_path):
        refused(["predict", f"--model={exported_model}", f"--input={path}"], f"{path} cannot be read")


def test_the_largest_numbers_mean_no_limit(table):
    largest = [f"--{name}=2147483647" for name in ("shuffle_buffer", "max_length", "segment", "batch_tokens")]
    assert cli.main(table(rows("ab"), "--epochs=1", "--units=2", "--embedding_size=2", *largest)) == 0


def test_divergence_exits_with_one(table, capsys):
    assert cli.main(table(rows("ab"), "--learning_rate=1e6", "--epochs=9", "--units=2")) == 1
    assert capsys.readouterr().err.startswith("unroll: Training diverged at step")


# Output of the commands.


@pytest.fixture(scope="module")
def evaluated(trained_run, tmp_path_factory):
    """A copy of a run, evaluated."""
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained_run, run)
    return run


def test_evaluate_writes_metrics_and_prints_a_table(evaluated, capsys):
    assert cli.main(["evaluate", f"--workdir={evaluated}"]) == 0
    printed = capsys.readouterr().out
    metrics = json.loads((evaluated / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics)[:3] == ["loss", "accuracy", "f1"]

    labels, confusion = metrics["labels"], metrics["confusion"]
    assert labels == ["negative", "neutral", "positive"]
    right = [confusion[i][i] for i in range(3)]
    assert metrics["examples"] == sum(map(sum, confusion)) > 50
    assert metrics["accuracy"] == pytest.approx(sum(right) / metrics["examples"])
    assert 0.8 < metrics["accuracy"] < 1
    predicted = [sum(row[i] for row in confusion) for i in range(3)]
    f1 = [2 * r / (p + sum(row)) for r, p, row in zip(right, predicted, confusion, strict=True)]
    assert metrics["f1"] == pytest.approx(sum(f1) / 3)

    lines = [line.split() for line in printed.splitlines()]
    assert "confusion (rows: label, columns: predicted)" in printed
    for label, row in zip(labels, confusion, strict=True):
        assert any(line[:4] == [label, *map(str, row)] for line in lines)
    errors = metrics["worst_errors"]
    assert len(errors) == min(10, metrics["examples"] - sum(right))
    assert [error["loss"] for error in errors] == sorted((error["loss"] for error in errors), reverse=True)
    for error in errors:
        assert f"{error['label']} -> {error['predicted']}  {error['text']}" in printed


def test_evaluate_does_not_write_over_a_directory(refused, trained_run, tmp_path):
    (tmp_path / "precious").write_text("kept")
    refused(["evaluate", f"--workdir={trained_run}", f"--output={tmp_path}"], "is a directory")
    assert (tmp_path / "precious").read_text() == "kept"


def test_evaluate_on_other_data(trained_run, tmp_path):
    (tmp_path / "more.tsv").write_text("text\tlabel\nGood.\tpositive\nBad.\tnegative\nDull.\tnegative\n")
    flags = [f"--test_data={tmp_path / 'more.tsv'}", f"--output={tmp_path / 'metrics.json'}"]
    assert cli.main(["evaluate", f"--workdir={trained_run}", *flags]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["examples"] == 3


def test_evaluate_measures_the_split_asked_for(trained_run, tmp_path):
    path = tmp_path / "new" / "validation.json"
    assert cli.main(["evaluate", f"--workdir={trained_run}", "--split=validation", f"--output={path}"]) == 0
    metrics = json.loads(path.read_text(encoding="utf-8"))
    best = json.loads((trained_run / "best" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["split"] == "validation"
    for name in ("loss", "accuracy", "f1"):
        assert metrics[name] == pytest.approx(best[name], rel=1e-4)


def predicted(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_texts_of_the_command_line(exported_model, capsys):
    texts = ["A wonderful film.", "", "An awful \udcff film."]
    assert cli.main(["predict", *texts[:2], f"--model={exported_model}", texts[2]]) == 0
    results = predicted(capsys)
    assert [result["text"] for result in results] == ["A wonderful film.", "", "An awful \ufffd film."]
    assert (results[0]["label"], results[2]["label"]) == ("positive", "negative")
    for result in results:
        assert list(result) == ["text", "label", "score", "probabilities", "known_tokens", "truncated"]
        assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_lines_of_a_file(exported_model, tmp_path, capsys):
    # More than are read at a time, one of them empty, the last without a line break.
    lines = [f"Film {number}, Amélie" for number in range(150)]
    lines[70] = ""
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    arguments = ["predict", f"--model={exported_model}", f"--input={tmp_path / 'texts.txt'}"]
    assert cli.main(arguments) == 0
    assert [result["text"] for result in predicted(capsys)] == lines


def test_predict_answers_each_line_of_a_pipe_before_the_next(exported_model):
    # As in most terminals, not in the tolerant C locale.
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    command = [Path(sys.executable).with_name("unroll"), "predict", f"--model={exported_model}"]
    given = ["A wonderful film, said Amélie.\n".encode(), b"An awful \xff film.\r\n", b"\n", b"Dull. Dull."]
    results = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        for line in given[:-1]:
            process.stdin.write(line)
            process.stdin.flush()
            results.append(json.loads(process.stdout.readline()))
        last, _ = process.communicate(given[-1])
    results.append(json.loads(last))
    assert process.returncode == 0
    assert [r["text"] for r in results] == [
        "A wonderful film, said Amélie.",
        "An awful \ufffd film.",
        "",
        "Dull. Dull.",
    ]
    assert [results[number]["label"] for number in (0, 1, 3)] == ["positive", "negative", "negative"]


def test_predict_texts_that_begin_with_a_dash(exported_model, capsys):
    texts = ["- Wonderful.", "-1 of 10", "--- Awful ---", "-", "-Dull", "--model=m", "--"]
    arguments = [f"--model={exported_model}", *texts[:4], "--", *texts[4:]]
    assert cli.main(["predict", *arguments]) == 0
    assert [result["text"] for result in predicted(capsys)] == texts


def test_predict_without_standard_input(exported_model, monkeypatch, refused):
    # As Python has it in a process that was started without one.
    monkeypatch.setattr(sys, "stdin", None)
    refused(
        ["predict", f"--model={exported_model}"], "Standard input is closed; give texts, or --input=FILE."
    )


def test_predict_prints_a_line_for_each_text(exported_model, capsys):
    texts = ["Dull.\u2028Dull.", "\x85", "\u2029\x0b\x0c\x1c\x1d\x1e\r\n", "Amélie"]
    assert cli.main(["predict", f"--model={exported_model}", "--", *texts]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == len(texts)
    results = [json.loads(line) for line in printed.splitlines()]
    assert [result["text"] for result in results] == texts
    assert "Amélie" in printed
    for result in results:
        assert len(str(result["score"])) <= len("0.33333334")


def test_a_plot_needs_an_input(exported_translation, tmp_path, refused):
    arguments = ["predict", f"--model={exported_translation}", f"--plot={tmp_path / 'plot.png'}"]
    (tmp_path / "empty.txt").touch()
    for path in (os.devnull, tmp_path / "empty.txt"):
        refused(
            [*arguments, f"--input={path}"], "plot.png draws the first line of the input, and there was none"
        )
