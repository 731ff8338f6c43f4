"""The measurements of `unroll inspect`, as one dictionary that JSON can hold."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...common.errors import UserError
from ...common.json_lines import JsonLines
from ...common.progress_bar import tracked
from ...models.recurrent import CELLS, RecurrentLayer
from ..data import PreparedData
from ..task import Task
from ..training.objective import Objective
from .flow import FlowMeter, Sums, add_up
from .kernels import jacobian_norms, spectrum

# Name of a step with each tokenizer; "step" otherwise.
_STEP_NAMES = {"words": "word", "subwords": "token", "characters": "character", "bytes": "byte"}
# A step counts as clipped if its norm fell below this share.
_CLIPPED = 1 - 1e-5


def measure(task: Task, data: PreparedData, model: keras.Model, batches: int) -> dict[str, Any]:
    """Measures the recurrent layers of a model with weights.

    Args:
        task: The application.
        data: Its data; the training part is read.
        model: Its model.
        batches: Number of batches to read.

    Returns:
        A nest of dictionaries and lists of numbers: `step` (the name of a step), `truncation`, `truncation_option` (its
        flag), `batches`, `clipping`, and `layers`. Each layer has its `name`, `cell`, `units`, the curves by distance
        from the last step (`reach`, `loss_h`, `loss_c`, `rows`), `kernel`, `jacobians` and `gates`.
    """
    objective, truncation = task.phases(data.config, data.sizes)[0].objective, task.truncation(data.config)
    sequences = data.sequences()
    meter = FlowMeter(objective, model, sequences.element_spec, (), truncated=False, closely=True)
    read = tracked(sequences.take(batches), "measuring", "batches", batches)
    whole = add_up(meter(batch)[0] for batch in read)
    if not whole:
        raise UserError(
            "There are no gradients to measure: the model has no recurrent layer, or the run has no training data."
        )
    as_trained = whole if truncation.steps is None else _as_trained(objective, data, model, batches)
    layers = [
        _layer(name, layer, of_whole, of_training)
        for name, layer, of_whole, of_training in zip(
            meter.names, meter.layers, whole, as_trained, strict=True
        )
    ]
    return {
        "step": step_name(data.config),
        "truncation": truncation.steps,
        "truncation_option": truncation.option,
        "batches": batches,
        "clipping": clipping(data.run.metrics),
        "layers": layers,
    }


def step_name(config: Any) -> str:
    """Returns the name of a step of a sequence, by the options of a run."""
    return _STEP_NAMES.get(getattr(config, "tokenizer", ""), "step")


def _as_trained(objective: Objective, data: PreparedData, model: keras.Model, batches: int) -> list[Sums]:
    """Returns sums with the truncation and the carried states of the training."""
    read, carry = data.batches(0, fixed_shapes=False), objective.initial_carry(model)
    meter = FlowMeter(objective, model, read.element_spec, carry, truncated=True)

    def results(carry: Any) -> Iterator[list[Sums]]:
        for batch in tracked(read.take(batches), "measuring as trained", "batches", batches):
            sums, carry = meter(batch, carry)
            yield sums

    return add_up(results(carry))


def curves(of_whole: Sums, of_training: Sums) -> dict[str, list[float]]:
    """Returns means over rows by distance, from sums."""
    whole, training = (np.count_nonzero(sums["rows"]) for sums in (of_whole, of_training))
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = of_whole["reach"][:whole] / of_whole["last"][:whole]
        loss = [values[:training] / of_training["rows"][:training] for values in of_training["loss"]]
    names = ("loss_h", "loss_c")
    return {
        "rows": _numbers(of_whole["rows"][:whole]),
        "reach": _numbers(reach),
        **{name: _numbers(values) for name, values in zip(names, loss, strict=False)},
    }


def clipping(metrics: Path) -> dict[str, Any] | None:
    """Returns gradient norms before and after clipping, from metrics.jsonl; None if it has no step."""
    steps = [line for line in JsonLines(metrics).read() if "gradient_norm" in line]
    if not steps:
        return None
    before = np.array([line["gradient_norm"] for line in steps])
    after = np.array([line["clipped_gradient_norm"] for line in steps])
    return {
        "logged_steps": len(steps),
        "share_clipped": float(np.mean(after < before * _CLIPPED)),
        "median": float(np.median(before)),
        "largest": float(before.max()),
        "step": [line["step"] for line in steps],
        "gradient_norm": _numbers(before),
        "clipped_gradient_norm": _numbers(after),
    }


def _layer(name: str, layer: RecurrentLayer, of_whole: Sums, of_training: Sums) -> dict[str, Any]:
    return {
        "name": name,
        "cell": next(name for name, kind in CELLS.items() if kind is type(layer)),
        "activation": layer.activation.name,
        "units": layer.units,
        **curves(of_whole, of_training),
        "kernel": spectrum(layer),
        "jacobians": jacobian_norms(layer, of_whole["sequence"]),
        "memory_gate": layer.cell.memory_gate,
        "gates": _gates(of_whole, layer.cell.memory_gate),
    }


def _gates(sums: Sums, memory_gate: str | None) -> dict[str, Any]:
    """Returns the activity of each gate, or of |h| in a cell without gates, over all steps and units."""
    steps = max(float(sums["steps"]), 1.0)
    if "gates" not in sums:
        numbers = steps * (sums["sequence"].states[0].shape[1])
        return {"output": {name: float(value / numbers) for name, value in _named(sums["output"]).items()}}
    units = len(sums["log_kept"])
    found = {
        name: {
            statistic: float(value / (steps * units))
            for statistic, value in _named(sums["gates"][name]).items()
        }
        for name in sums["gates"]
    }
    # For each unit, the number of steps after which 1/e of the state is left; about 1 / (1 - f) for f near 1.
    memory = -steps / np.minimum(np.asarray(sums["log_kept"], np.float64), -1e-9)
    found[memory_gate]["memory_median"] = float(np.median(memory))
    found[memory_gate]["memory_longest_tenth"] = float(np.quantile(memory, 0.9))
    return found


def _named(shares: dict[str, Any]) -> dict[str, Any]:
    return {"mean": shares["sum"], "above_0.95": shares["open"], "below_0.05": shares["shut"]}


def _numbers(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def for_json(content: Any) -> Any:
    """Replaces numbers that are not finite, which JSON lacks, by None."""
    if isinstance(content, dict):
        return {name: for_json(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [for_json(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
