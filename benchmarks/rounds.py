"""How the benchmarks take time: in rounds in which each contender takes its turn, so that a slow moment hits all."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping


def medians(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, float]:
    """The median seconds of a call of each contender, per unit of work where a call returns its amount as a number."""
    return {name: statistics.median(found) for name, found in times(contenders, rounds, warm_up).items()}


def times(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """The same in each round, for ratios of what ran side by side."""
    for call in contenders.values():
        for _ in range(warm_up):
            call()
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            # Not timed: the threads of the one before may spin for a while when they have nothing left to do.
            call()
            begun = time.perf_counter()
            amount = call()
            seconds = time.perf_counter() - begun
            found[name].append(seconds / amount if isinstance(amount, int) else seconds)
    return found


def medians_apart(names: Iterable[str], rounds: int) -> dict[str, dict[str, float]]:
    """The same, each contender in a process of its own, as it would be used: where a call takes microseconds, the idle
    threads of one library slow the other down.

    The program is run again with `--only=NAME`, and prints as its last line what `medians` returned, as JSON.

    Returns:
        By name of the contender, and of what it did.
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
