"""The start-up output of TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTES = (
    "absl::InitializeLog",
    "oneDNN custom operations",
    "Could not find cuda drivers",
    "failed call to cuInit",
    "oneDNN supports",
)
UNROLL = Path(sys.executable).with_name("unroll")


def printed(*command):
    """The stderr of a successful command, whatever the level of TensorFlow's log."""
    (stderr,) = printed_at_once(command)
    return stderr


def printed_at_once(*commands):
    """The same for several commands that run at the same time."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command], env=environment, **pipes) for command in commands]
    printed = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(commands), printed
    return printed


def python(program, *arguments):
    return printed(sys.executable, "-c", program, *map(str, arguments))


def assert_quiet(stderr):
    assert not [note for note in (*NOTES, "retracing") if note in stderr]


FAKE = """
import os, subprocess, sys
from unroll.common.quiet_start import import_tensorflow

sys.path.insert(0, sys.argv[1])
"""


@pytest.fixture
def fake_tensorflow(tmp_path):
    """A directory with a module `tensorflow` that writes to file descriptor 2."""

    def write(body):
        (tmp_path / "tensorflow.py").write_text(
            f"import os\n{body}\nclass config:\n    list_physical_devices = list\n"
        )
        return tmp_path

    return write


PROBLEM = "E0000 00:00:1 1 loader.cc:9] the library is damaged\n"
NOTE = "I0000 00:00:1 1 port.cc:153] oneDNN custom operations are on. You may see\n"


def test_problems_come_through(fake_tensorflow):
    path = fake_tensorflow(f"os.write(2, {(NOTE + PROBLEM + NOTE).encode()!r})")
    program = FAKE + "import_tensorflow()\nprint('afterwards', file=sys.stderr)"
    assert python(program, path) == PROBLEM + "afterwards\n"


def test_last_words_before_tensorflow_aborts_come_through(fake_tensorflow):
    path = fake_tensorflow(f"os.write(2, {(NOTE + PROBLEM).encode()!r}); os.abort()")
    command = [sys.executable, "-c", FAKE + "import_tensorflow()", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode < 0
    assert result.stderr == PROBLEM


def test_an_import_that_fails_raises_its_error(fake_tensorflow):
    path = fake_tensorflow("raise ImportError('no such symbol')")
    program = (
        FAKE
        + "try:\n    import_tensorflow()\nexcept ImportError as error:\n    print(error, file=sys.stderr)"
    )
    assert python(program, path) == "no such symbol\n"


def test_a_process_without_stderr_starts(fake_tensorflow):
    path = fake_tensorflow("")
    assert python(FAKE + "os.close(2); import_tensorflow()", path) == ""


def test_nothing_is_waited_for_where_tensorflow_is_already_imported(fake_tensorflow):
    path = fake_tensorflow("")
    program = FAKE + "import tensorflow\nsubprocess.Popen = None\nimport_tensorflow()"
    assert python(program, path) == ""


SWITCHES = "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"


@pytest.mark.parametrize("before", ["", "import tensorflow\n"])
def test_gpus_are_asked_for_exact_arithmetic_whoever_imported_tensorflow(fake_tensorflow, before):
    path = fake_tensorflow("")
    program = FAKE + (
        f"for name in {SWITCHES}:\n    os.environ.pop(name, None)\n"
        f"{before}import_tensorflow()\n"
        f"print(*(os.environ[name] for name in {SWITCHES}), file=sys.stderr)"
    )
    assert python(program, path) == "0 :4096:8\n"


def test_commands_are_quiet(tmp_path, reviews_table, exported_model, trained_run):
    flags = [
        "--dataset=files",
        f"--train_data={reviews_table}",
        "--epochs=1",
        "--units=3",
        "--embedding_size=2",
    ]
    for stderr in printed_at_once(
        (UNROLL, "train", "sentiment", f"--workdir={tmp_path / 'run'}", *flags),
        (UNROLL, "evaluate", f"--workdir={trained_run}", f"--output={tmp_path / 'm.json'}"),
        (UNROLL, "predict", f"--model={exported_model}", "A film."),
    ):
        assert_quiet(stderr)


def test_tensorflow_and_layers_that_are_called_with_many_shapes_are_quiet():
    program = """
from unroll.common.quiet_start import import_tensorflow
import_tensorflow()
import tensorflow as tf
from unroll.models.recurrent import LSTM, SimpleRNN
for layer_class in (LSTM, SimpleRNN):
    for units in range(2, 9):
        layer = layer_class(units, return_sequences=True)
        for time in range(1, 6):
            x = tf.ones([units, time, 3])
            layer(x)
            layer(x, mask=tf.ones([units, time], tf.bool))
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x, training=True))
            tape.gradient(loss, layer.trainable_variables)
"""
    assert_quiet(python(program))


def test_models_that_are_called_with_many_shapes_are_quiet(exported_translation, exported_model):
    program = """
import sys, unroll.serving
model = unroll.serving.load(sys.argv[1])
for words in range(8):
    model.translate(["the dog " * words] * (words + 1))
    model.align(["the dog " * words])
for _ in range(6):
    unroll.serving.load(sys.argv[2]).classify(["A film."])
"""
    assert_quiet(python(program, exported_translation, exported_model))
