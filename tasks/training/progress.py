"""The progress of a training: the part of a checkpoint that is not tensors."""

import dataclasses
from typing import Literal

from ...common.counts import counted
from .config import TrainingConfig

# Weight of a step in the exponential mean of the loss.
_RECENT = 0.1


@dataclasses.dataclass
class Progress:
    """Counters, sums and the best result so far: plain numbers, which JSON stores exactly."""

    step: int = 0
    epoch: int = 0
    # These three belong to the current epoch.
    examples: int = 0
    loss_total: float = 0.0
    loss_weight: float = 0.0
    first_loss: float | None = None
    # Exponential mean over the last steps, since a single batch may have a few hard examples.
    recent_loss: float = 0.0
    best: float | None = None
    epochs_since_best: int = 0
    epochs_on_plateau: int = 0
    plateau_scale: float = 1.0
    # Sizes in bytes of the files that grow with the steps, by name.
    file_sizes: dict[str, int] = dataclasses.field(default_factory=dict)

    def add_step(self, loss_total: float, loss_weight: float, examples: int) -> None:
        """Counts a step."""
        self.step += 1
        self.examples += examples
        self.loss_total += loss_total
        self.loss_weight += loss_weight
        loss = loss_total / loss_weight
        if self.first_loss is None:
            self.first_loss = self.recent_loss = loss
        self.recent_loss += _RECENT * (loss - self.recent_loss)

    @property
    def mean_loss(self) -> float:
        """Mean training loss in this epoch so far."""
        return self.loss_total / max(self.loss_weight, 1e-9)

    def end_epoch(self, config: TrainingConfig, monitored: float | None, best: Literal["min", "max"]) -> bool:
        """Counts an epoch, and returns whether its `--monitor` value is the best so far.

        Args:
            config: Options of the training.
            monitored: Value of the monitored metric; without one the last epoch is the best.
            best: Whether the smallest or the largest value is the best.
        """
        self.epoch += 1
        self.examples, self.loss_total, self.loss_weight = 0, 0.0, 0.0
        sign = -1 if best == "min" else 1
        is_best = monitored is None or self.best is None or sign * monitored > sign * self.best
        if is_best:
            self.best = monitored
            self.epochs_since_best = self.epochs_on_plateau = 0
        else:
            self.epochs_since_best += 1
            self.epochs_on_plateau += 1
            if self.epochs_on_plateau >= config.plateau_patience:
                self.plateau_scale *= config.plateau_factor
                self.epochs_on_plateau = 0
        return is_best

    def stops_early(self, config: TrainingConfig) -> bool:
        """Returns whether `--early_stopping_patience` is exhausted."""
        patience = config.early_stopping_patience
        return patience is not None and self.epochs_since_best >= patience

    def end_of(self, config: TrainingConfig) -> str | None:
        """Returns why the training has ended and which flag goes on; None while it goes on."""
        if self.epoch >= config.epochs:
            return f"it has trained for {counted(self.epoch, 'epoch')}; --epochs={self.epoch + 1} or more goes on"
        if self.stops_early(config):
            return (
                f"--monitor={config.monitor} has not improved in {counted(self.epochs_since_best, 'epoch')}; a larger "
                f"--early_stopping_patience than {config.early_stopping_patience} goes on"
            )
        return None
