"""The records of a training: metrics.jsonl, TensorBoard, and a progress bar."""

import sys
import time
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from ...common.json_lines import JsonLines
from .run_directory import RunDirectory


class Journal:
    """The records of one process of a run.

    Args:
        run: The run directory.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.lines = JsonLines(run.metrics)
        self.writer = tf.summary.create_file_writer(str(run.logs))
        self._bar = tqdm(disable=True)
        self._tokens = 0.0
        self._since = time.monotonic()
        self._waiting = 0.0

    def begin_epoch(self, epoch: int, epochs: int, examples: int, seen: int) -> None:
        """Starts the progress bar of an epoch (from 0); it counts examples."""
        self._bar = tqdm(
            total=examples,
            initial=seen,
            unit="ex",
            desc=f"epoch {epoch + 1}/{epochs}",
            disable=not sys.stderr.isatty(),
            leave=False,
        )
        self.reset_speed()

    def step(self, examples: int, tokens: float, waited: float) -> None:
        """Counts a step that waited `waited` seconds for its data."""
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
        self._bar.set_postfix(
            {"tokens/s": f"{values['tokens_per_second']:.0f}", "loss": f"{values['loss']:.3f}"}
        )
        self.reset_speed()

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Writes numbers to metrics.jsonl and TensorBoard."""
        self.lines.append({"step": step} | values)
        with self.writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def end_epoch(self, line: str) -> None:
        """Ends the progress bar and prints a line."""
        self._bar.close()
        print(line, flush=True)
