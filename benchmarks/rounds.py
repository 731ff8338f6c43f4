"""How the benchmarks take time: in rounds in which each contender takes its turn, so that a slow moment hits all."""

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, float]:
    """The median seconds of a call of each contender, per unit of work where a call returns its amount as a number."""
    for call in contenders.values():
        for _ in range(warm_up):
            call()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            begun = time.perf_counter()
            amount = call()
            seconds = time.perf_counter() - begun
            times[name].append(seconds / amount if isinstance(amount, int) else seconds)
    return {name: statistics.median(values) for name, values in times.items()}
