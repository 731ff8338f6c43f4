"""Mixed load on `unroll serve`: wrong answers, dropped requests and memory while versions come and go.

    python benchmarks/serving_load.py --models=exports --seconds=600 --change_every=60

--models is a directory of exported models, of any applications. Clients ask over REST and gRPC, without retries;
each answer is compared with that of the model in this process. One request in ten is malformed. Now and then each model
gets a new version, and the old one is removed. Exit code 1 if an answer is wrong, a good request gets none, or the
server's memory grows.
"""

import json
import logging
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import httpx2
import numpy as np
import psutil
from absl import app, flags
from PIL import Image
from serving_process import Running, running_server, states

import unroll.serving
from unroll.serving import grpc_backend, remote

_TEXTS = [
    "The film was wonderful, said Amélie.",
    "",
    "Dull.",
    "the old dog sleeps in the red house, " * 4,
    "☕ مرحبا 漢字",
    "A man is reading.",
    "It was an average kettle, and a boring one; nobody knows these words.",
]
_MALFORMED: Sequence[tuple[str, bytes]] = (
    ("", b'{"inputs": ['),
    ("", b'{"inputs": [[[]]]}'),
    ("", b'{"inputs": {"nothing": [1]}}'),
    ("", b'{"inputs": ["\xff"]}'),
    ("", b'{"signature_name": "none", "inputs": ["a"]}'),
    ("", b'{"instances": []}'),
    ("/versions/999999", b'{"inputs": ["a"]}'),
    ("/labels/none", b'{"inputs": ["a"]}'),
)


class Case(NamedTuple):
    """A call of a model, with the right result."""

    model: str
    ask: Callable[[Any], Any]
    expected: Any


@dataclass
class Report:
    """What happened."""

    good: int = 0
    malformed: int = 0
    faults: list[str] = field(default_factory=list)
    changes: int = 0
    latencies: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """MiB by which the memory of the server grew from the second third of the time to the last.

        The lowest of each third: while versions change, there are two of each model. In the first third the allocator's
        pools fill.
        """
        third = max(len(self.memory) // 3, 1)
        return min(self.memory[-third:]) - min(self.memory[third:-third] or self.memory[:third])

    def summary(self) -> dict[str, Any]:
        milliseconds = 1000 * np.array(self.latencies)
        return {
            "good requests": self.good,
            "malformed requests": self.malformed,
            "wrong or missing answers": len(self.faults),
            "kinds of faults": dict(Counter(fault[:200] for fault in self.faults).most_common(5)),
            "version changes": self.changes,
            "median ms": round(float(np.median(milliseconds)), 1),
            "99 % ms": round(float(np.quantile(milliseconds, 0.99)), 1),
            "memory MiB, first and last": [round(self.memory[0]), round(self.memory[-1])],
            "growth MiB": round(self.growth),
        }


def cases_of(name: str, model: Any) -> list[Case]:
    """Returns calls of a model of any application, with the results of this one."""
    few = [[text] for text in _TEXTS] + [_TEXTS]
    calls: dict[str, list[Callable[[Any], Any]]] = {
        "sentiment": [lambda model, texts=texts: model.classify(texts) for texts in few],
        "translation": [lambda model, texts=texts: model.translate(texts, n_best=2) for texts in few]
        + [lambda model, texts=texts: model.score(texts, texts[::-1]) for texts in few],
        "captioning": [lambda model, image=image: model.caption([image]) for image in _images()],
        "language_modeling": [lambda model, texts=texts: model.score(texts) for texts in few]
        + [
            lambda model, seed=seed: model.generate(["the"], temperature=0.8, seed=seed, max_length=20)
            for seed in range(5)
        ],
    }
    return [Case(name, ask, ask(model)) for ask in calls[model.application]]


def _images() -> list[bytes]:
    """Returns small and large images, one that is none, and one of more pixels than the model takes."""
    found = [b"no image"]
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("a.png", (24, 16)), ("b.jpg", (300, 200)), ("c.png", (7000, 7000))):
            image = Image.new("RGB" if size[0] < 1000 else "1", size, "red" if size[0] < 1000 else 1)
            image.save(Path(folder) / name)
            found.append((Path(folder) / name).read_bytes())
    return found


def same(one: Any, other: Any) -> bool:
    """Returns whether results are equal, numbers to a thousandth."""
    if isinstance(one, float):
        return abs(one - other) < 1e-3
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def run_load(
    server: Running, models: Path, served: Path, seconds: float, clients: int, change_every: float
) -> Report:
    """Loads a server with requests.

    Args:
        server: The server.
        models: Directory of exported models.
        served: A copy of it that the server serves.
        seconds: Duration.
        clients: Number of threads with a client each.
        change_every: Seconds between two changes of the versions of all models.
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    report, lock, stop = Report(), threading.Lock(), threading.Event()
    names = sorted(path.name for path in models.iterdir() if (path / "1").is_dir())
    cases = [case for name in names for case in cases_of(name, unroll.serving.load(models / name))]
    threads = [
        threading.Thread(target=_ask, args=(number, server, cases, names, report, lock, stop))
        for number in range(clients)
    ]
    with _without_retries():
        for thread in threads:
            thread.start()
        try:
            _watch(server, served, names, report, seconds, change_every)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    return report


@contextmanager
def _without_retries() -> Generator[None]:
    """Lets clients try each call once: a retry would hide a dropped request."""
    with mock.patch.multiple(remote, ATTEMPTS=1), mock.patch.object(grpc_backend, "OPTIONS", []):
        yield


def _ask(
    number: int,
    server: Running,
    cases: list[Case],
    names: list[str],
    report: Report,
    lock: Any,
    stop: threading.Event,
) -> None:
    draw = random.Random(number)
    url = server.rest if number % 2 else server.grpc
    try:
        clients = {name: unroll.serving.connect(url, name) for name in names}
    except Exception as error:
        report.faults.append(repr(error))
        return
    with httpx2.Client(base_url=server.rest, timeout=60) as plain:
        while not stop.is_set():
            if draw.random() < 0.1:
                which, body = draw.choice(_MALFORMED)
                answer = plain.post(f"/v1/models/{draw.choice(names)}{which}:predict", content=body)
                fault = "" if answer.status_code in (400, 404) else f"{body!r} got {answer.status_code}"
                with lock:
                    report.malformed += 1
                    report.faults += [fault] if fault else []
                continue
            case, started = draw.choice(cases), time.perf_counter()
            try:
                found = case.ask(clients[case.model])
                fault = "" if same(case.expected, found) else f"{case.model}: {found} is not {case.expected}"
            except Exception as error:
                fault = f"{case.model}: {error!r}"
            with lock:
                report.good += 1
                report.latencies.append(time.perf_counter() - started)
                report.faults += [fault] if fault else []


def _watch(
    server: Running, served: Path, names: list[str], report: Report, seconds: float, change_every: float
) -> None:
    """Changes versions, and measures memory, until the time is over."""
    end, newest, memory = time.monotonic() + seconds, 1, psutil.Process(server.process.pid)
    change = time.monotonic() + change_every
    while time.monotonic() < end:
        time.sleep(0.2)
        report.memory.append(memory.memory_info().rss / 2**20)
        if time.monotonic() >= change:
            # Under load a change of all models may itself take most of that time.
            change, newest = change + change_every, newest + 1
            for name in names:
                shutil.copytree(served / name / str(newest - 1), served / name / str(newest))
            while any(states(server, name).get(newest) != "AVAILABLE" for name in names):
                time.sleep(0.1)
            for name in names:
                shutil.rmtree(served / name / str(newest - 1))
            report.changes += 1


_MODELS = flags.DEFINE_string("models", None, "directory of exported models")
_SECONDS = flags.DEFINE_float("seconds", 600, "duration")
_CLIENTS = flags.DEFINE_integer("clients", 16, "clients")
_CHANGE_EVERY = flags.DEFINE_float("change_every", 60, "seconds between two changes of the versions")


def main(_: list[str]) -> None:
    models = Path(_MODELS.value)
    with tempfile.TemporaryDirectory() as folder:
        served = shutil.copytree(models, Path(folder) / "models")
        with running_server(served, Path(folder) / "log", "--enable_batching") as server:
            report = run_load(server, models, served, _SECONDS.value, _CLIENTS.value, _CHANGE_EVERY.value)
    print(json.dumps(report.summary(), indent=1, ensure_ascii=False))
    sys.exit(bool(report.faults) or report.growth > 50)


if __name__ == "__main__":
    flags.mark_flag_as_required("models")
    app.run(main)
