"""Timing in rounds: each contender takes its turn in each round, so that a slow moment hits all of them."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping


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
