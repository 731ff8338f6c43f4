"""The lines of gradient_flow.jsonl as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Smaller numbers count as this one.
FLOOR = 1e-12


def history_table(history: Sequence[dict[str, Any]], layer: int) -> tuple[np.ndarray, list[int]]:
    """Returns a table [lines, distances] of a layer's reach, and the distances.

    It holds NaN where no row was that long, or the reach was not finite.
    """
    longest = max(history, key=lambda line: len(line["layers"][layer]["reach"]))
    distances = longest["layers"][layer]["distances"]
    table = np.full((len(history), len(distances)), np.nan)
    for row, line in zip(table, history, strict=True):
        found = dict(zip(line["layers"][layer]["distances"], line["layers"][layer]["reach"], strict=True))
        row[:] = [np.nan if found.get(d) is None else max(found[d], FLOOR) for d in distances]
    return table, distances
