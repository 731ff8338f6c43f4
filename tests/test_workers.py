"""Trainings on two workers, real processes on loopback: their bits, their signals, their deaths."""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import kubernetes_validate
import numpy as np
import pytest
import replicas_main
import tensorflow as tf
import yaml
from comparing import assert_same
from tiny_training import best_weights, checkpoint_tensors, checkpoints, metrics_lines, tiny_options

from unroll.common.errors import UserError
from unroll.common.json_lines import JsonLines
from unroll.tasks import cli
from unroll.tasks.training.cluster import Place, place_of
from unroll.tasks.training.journal import Journal
from unroll.tasks.training.trainer import Trainer
from unroll.tasks.training.workers import Workers

# Seconds within which a lost worker ends the others.
LOST = 60
# Steps of a process after which it gets a signal.
STEPS = 7
# Workers tell each other in the next step.
STOPPED = 8
SGD = "sgd"


class Ended(NamedTuple):
    """How a worker ended: its exit code, its output, and the time."""

    code: int | None
    output: str
    seconds: float


# Forked from a process that has imported all of it, which takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["test_workers", "unroll.tasks.training.trainer", "unroll.tasks.sentiment.task"]
)


def tf_config(index, ports):
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def run_worker(index, ports, arguments, output, signalled, steps_output):
    """Runs a command as a worker.

    Args:
        index, ports: Of the worker, and of all.
        arguments: The command's.
        output: File for its output.
        signalled: Signal that it gets after some steps, or None.
        steps_output: File for the results of some steps of SGD before the training, or None.
    """
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ["TF_CONFIG"] = tf_config(index, ports)
    step, train, steps = Journal.step, Trainer.train, iter(range(1, 1000))

    def signalled_step(*values):
        if next(steps) == STEPS:
            os.kill(os.getpid(), signalled)
        step(*values)

    def train_after_steps(trainer):
        results = replicas_main.steps(trainer._workers.strategy, *replicas_main.CASES[SGD])
        Path(steps_output).write_text(json.dumps(results), encoding="utf-8")
        return train(trainer)

    if signalled:
        Journal.step = signalled_step
    if steps_output:
        Trainer.train = train_after_steps
    sys.exit(cli.main(arguments))


def run_mirrored(arguments):
    """Runs a command on two logical devices."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = replicas_main.two_replicas()
    tf.distribute.MirroredStrategy = lambda: strategy
    sys.exit(cli.main(arguments))


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Flags of a training in which everything random takes part."""
    options = tiny_options(tmp_path_factory.mktemp("data")) | {
        "cell": "simple_rnn",
        "dropout": 0.3,
        "word_dropout": 0.2,
        "recurrent_dropout": 0.2,
        "average_decay": 0.9,
        "global_clipnorm": 0.5,
        "checkpoint_every": 3,
        "inspect_every": 5,
        "epochs": 2,
    }
    return [f"--{name}={value}" for name, value in options.items()]


class Trained(NamedTuple):
    """A training on two workers, which was stopped, lost a worker, and was resumed.

    Attributes:
        run: Its directory.
        ended: How both workers ended, each time.
        steps: Results of steps of SGD of both workers.
    """

    run: Path
    ended: list[list[Ended]]
    steps: list[dict]


@pytest.fixture(scope="module")
def trained(flags, tmp_path_factory):
    directory = tmp_path_factory.mktemp("workers")
    run, steps = directory / "run", [directory / f"steps{index}.json" for index in range(2)]
    # Worker 1 is told to stop, then killed, then left alone.
    ended = [
        launch(run, flags, signalled=signal.SIGTERM),
        launch(run, flags, signalled=signal.SIGKILL, steps_outputs=steps),
        launch(run, flags),
    ]
    return Trained(run, ended, [json.loads(path.read_text(encoding="utf-8")) for path in steps])


@pytest.fixture(scope="module")
def mirrored(flags, tmp_path_factory):
    """The directory of the same training on two replicas in one process."""
    run = tmp_path_factory.mktemp("mirrored") / "run"
    arguments = ["train", "sentiment", f"--workdir={run}", "--distribution=mirrored", *flags]
    process = PROCESSES.Process(target=run_mirrored, args=(arguments,))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    return run


def launch(run, flags, signalled=None, steps_outputs=(None, None), count=2):
    """Starts two workers, of which worker 1 gets the signal, or another number, and returns how they end."""
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("localhost", 0))
        ports = [free.getsockname()[1] for free in (one, other)][:count]
    arguments = ["train", "sentiment", f"--workdir={run}", "--distribution=multi_worker", *flags]
    outputs = [run.with_name(f"output{index}") for index in range(count)]
    processes = []
    for index in range(count):
        received = signalled if index else None
        given = (index, ports, arguments, outputs[index], received, steps_outputs[index])
        processes.append(PROCESSES.Process(target=run_worker, args=given))
        processes[-1].start()
    ended = []
    # Worker 1 first, since the other one notices its end.
    for process, output in reversed([*zip(processes, outputs, strict=True)]):
        begun = time.monotonic()
        process.join(300)
        ended.append(Ended(process.exitcode, output.read_text(encoding="utf-8"), time.monotonic() - begun))
    return ended[::-1]


def test_two_workers_end_with_the_bits_of_two_replicas_after_a_stop_and_a_death(trained, mirrored):
    assert [worker.code for worker in trained.ended[-1]] == [0, 0]
    names = [path.name for path in checkpoints(mirrored)]
    assert [path.name for path in checkpoints(trained.run)] == names
    expected, found = (checkpoint_tensors(checkpoints(run)[-1]) for run in (mirrored, trained.run))
    assert expected.keys() == found.keys()
    assert not [name for name in found if not same_bits(found[name], expected[name]) and name[0] != "_"]
    expected, found = best_weights(mirrored), best_weights(trained.run)
    assert [name for name in found if same_bits(found[name], expected[name])] == [*expected]
    assert metrics_lines(trained.run) == metrics_lines(mirrored)
    assert (
        JsonLines(trained.run / "gradient_flow.jsonl").read()
        == JsonLines(mirrored / "gradient_flow.jsonl").read()
    )


def same_bits(one, other):
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_the_update_of_two_workers_is_that_of_one_device_on_the_whole_batch(trained):
    expected = replicas_main.steps(tf.distribute.get_strategy(), *replicas_main.CASES[SGD])
    for found in trained.steps:
        assert_same(found, expected)


def test_a_signal_to_one_worker_stops_all_after_the_same_step(trained):
    for worker in trained.ended[0]:
        assert worker.code == 128 + signal.SIGTERM
        assert (
            f"unroll: stopped after step {STOPPED}, with a checkpoint; `unroll train sentiment"
            in worker.output
        )


def test_a_dead_worker_ends_the_others_with_a_sentence(trained):
    chief, killed = trained.ended[1]
    assert killed.code == -signal.SIGKILL
    assert chief.code == 1
    assert chief.seconds < LOST
    (error,) = [line for line in chief.output.splitlines() if line.startswith("unroll: ")]
    assert error.startswith("unroll: Another worker of this training (/job:worker/")
    assert "Traceback" not in chief.output


def test_another_number_of_workers_goes_on(trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    (ended,) = launch(run, ["--epochs=3"], count=1)
    assert ended.code == 0
    assert f"Resuming after step {metrics_lines(trained.run)[-1]['step']}, in epoch 3." in ended.output
    assert "epoch 3/3" in ended.output
    assert metrics_lines(run)[: len(metrics_lines(trained.run))] == metrics_lines(trained.run)


def test_the_chief_prepares_and_tells(trained):
    outputs = [[worker.output for worker in workers] for workers in trained.ended]
    assert "Labels: negative (30), positive (30)." in outputs[0][0]
    assert "Labels" not in outputs[0][1] + outputs[1][0]
    assert f"Resuming after step {STOPPED}, in epoch" in outputs[1][0]
    assert "epoch 2/2" in outputs[2][0]
    first, *more = outputs[2][1].splitlines()
    assert first.startswith("Worker 1 of 2, a worker, at localhost:")
    # The first ones may be TensorFlow's.
    assert more[-1] == "Trained; the chief has written the files."


# Without processes.


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 1}}',
    ],
)
def test_clusters_that_cannot_be_used_are_refused(monkeypatch, content):
    monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(UserError, match=r"TF_CONFIG=.* cannot be used"):
        place_of("multi_worker")


def test_places_in_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert place_of("mirrored") == Place()
    with pytest.raises(UserError, match="needs the environment variable TF_CONFIG"):
        place_of("multi_worker")
    cluster = {"chief": ["a:1"], "worker": ["b:1", "[::1]:2"], "ps": ["c:1"]}
    for kind, index, number in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        content = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
        monkeypatch.setenv("TF_CONFIG", content)
        assert place_of("multi_worker") == Place(number, ("a:1", "b:1", "[::1]:2"))


def workers_that_say(monkeypatch, *numbers):
    """Worker 1 of two, which hears the numbers of both."""
    monkeypatch.setattr(Workers, "each", lambda *_: list(numbers))
    monkeypatch.setattr("unroll.tasks.training.workers._APPEARS", 0)
    return Workers(tf.distribute.get_strategy(), Place(1, ("a:1", "b:1")))


def test_workers_need_a_shared_file_system(monkeypatch, tmp_path):
    workers = workers_that_say(monkeypatch, True, False)
    with pytest.raises(UserError, match=r"Worker 1 does not see .*data.*file system that all workers share"):
        workers.check_all_see(tmp_path / "data")


def test_workers_need_the_same_options(monkeypatch):
    workers = workers_that_say(monkeypatch, 3, 4)
    with pytest.raises(UserError, match="Worker 1 has other options than the chief"):
        workers.check_same(4, "options")


# Files that start workers.

FILES = Path(__file__).parent.parent / "docs" / "scale"


def test_the_slurm_script_gives_each_node_its_place(tmp_path, monkeypatch):
    commands = {
        "scontrol": 'case $1 in show) printf "node1\\nnode2\\n";; *) echo "$@" >> told;; esac',
        # Two tasks, of which the second is stopped.
        "srun": 'shift; for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done',
        "unroll": 'echo "$@" >> told; echo "$TF_CONFIG" >> told; exit $((SLURM_PROCID * 143))',
    }
    for name, script in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    arguments = ["bash", FILES / "slurm.sbatch", "sentiment", "--workdir=/runs/a b"]
    ended = subprocess.run(arguments, env=environment | {"SLURM_JOB_NODELIST": "node[1-2]"}, cwd=tmp_path)
    assert ended.returncode == 143
    told = (tmp_path / "told").read_text(encoding="utf-8").splitlines()
    assert told[::2] == ["train sentiment --workdir=/runs/a b --distribution=multi_worker"] * 2 + [
        "requeue 7"
    ]
    for index, content in enumerate(told[1::2]):
        monkeypatch.setenv("TF_CONFIG", content)
        assert place_of("multi_worker") == Place(index, ("node1:2222", "node2:2222"))


def test_the_job_of_kubernetes_is_valid_and_gives_each_pod_its_place(monkeypatch):
    service, job = yaml.safe_load_all((FILES / "kubernetes_job.yaml").read_text(encoding="utf-8"))
    for manifest in (service, job):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    script = container["args"][0].replace("exec unroll", "echo $TF_CONFIG; exec echo")
    said = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"JOB_COMPLETION_INDEX": "3"},
        capture_output=True,
        check=True,
        text=True,
    )
    content, command = said.stdout.splitlines()
    monkeypatch.setenv("TF_CONFIG", content)
    assert place_of("multi_worker") == Place(3, tuple(f"unroll-{n}.unroll:2222" for n in range(4)))
    assert command.split()[0] == "train"


def test_the_manifest_of_kubeflow_runs_a_command():
    job = yaml.safe_load((FILES / "tfjob.yaml").read_text(encoding="utf-8"))
    (container,) = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert container["name"] == "tensorflow"
    assert container["command"][:2] == ["unroll", "train"]
    assert container["command"][-1] == "--distribution=multi_worker"
