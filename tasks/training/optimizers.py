"""Optimisers by name."""

import keras

from .config import TrainingConfig


def build_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Returns the optimiser. The trainer clips the gradients itself, and sets the learning rate before each step."""
    match config.optimizer:
        case "adam":
            return keras.optimizers.Adam(config.learning_rate)
        case "adamw":
            return keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
        case "sgd":
            return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum)
    raise ValueError(f"Unknown optimizer {config.optimizer!r}.")
