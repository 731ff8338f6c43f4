"""Sizes of batches and numbers of epochs that follow the data: small data gets enough steps to learn from."""

import dataclasses
import math
from collections.abc import Collection

from ..data import PreparedData
from .config import FITTED

# Fewer steps of an epoch, or of a whole training, hardly move the weights.
_STEPS_OF_EPOCH, ENOUGH_STEPS = 50, 400
# Examples in a batch that is not made smaller, and epochs that are not made more.
_SMALL, _MOST_EPOCHS = 16, 100


def fitted(data: PreparedData, fixed: Collection[str]) -> tuple[PreparedData, str]:
    """Halves the batches until an epoch has enough steps, then adds epochs until the training has.

    Args:
        data: Prepared data, with the options of the run.
        fixed: Names of the options to keep.

    Returns:
        The data with the options changed, and a sentence about the changes; "" if nothing changed.
    """
    given = data.config
    smaller = data
    while "batch_tokens" not in fixed and data.steps < _STEPS_OF_EPOCH and smaller.config.batch_tokens > 1:
        smaller = _changed(smaller, batch_tokens=smaller.config.batch_tokens // 2)
        if smaller.train_examples < _SMALL * smaller.steps:
            break
        # Fewer tokens need not mean more batches: short examples, or batches that are sized by something else.
        if smaller.steps > data.steps:
            data = smaller
    enough = min(_MOST_EPOCHS, math.ceil(ENOUGH_STEPS / data.steps))
    if "epochs" not in fixed and given.epochs < enough:
        data = _changed(data, epochs=enough)
    changes = [
        f"--{name}={getattr(data.config, name)} instead of {getattr(given, name)}"
        for name in FITTED
        if getattr(data.config, name) != getattr(given, name)
    ]
    return data, f"For so little data: {' and '.join(changes)}." if changes else ""


def _changed(data: PreparedData, **options: int) -> PreparedData:
    return type(data)(dataclasses.replace(data.config, **options), data.run)
