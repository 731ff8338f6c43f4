"""The records of a training: metrics.jsonl, TensorBoard, and a progress bar."""

import time
from typing import Any

import tensorflow as tf

from ...common.json_lines import JsonLines
from ...common.progress_bar import ProgressBar, interval
from .run_directory import RunDirectory

# Columns of a line about an epoch.
_COLUMNS = 100


class Journal:
    """The records of one process of a run.

    Args:
        run: The run directory.
        epochs: Number of epochs of the run.
        done: Number of epochs that earlier processes have trained for, with the part of an unfinished one.
        is_kept: Whether to keep and show anything; of several workers, one does.
    """

    def __init__(self, run: RunDirectory, epochs: int, done: float, is_kept: bool = True) -> None:
        self._is_kept = is_kept
        self.lines = JsonLines(run.metrics)
        self.writer = (
            tf.summary.create_file_writer(str(run.logs)) if is_kept else tf.summary.create_noop_writer()
        )
        self._epochs, self._done = epochs, done
        self._begun = time.monotonic()
        self._bar: ProgressBar | None = None
        self._tokens = 0.0
        self._since = time.monotonic()
        self._waiting = 0.0

    def begin_epoch(self, epoch: int, examples: int, seen: int) -> None:
        """Starts the progress bar of an epoch (from 0); it counts examples."""
        if self._is_kept:
            self._bar = ProgressBar(f"epoch {epoch + 1}/{self._epochs}", "examples", examples, seen)
        self.reset_speed()

    def step(self, examples: int, tokens: float, waited: float) -> None:
        """Counts a step that waited `waited` seconds for its data."""
        if self._bar:
            self._bar.update(examples)
        self._tokens += tokens
        self._waiting += waited

    def reset_speed(self) -> None:
        """Starts a new interval for tokens per second."""
        self._tokens, self._waiting, self._since = 0.0, 0.0, time.monotonic()

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Writes numbers to metrics.jsonl and TensorBoard, with the speed since the last call."""
        elapsed = max(time.monotonic() - self._since, 1e-9)
        values |= {
            "tokens_per_second": round(self._tokens / elapsed, 1),
            "data_wait_share": round(self._waiting / elapsed, 4),
        }
        self.write(step, values)
        if self._bar:
            self._bar.note(loss=f"{values['loss']:.3f}", speed=f"{values['tokens_per_second']:.0f} tokens/s")
        self.reset_speed()

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Writes numbers to metrics.jsonl and TensorBoard."""
        if not self._is_kept:
            return
        self.lines.append({"step": step} | values)
        with self.writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def end_of_steps(self) -> None:
        """Ends the progress bar of an epoch."""
        if self._bar:
            self._bar.close()

    def print_epoch(self, epoch: int, metrics: dict[str, float], is_best: bool) -> None:
        """Prints a line: the metrics that fit, the time so far, and an estimate of the time left.

        Args:
            epoch: Number of finished epochs.
            metrics: Metrics by name, the most important first.
            is_best: Whether the epoch is the best so far.
        """
        if not self._is_kept:
            return
        seconds = time.monotonic() - self._begun
        left = seconds / max(epoch - self._done, 1e-9) * (self._epochs - epoch)
        remaining = f", {interval(left)} left" if epoch < self._epochs else ""
        print(
            _epoch_line(epoch, self._epochs, metrics, f"{interval(seconds)}{remaining}", is_best), flush=True
        )


def _epoch_line(epoch: int, epochs: int, metrics: dict[str, float], times: str, is_best: bool) -> str:
    line = f"epoch {epoch}/{epochs}"
    end = f"  {times}{'  (best)' if is_best else ''}"
    for name, value in metrics.items():
        item = f"  {name} {_number(value)}"
        if len(line + item + end) <= _COLUMNS:
            line += item
    return line + end


def _number(value: float) -> str:
    """Formats a metric with four figures or more."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:.5g}"
