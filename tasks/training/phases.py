"""The phases of a training: consecutive epochs that minimise one objective."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from .config import TrainingConfig
from .objective import Objective
from .schedules import learning_rate


class Phase(NamedTuple):
    """Some consecutive epochs of a training.

    The objectives of all phases carry the same from batch to batch.

    Attributes:
        epochs: Number of epochs.
        objective: What they minimise.
        learning_rate: Function of the number of steps made before, the share of the phase that is done, in [0, 1], and
            the factor by which the plateau schedule has reduced the rate; returns the learning rate of the next step.
        resets_moments: Whether the optimiser forgets the gradients of the phase before.
        compilable: Whether XLA can compile the objective.
    """

    epochs: int
    objective: Objective
    learning_rate: Callable[[int, float, float], float]
    resets_moments: bool = False
    compilable: bool = True


def phase(config: TrainingConfig, objective: Objective, epochs: int | None = None) -> Phase:
    """Returns a phase with the learning rate of the options; by default it takes all epochs."""
    return Phase(config.epochs if epochs is None else epochs, objective, partial(learning_rate, config))


def find_phase(phases: Sequence[Phase], epoch: int) -> tuple[Phase, int]:
    """Returns the phase of an epoch, and its first epoch, both from 0; after the last epoch, the last phase."""
    begin = 0
    for found in phases[:-1]:
        if epoch < begin + found.epochs:
            return found, begin
        begin += found.epochs
    return phases[-1], begin
