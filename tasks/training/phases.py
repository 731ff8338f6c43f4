"""The phases of a training: consecutive epochs that minimise one objective."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from .config import TrainingConfig
from .objective import Objective
from .schedules import learning_rate


class Phase(NamedTuple):
    """Some consecutive epochs of a training.

    The objectives of all phases carry the same state from batch to batch.

    Attributes:
        epochs: Number of epochs.
        objective: Objective to minimise.
        learning_rate: (completed steps, completed share of the phase in [0, 1], factor of the plateau schedule) ->
            learning rate of the next step.
        resets_moments: Whether the optimiser forgets the gradients of the previous phase.
        compilable: Whether XLA can compile the objective.
    """

    epochs: int
    objective: Objective
    learning_rate: Callable[[int, float, float], float]
    resets_moments: bool = False
    compilable: bool = True


def phase(config: TrainingConfig, objective: Objective, epochs: int | None = None) -> Phase:
    """Returns a phase with the learning rate of the options; None: for all epochs."""
    return Phase(config.epochs if epochs is None else epochs, objective, partial(learning_rate, config))


def find_phase(phases: Sequence[Phase], epoch: int) -> tuple[Phase, int]:
    """Returns the phase of an epoch (the last phase after the last epoch) and its first epoch, counted from 0."""
    begin = 0
    for found in phases[:-1]:
        if epoch < begin + found.epochs:
            return found, begin
        begin += found.epochs
    return phases[-1], begin
