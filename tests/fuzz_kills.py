"""Kills trainings and exports (kill -9) at random moments: nothing is lost or half written.

    python tests/fuzz_kills.py [--trainings=50] [--exports=200] [--seed=0]

kills trainings of all applications that often, some of them several times, and resumes them: they must end with the
bits of a training that nothing happened to. Then it kills exports: all versions must be complete, and the next export
must work. Each part ends with a line that counts the kills; a fault ends it at once. `test_kills.py` kills one;
`test_resume.py` kills trainings.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from captioned_images import as_flags
from conftest import replaying_here
from fuzz_damage import small_tasks
from tiny_training import best_weights, checkpoint_tensors, checkpoints, metrics_lines

from unroll.serving.c_api import SavedModelSession
from unroll.serving.versions import check_files, versions
from unroll.tasks import cli

# Kills of a run before it may end.
_MOST_KILLS = 4
# Exports after which one may end.
_EVERY = 10
# Forked from a process that has imported all of it, which takes seconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["fuzz_kills", "unroll.tasks.training.trainer", "unroll.export.saved_model"]
)


class Command:
    """A command in processes of its own.

    Args:
        arguments: Its arguments.
        output: File for its output.
    """

    def __init__(self, arguments: Sequence[str], output: Path) -> None:
        self._arguments, self._output = list(arguments), output
        # Of an undisturbed process.
        self.seconds, self.events = 0.0, 0

    def run(self) -> None:
        """Runs it, and measures it if it runs for the first time; raises AssertionError with its output if it fails."""
        begun, events = time.monotonic(), _PROCESSES.Value("q", 0)
        process = self._start(0, events)
        process.join()
        assert process.exitcode == 0, self._output.read_text(encoding="utf-8")
        if not self.seconds:
            self.seconds, self.events = time.monotonic() - begun, events.value

    def kill(self, chance: random.Random) -> bool:
        """Runs it and kills it: after a time, or when it is about to open, make or rename a file.

        Returns:
            Whether it was killed before its end.
        """
        if chance.random() < 0.5:
            process = self._start(0, None)
            process.join(chance.uniform(0, self.seconds))
            process.kill()
        else:
            process = self._start(chance.randint(1, self.events), None)
        process.join()
        return process.exitcode == -signal.SIGKILL

    def _start(self, event: int, events: Any) -> Any:
        process = _PROCESSES.Process(target=_call, args=(self._arguments, self._output, event, events))
        process.start()
        return process


def _call(arguments: list[str], output: Path, event: int, events: Any) -> None:
    """Calls a command, and kills the process before a certain change of files; without one, counts them."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    places = [flag.partition("=")[2] for flag in arguments if flag.startswith(("--workdir=", "--output="))]
    numbers = itertools.count(1)

    def hook(happened: str, values: tuple[Any, ...]) -> None:
        # An audit hook stays in force until the process ends.
        if happened in ("open", "os.rename", "os.mkdir") and str(values[0]).startswith(places[-1]):
            number = next(numbers)
            if number == event:
                os.kill(os.getpid(), signal.SIGKILL)
            if events is not None:
                events.value = number

    sys.addaudithook(hook)
    with replaying_here(SavedModelSession):
        sys.exit(cli.main(arguments))


def kill_trainings(directory: Path, kills: int, seed: int, tasks: Sequence[str] = ()) -> Iterator[str]:
    """Kills trainings, and yields what each run came to.

    Args:
        directory: Directory for runs and data.
        kills: Number of kills.
        seed: Seed of the moments.
        tasks: The applications; by default all, in turn.
    """
    chance = random.Random(seed)
    options = {task: given for task, given, _ in small_tasks(directory / "data")}
    intact: dict[str, Command] = {}
    for number in itertools.count():
        if kills <= 0:
            return
        task = (tasks or [*options])[number % len(tasks or options)]
        flags = as_flags(options[task] | {"epochs": 2, "checkpoint_every": 3})

        def command(run: Path, task: str = task, flags: list[str] = flags) -> Command:
            return Command(["train", task, f"--workdir={run}", *flags], run.with_suffix(".txt"))

        undisturbed = directory / task
        if task not in intact:
            intact[task] = command(undisturbed)
            intact[task].run()
        run = directory / f"killed-{number}"
        killed = command(run)
        killed.seconds, killed.events = intact[task].seconds, intact[task].events
        times = sum(killed.kill(chance) for _ in range(min(kills, chance.randint(1, _MOST_KILLS))))
        kills -= times
        killed.run()
        _assert_same(run, undisturbed)
        yield f"{task}: {times} kills, the same bits"


def _assert_same(run: Path, undisturbed: Path) -> None:
    """Raises AssertionError unless two runs have the same bits."""
    for read in (lambda path: checkpoint_tensors(checkpoints(path)[-1]), best_weights):
        found, expected = read(run), read(undisturbed)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            # The graph of objects has no order.
            if not name.startswith("_CHECKPOINTABLE"):
                assert np.asarray(found[name]).tobytes() == np.asarray(value).tobytes(), (run, name)
    assert metrics_lines(run) == metrics_lines(undisturbed), run
    assert not [*run.rglob(".partial-*")], run


def kill_exports(run: Path, output: Path, kills: int, seed: int) -> Iterator[str]:
    """Kills exports of a run, and yields what they left.

    Args:
        run: The run directory.
        output: Directory of the exported model.
        kills: Number of kills.
        seed: Seed of the moments.
    """
    chance = random.Random(seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = Command(["export", f"--workdir={run}", f"--output={output}"], output.with_suffix(".txt"))
    command.run()
    complete, done = 1, 0
    while done < kills:
        was_killed = command.kill(chance)
        done += was_killed
        found = versions(output)
        # One may be complete when the process is killed.
        assert len(found) in (complete, complete + 1), found
        complete = len(found)
        for number in found:
            check_files(output / str(number))
        if was_killed and (done % _EVERY == 0 or done == kills):
            command.run()
            complete += 1
            assert len(versions(output)) == complete
            assert not [*output.parent.rglob(".partial-*")]
            yield f"{done} kills, {complete} complete versions"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainings", type=int, default=50)
    parser.add_argument("--exports", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for line in kill_trainings(directory, arguments.trainings, arguments.seed):
            print(line, flush=True)
        print(f"Trainings: {arguments.trainings} of {arguments.trainings} kills, the same bits.", flush=True)
        run = directory / "sentiment"
        for line in kill_exports(run, directory / "exports" / "sentiment", arguments.exports, arguments.seed):
            print(line, flush=True)
        print(f"Exports: {arguments.exports} of {arguments.exports} kills, complete versions alone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
