"""Observes gradient flow during a training: gradient_flow.jsonl, TensorBoard, and a warning."""

import sys
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from ...common.json_lines import JsonLines
from ..training.objective import Batch
from ..training.state import TrainingState
from .flow import FlowMeter
from .history import history_table
from .kernels import spread_distances
from .measurements import curves, for_json
from .verdict import judge_layer

# Rows of the heat map in TensorBoard, and pixels of a cell.
_PICTURED, _PIXELS = 200, 6
# One grid of distances for batches of any length.
_DISTANCES = [0, *spread_distances(1 << 16)]
# Steps before a warning of vanishing gradients: an untrained network says little about the trained one.
_SETTLED = 100
# Range of the colours, in powers of ten.
_LOW, _HIGH = -6, 1


class LiveInspection:
    """Measures the batches of some steps before the training uses them, with the current weights.

    It has its own graph, draws no random numbers and changes nothing: the training ends with the same bits without it.
    It applies no dropout, and ignores truncation within the batch. The objective is that of the first phase.

    Args:
        lines: The file gradient_flow.jsonl.
        every: Number of steps between measurements; 0: none.
        truncation: Maximum number of steps that the training's gradients reach back; None: all.
        step_name: Name of a step of a sequence.
    """

    def __init__(self, lines: JsonLines, every: int, truncation: int | None, step_name: str) -> None:
        self.lines = lines
        self._every = every
        self._truncation = truncation
        self._step_name = step_name

    def begin(self, state: TrainingState, writer: tf.summary.SummaryWriter) -> None:
        """Prepares for a training that begins or resumes."""
        objective = state.phases[0].objective
        self.meter = FlowMeter(objective, state.model, state.loaded_spec, state.carry, truncated=False)
        self._carry, self._loaded = state.carry, state.loaded
        self._writer = writer
        lines = self.lines.read()
        self._history = lines[-_PICTURED:]
        # The run's earlier processes may have warned.
        self._warned = {kind for line in lines for kind in line.get("warnings", ())}

    def before_step(self, step: int, batch: Batch) -> None:
        """Measures the batch of every `every`-th step, after `step` earlier steps."""
        if self._every and step % self._every == 0:
            self.measure(step, batch)

    def measure(self, step: int, batch: Batch) -> None:
        """Measures a batch and writes the results."""
        sums, _ = self.meter(self._loaded(batch), self._carry)
        layers = [
            {"name": name} | curves(of_layer, of_layer)
            for name, of_layer in zip(self.meter.names, sums, strict=True)
        ]
        line = for_json({"step": step, "layers": [_thinned(layer) for layer in layers]})
        if warnings := self._warn(step, layers):
            line["warnings"] = warnings
        self.lines.append(line)
        self._history = [*self._history, line][-_PICTURED:]
        self._to_tensorboard(step, line)

    def _warn(self, step: int, layers: list[dict[str, Any]]) -> list[str]:
        """Prints each kind of problem once in a run, and returns the kinds printed now."""
        judgements = [judge_layer(layer, self._truncation, self._step_name) for layer in layers]
        kinds: list[str] = []
        for kind, first in (("exploding", 0), ("vanishing", _SETTLED)):
            found = [judgement.sentence for judgement in judgements if judgement.kind == kind]
            if found and step >= first and kind not in self._warned:
                kinds.append(kind)
                hint = "`unroll inspect` says what to try; this warning appears once"
                tqdm.write(f"Step {step}: {' '.join(found)} ({hint}.)", file=sys.stderr)
        self._warned |= {*kinds}
        return kinds

    def _to_tensorboard(self, step: int, line: dict[str, Any]) -> None:
        with self._writer.as_default(step):
            for number, layer in enumerate(line["layers"]):
                for distance, reach, loss in zip(
                    layer["distances"], layer["reach"], layer["loss_h"], strict=True
                ):
                    # Only powers of two: all distances would be too many curves.
                    if distance & (distance - 1) == 0 and reach is not None and loss is not None:
                        tf.summary.scalar(f"reach/{layer['name']}/{distance:03d}_back", reach)
                        tf.summary.scalar(f"dL_dh/{layer['name']}/{distance:03d}_back", loss)
                image = _heat_map(history_table(self._history, number)[0])
                tf.summary.image(f"reach/{layer['name']}", image[None])


def _thinned(layer: dict[str, Any]) -> dict[str, Any]:
    """Returns the curves at some distances."""
    distances = [d for d in _DISTANCES if d < len(layer["reach"])]
    names = [name for name in ("reach", "loss_h", "loss_c") if name in layer]
    return {"name": layer["name"], "distances": distances} | {
        name: [layer[name][d] for d in distances] for name in names
    }


def _heat_map(table: np.ndarray) -> np.ndarray:
    """Draws a heat map, uint8 [height, width, 3]: steps downwards, distances to the right; yellow is large, grey
    unknown."""
    # matplotlib takes half a second to import, and few trainings need it.
    from matplotlib import colormaps

    known = np.isfinite(table)
    scaled = (np.log10(np.where(known, table, 1)) - _LOW) / (_HIGH - _LOW)
    colors = colormaps["viridis"](np.clip(scaled, 0, 1))[..., :3]
    colors[~known] = 0.5
    return np.kron((255 * colors).astype(np.uint8), np.ones((_PIXELS, _PIXELS, 1), np.uint8))
