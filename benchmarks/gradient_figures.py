"""Draws the figures of the gradient study from the results of gradient_study.py."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_FLOOR = 1e-12


def kernels(found: dict[str, Any]) -> Figure:
    """Draws products of step Jacobians: a panel for each activation, a line for each scale."""
    entries = found["kernels"]
    activations = list(dict.fromkeys(entry["activation"] for entry in entries))
    figure, panels = _panels(len(activations), sharey=True)
    for axes, activation in zip(panels, activations, strict=True):
        chosen = [entry for entry in entries if entry["activation"] == activation]
        for number, entry in enumerate(chosen):
            label = f"singular values {entry['scale']:g}"
            axes.plot(entry["distances"], _shown(entry["norms"]), color=f"C{number}", label=label)
            power = [float(entry["scale"]) ** d for d in entry["distances"]]
            axes.plot(entry["distances"], _shown(power), color=f"C{number}", linestyle=":", linewidth=1)
        axes.set_title(activation)
        axes.set_xlabel("steps back")
    panels[0].set_ylabel("largest singular value\nof the product of Jacobians")
    panels[0].set_ylim(_FLOOR, 1e18)
    panels[0].legend(fontsize=8, loc="upper left")
    return figure


def reach(found: dict[str, Any]) -> Figure:
    """Draws how far gradients reach: before training on recall at 500 steps, and before and after training at 100."""
    figure, (left, right) = _panels(2, sharey=True)
    for name, curve in found["first_reach"].items():
        left.plot(_shown(curve), label=name)
    left.set_title("before training, 501 steps")
    for number, entry in enumerate(_recall(found, 100)):
        outcome = entry["outcome"]
        right.plot(_shown(outcome.reach_before), color=f"C{number}", linestyle=":")
        label = f"{entry['network']}: {100 * outcome.right:.0f} %"
        right.plot(_shown(outcome.reach_after), color=f"C{number}", label=label)
    right.set_title("recall at 100: before (dotted), after")
    for axes in (left, right):
        axes.set_xlabel("steps back from the last")
        axes.legend(fontsize=8, loc="lower left")
    left.set_ylabel("share of the last step's gradient")
    left.set_ylim(_FLOOR, 1e3)
    return figure


def comparison(found: dict[str, Any]) -> Figure:
    """Draws the share of right answers in recall, by distance."""
    figure, (axes,) = _panels(1)
    axes.set_yscale("linear")
    networks = list(dict.fromkeys(entry["network"] for entry in found["comparison"]))
    for number, network in enumerate(networks):
        chosen = [e for e in found["comparison"] if e["network"] == network and _is_recall(e["task"])]
        distances = [e["task"].distance for e in chosen]
        axes.plot(distances, [100 * e["outcome"].right for e in chosen], color=f"C{number}", marker="o",
                  alpha=0.8, label=network)  # fmt: skip
    axes.axhline(12.5, color="0.6", linewidth=0.8)
    axes.text(10, 13.5, "guessing", fontsize=8, color="0.4")
    axes.set_xscale("log")
    axes.set_xticks(distances, distances)
    axes.minorticks_off()
    axes.set_xlabel("steps between the symbol and the question")
    axes.set_ylabel("right answers, %")
    figure.legend(loc="outside right center", fontsize=8)
    return figure


def clipping(found: dict[str, Any]) -> Figure:
    """Draws the gradient norm of each step, with and without clipping, for SGD."""
    entries = [e for e in found["clippings"] if e["optimizer"] == "sgd" and _is_recall(e["task"], 30)]
    scales = list(dict.fromkeys(entry["network"] for entry in entries))
    figure, panels = _panels(len(scales), sharey=True)
    for axes, network in zip(panels, scales, strict=True):
        for number, entry in enumerate(e for e in entries if e["network"] == network):
            outcome = entry["outcome"]
            label = "off" if entry["clip"] is None else f"at {entry['clip']:g}"
            axes.plot(_shown(outcome.norms), color=f"C{number}", linewidth=1,
                      label=f"clipping {label}: {100 * outcome.right:.0f} % right")  # fmt: skip
        axes.axhline(1, color="0.6", linewidth=0.8)
        axes.set_title(network.replace("vanilla RNN, ", ""))
        axes.set_xlabel("training step")
        axes.legend(fontsize=8)
    panels[0].set_ylabel("norm of the gradient before clipping")
    return figure


def truncation(found: dict[str, Any]) -> Figure:
    """Draws the cost of each truncation, and the right answers with it."""
    figure, (left, right) = _panels(2)
    names = ["full" if truncation is None else str(truncation) for truncation in found["costs"]]
    positions = np.arange(len(names))
    left.bar(positions, list(found["costs"].values()), color="0.6")
    left.set_ylabel("ms a training step, 200 steps")
    networks = list(dict.fromkeys(entry["network"] for entry in found["truncations"]))
    for number, network in enumerate(networks):
        right_answers = [100 * e["outcome"].right for e in found["truncations"] if e["network"] == network]
        right.bar(positions + 0.4 * number - 0.2, right_answers, 0.4, label=network)
    right.axhline(12.5, color="0.3", linewidth=0.8)
    right.set_ylabel("recall at 30 steps, % right")
    figure.legend(loc="outside upper right", ncols=len(networks), fontsize=8)
    for axes in (left, right):
        axes.set_yscale("linear")
        axes.grid(visible=False, axis="x")
        axes.set_xticks(positions, names)
        axes.set_xlabel("truncation, steps")
    return figure


FIGURES = {
    "kernels": kernels,
    "reach": reach,
    "comparison": comparison,
    "clipping": clipping,
    "truncation": truncation,
}


def _panels(number: int, sharey: bool = False) -> tuple[Figure, Sequence[Axes]]:
    width = {1: 7.0, 2: 4.4, 3: 3.6}.get(number, 3.0)
    figure = Figure((width * number, 3.3), layout="constrained")
    panels = list(figure.subplots(1, number, squeeze=False, sharey=sharey)[0])
    for axes in panels:
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    return figure, panels


def _shown(values: Sequence[float]) -> np.ndarray:
    """Raises values to the smallest that the log axis shows."""
    array = np.array(values, float)
    return np.where(np.isfinite(array) & (array > 0), np.maximum(array, _FLOOR / 10), np.nan)


def _is_recall(task: Any, distance: int | None = None) -> bool:
    return type(task).__name__ == "Recall" and distance in (None, task.distance)


def _recall(found: dict[str, Any], distance: int) -> list[dict[str, Any]]:
    return [entry for entry in found["comparison"] if _is_recall(entry["task"], distance)]
