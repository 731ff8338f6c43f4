"""Damages files of runs and exports, and calls commands: each must say so in a sentence, or give the same result.

    python tests/fuzz_damage.py [--cases=2000] [--seed=0] [--directory=DIR]

trains and exports a small model of each application in a directory, by default a temporary one, and then tries that
many damages. `test_damage.py` tries a few.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from captioned_images import as_flags, tiny_model_flags, write_captioned_images
from tiny_training import (
    best_weights,
    tiny_options,
    tiny_text_options,
    tiny_translation_options,
    write_pairs,
    write_reviews,
    write_texts,
)

from unroll.tasks import cli

# Seconds that a command may take longer than on intact files.
_LIMIT = 5
# Results that no two calls share.
_SPEED = {"sentences_per_second", "images_per_second"}


class Target(NamedTuple):
    """A directory to damage, and the commands to call on it.

    Attributes:
        directory: The intact directory; a copy is damaged.
        commands: Arguments of commands; {} stands for the directory.
    """

    directory: Path
    commands: Sequence[Sequence[str]]


class Case(NamedTuple):
    """A damage and a command.

    Attributes:
        target: The directory.
        name: The damaged file, relative to the directory.
        damage: Name of the damage.
        command: Arguments of the command.
        seed: Seed of the damage.
    """

    target: Target
    name: str
    damage: str
    command: Sequence[str]
    seed: int


class Outcome(NamedTuple):
    """What a command gave.

    Attributes:
        code: Exit code; None: it raised an error.
        result: Its result in a form to compare.
        error: What it printed to stderr, or a traceback.
        seconds: Its duration.
    """

    code: int | None
    result: Any
    error: str
    seconds: float


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwritten(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    noise = chance.randbytes(chance.choice([1, 8, 100]))
    return content[:start] + noise + content[start + len(noise) :]


_CONTENTS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "halved": lambda content, _: content[: len(content) // 2],
    "emptied": lambda *_: b"",
    "zeroed": lambda content, _: bytes(len(content)),
    "truncated": lambda content, chance: content[: chance.randrange(len(content) + 1)],
    "a bit flipped": _flipped,
    "overwritten": _overwritten,
    "extended": lambda content, chance: content + chance.randbytes(10),
}
DAMAGES = (*_CONTENTS, "deleted", "swapped", "made a folder")


def damaged(case: Case, copy: Path) -> None:
    """Damages a file of a copy of the directory."""
    chance, path = random.Random(case.seed), copy / case.name
    if case.damage in _CONTENTS:
        path.write_bytes(_CONTENTS[case.damage](path.read_bytes(), chance))
    elif case.damage == "swapped":
        other = chance.choice([copy / name for name in files_of(copy) if name != case.name])
        kept = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(kept)
    else:
        path.unlink()
        if case.damage == "made a folder":
            path.mkdir()


def files_of(directory: Path) -> list[str]:
    """Returns the names of all files below a directory, without TensorBoard's and the lock."""
    files = (path.relative_to(directory) for path in sorted(directory.rglob("*")) if path.is_file())
    return [str(path) for path in files if path.parts[0] != "logs" and path.name != ".lock"]


def cases(targets: Sequence[Target], seed: int) -> Iterator[Case]:
    """Yields cases without end."""
    chance = random.Random(seed)
    names = {target.directory: files_of(target.directory) for target in targets}
    while True:
        target = chance.choice(targets)
        name, damage = chance.choice(names[target.directory]), chance.choice(DAMAGES)
        yield Case(target, name, damage, chance.choice(target.commands), chance.getrandbits(32))


def called(command: Sequence[str], directory: Path) -> Outcome:
    """Calls a command, and collects what it gives."""
    arguments = [argument.format(directory) for argument in command]
    out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(arguments)
        except Exception:
            return Outcome(None, None, traceback.format_exc(), time.monotonic() - begun)
    seconds = time.monotonic() - begun
    result: Any = None
    if code == 0 and command[0] in ("predict", "inspect"):
        result = out.getvalue()
    elif code == 0 and command[0] == "evaluate":
        metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
        result = {name: value for name, value in metrics.items() if name not in _SPEED}
    elif code == 0 and command[0] == "train":
        result = {name: np.asarray(value).tobytes() for name, value in best_weights(directory).items()}
    return Outcome(code, result, err.getvalue(), seconds)


class Fuzzer:
    """Tries cases.

    Args:
        scratch: Directory for the copies.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._intact: dict[tuple, Outcome] = {}
        self.outcomes: Counter[str] = Counter()

    def fault(self, case: Case) -> str | None:
        """Returns what is wrong with the outcome of a case, or None."""
        key = case.target.directory, *case.command
        if key not in self._intact:
            self._intact[key] = self._outcome(case, damage=False)
            assert self._intact[key].code == 0, self._intact[key].error
        intact, found = self._intact[key], self._outcome(case, damage=True)
        said = [line for line in found.error.splitlines() if line.startswith("unroll: ")]
        self.outcomes["refused" if found.code == 2 else "same result"] += 1
        if found.code is None:
            return f"a traceback\n{found.error}"
        if found.seconds > _LIMIT + 3 * intact.seconds:
            return f"{found.seconds:.1f} seconds instead of {intact.seconds:.1f}"
        if found.code == 0:
            return None if found.result == intact.result else f"another result, in silence: {found.error}"
        if found.code != 2 or len(said) != 1 or str(self._scratch) not in said[0]:
            return f"exit code {found.code}, not one sentence that names a file: {found.error}"
        return None

    def _outcome(self, case: Case, damage: bool) -> Outcome:
        copy = self._scratch / case.target.directory.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(case.target.directory, copy)
        if damage:
            damaged(case, copy)
        # A process that hangs in C++ says where, and ends.
        faulthandler.dump_traceback_later(300, exit=True)
        try:
            return called(case.command, copy)
        finally:
            faulthandler.cancel_dump_traceback_later()


def small_tasks(data: Path) -> list[tuple[str, dict[str, Any], str]]:
    """Returns name, options and an input of each application; its data is written into a directory."""
    data.mkdir(parents=True, exist_ok=True)
    sentiment = tiny_options(data) | {"test_data": write_reviews(data / "test.tsv", rows=20, seed=3)}
    translation = tiny_translation_options(data / "pairs") | {
        "test_data": write_pairs(data / "pairs" / "test", rows=6, seed=2),
    }
    text = tiny_text_options(write_texts(data / "texts", [400, 300])) | {
        "test_data": write_texts(data / "test", [60]),
        "validation_data": write_texts(data / "validation", [60]),
        "ngram_order": 2,
        "epochs": 3,
    }
    # Nothing is cut from the training text.
    del text["validation_fraction"], text["test_fraction"]
    captioning = write_captioned_images(data / "images") | tiny_model_flags()
    dog = next((data / "images" / "images").iterdir())
    return [
        ("sentiment", sentiment, "a good film"),
        ("translation", translation, "The small dog sleeps here."),
        ("language_modeling", text, "the"),
        ("captioning", captioning, str(dog)),
    ]


def trained_targets(directory: Path) -> list[Target]:
    """Trains, stops and exports a small model of each application."""
    targets = []
    for task, options, given in small_tasks(directory / "data"):
        run, export = directory / task, directory / f"{task}_exported"
        flags = as_flags(options | {"epochs": 2, "checkpoint_every": 3})
        if not export.exists():
            assert cli.main(["train", task, f"--workdir={run}", *flags]) == 0
            assert cli.main(["export", f"--workdir={run}", f"--output={export}"]) == 0
        # The run as it was before its last epoch.
        last = max((run / "checkpoints").glob("step-*"), default=None)
        if last is not None and len(list((run / "checkpoints").iterdir())) > 1:
            shutil.rmtree(last)
        again = ["train", task, "--workdir={}"]
        commands = [*[["evaluate", "--workdir={}"]] * 3, again, again, ["inspect", "--workdir={}"]]
        targets.append(Target(run, commands))
        targets.append(Target(export, [["predict", "--model={}", given]]))
    return targets


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as temporary:
        targets = trained_targets(arguments.directory or Path(temporary) / "intact")
        fuzzer = Fuzzer(Path(temporary) / "damaged")
        for number, case in enumerate(cases(targets, arguments.seed), start=1):
            if fault := fuzzer.fault(case):
                faults += 1
                print(f"{case.target.directory.name}/{case.name} {case.damage}, {case.command}: {fault}")
            if number % 100 == 0 or number == arguments.cases:
                print(f"{number} cases, {faults} faults, {dict(fuzzer.outcomes)}", flush=True)
            if number == arguments.cases:
                return min(faults, 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
