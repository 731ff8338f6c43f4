"""Timing in rounds: each contender takes its turn in each round, so that a slow moment hits all of them."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """The seconds of contenders in rounds."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def speeds(self, name: str, others: str) -> list[float]:
        """Returns how many times as fast a contender is as the best of those whose names begin with `others`: median,
        lower and upper quartile of the ratios within a round; empty if there are none."""
        rivals = [rival for rival in self.seconds if rival.startswith(others)]
        if not rivals:
            return []
        best = min(rivals, key=self.median)
        ratios = [theirs / ours for theirs, ours in zip(self.seconds[best], self.seconds[name], strict=True)]
        lower, middle, upper = statistics.quantiles(ratios, n=4)
        return [middle, lower, upper]

    def as_json(self) -> dict[str, Any]:
        return {
            "seconds": {name: self.median(name) for name in self.seconds},
            "of_keras": self.speeds("unroll", "Keras"),
            "of_torch": self.speeds("unroll", "PyTorch"),
        }

    def __str__(self) -> str:
        times = "   ".join(f"{name} {1000 * self.median(name):.2f} ms" for name in self.seconds)
        rivals = {
            "best of Keras": self.speeds("unroll", "Keras"),
            "PyTorch": self.speeds("unroll", "PyTorch"),
        }
        speeds = "".join(f"   {found[0]:.2f} x {rival}" for rival, found in rivals.items() if found)
        return times + speeds


def compared(contenders: Mapping[str, Callable[[], object]], seconds: float) -> Comparison:
    """Compares contenders for some seconds, in five rounds at least."""
    for call in contenders.values():
        call()
    begun = time.perf_counter()
    for call in contenders.values():
        call()
    # `times` makes two calls a round.
    rounds = min(50, max(5, round(seconds / (2 * (time.perf_counter() - begun)))))
    return Comparison(times(contenders, rounds))


def write_results(path: str | None, results: Any) -> None:
    """Writes what a command measured, for the page that `speed.py` makes."""
    if path:
        Path(path).write_text(json.dumps(results, indent=1))


def medians(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, float]:
    """Returns the median seconds of each contender per call, or per unit of work if calls return their work."""
    return {name: statistics.median(found) for name, found in times(contenders, rounds, warm_up).items()}


def times(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Returns the seconds of each round, for ratios within a round."""
    for call in contenders.values():
        for _ in range(warm_up):
            call()
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            # Not timed: idle threads of the previous contender may still spin for a while.
            call()
            begun = time.perf_counter()
            amount = call()
            seconds = time.perf_counter() - begun
            found[name].append(seconds / amount if isinstance(amount, int) else seconds)
    return found


def compared_apart(work: str, ours: str, theirs: str, rounds: int, path: str | None) -> None:
    """Compares two contenders, each in its own process, by `medians_apart`; prints their times, and writes them for the
    page that `speed.py` makes.

    Args:
        work: What they do, in a word or two; the measurements are the sizes of its batches.
        ours, theirs: Names of the contenders.
        rounds: Number of rounds.
        path: JSON file for the results, or None.
    """
    seconds = medians_apart((ours, theirs), rounds)
    rows = []
    for batch, value in seconds[ours].items():
        other = seconds[theirs][batch]
        print(
            f"{work}, batch {batch:>2}   {ours} {1000 * value:.2f} ms   {theirs} {1000 * other:.2f} ms   "
            f"{other / value:.2f} times as fast"
        )
        rows.append(
            {"case": f"{work}, batch {batch}", "seconds": value, "rival": theirs, "rival_seconds": other}
        )
    write_results(path, {"rows": rows})


def medians_apart(names: Iterable[str], rounds: int) -> dict[str, dict[str, float]]:
    """Returns medians with each contender in its own process, as it would be used: where a call takes microseconds, the
    idle threads of one library slow the other down.

    Runs the program again with `--only=NAME`; its last line is the result of `medians`, as JSON.

    Returns:
        Median seconds by contender and by measurement.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, results in found.items():
            command = [sys.executable, *sys.argv, f"--only={name}"]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append(json.loads(output.splitlines()[-1]))
    return {
        name: {what: statistics.median(result[what] for result in results) for what in results[0]}
        for name, results in found.items()
    }
