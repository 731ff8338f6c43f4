"""Optimisers and learning-rate schedules by name."""

import math

import keras

from .config import TrainingConfig


def build_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """The optimiser; the trainer sets its learning rate before every step, and clips before it is called."""
    match config.optimizer:
        case "adam":
            return keras.optimizers.Adam(config.learning_rate)
        case "adamw":
            return keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
        case "sgd":
            return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum)
    raise ValueError(f"Unknown optimizer {config.optimizer!r}.")


def learning_rate(config: TrainingConfig, step: int, progress: float, plateau_scale: float) -> float:
    """The learning rate of a step.

    Args:
        config: with the schedule.
        step: number of steps made before.
        progress: share of all examples of all epochs that were seen, 0 to 1. The number of steps is not known
            beforehand, since batches are made by tokens.
        plateau_scale: what `plateau` has reduced the rate to.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    match config.schedule:
        case "constant":
            shape = 1.0
        case "cosine":
            shape = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        case "inverse_sqrt":
            shape = math.sqrt(max(1, config.warmup_steps) / max(step + 1, config.warmup_steps, 1))
        case "plateau":
            shape = plateau_scale
    return config.learning_rate * warmup * shape
