"""Learning-rate schedules by name."""

import math

from .config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, progress: float, plateau_scale: float) -> float:
    """Returns the learning rate of a step.

    Args:
        config: Options with the schedule.
        step: Number of steps made before.
        progress: Share of all examples of all epochs that were seen, 0 to 1. The number of steps is not known
            beforehand, since batches are made by tokens.
        plateau_scale: Factor by which `plateau` has reduced the rate.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    match config.schedule:
        case "cosine":
            shape = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        case "inverse_sqrt":
            shape = math.sqrt(max(1, config.warmup_steps) / max(step + 1, config.warmup_steps, 1))
        case "plateau":
            shape = plateau_scale
        case "constant":
            shape = 1.0
        case _:
            raise ValueError(f"Unknown schedule {config.schedule!r}.")
    return config.learning_rate * warmup * shape


def linear_decay(rate: float, step: int, progress: float, plateau_scale: float) -> float:
    """Returns a rate that falls linearly from `rate` to 0; the other arguments as those of `learning_rate`."""
    del step, plateau_scale
    return rate * (1 - progress)
