"""Figures of gradient flow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...common.files import replacing
from .history import FLOOR, history_table
from .verdict import VANISHED

# Inches of a panel.
_WIDTH, _HEIGHT = 5.2, 3.6
_DOTS = 110
_MOST_LAYERS = 6
# Lines of a column of a legend.
_LONG_LEGEND = 16
# With less than this share of the rows, a mean is noise.
_FEW = 0.02


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, complete or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DOTS)


def distance_picture(measured: dict[str, Any]) -> Figure:
    """Plots the share of the last step's gradient, and the gradient of the loss, against the distance, on log axes."""
    figure, (left, right) = _panels(2)
    layers = [_without_tail(layer) for layer in measured["layers"]]
    for number, layer in enumerate(layers):
        color = f"C{number}"
        left.plot(_drawable(layer["reach"]), color=color, label=layer["name"])
        right.plot(_drawable(layer["loss_h"]), color=color, label=f"{layer['name']}, h")
        if "loss_c" in layer:
            right.plot(_drawable(layer["loss_c"]), color=color, linestyle=":", label="the same, c")
    left.axhline(VANISHED, color="0.6", linewidth=0.8)
    # Clipped: outside the limits it would take the room of the axes.
    left.text(0.99, VANISHED, "vanished below", color="0.4", ha="right", va="top", fontsize=8, clip_on=True,
              transform=left.get_yaxis_transform())  # fmt: skip
    left.set_title("How far the last step's gradient reaches")
    left.set_ylabel("share of the last step's gradient")
    right.set_title("Gradient of the loss, as in training")
    right.set_ylabel("norm of dL/dh and dL/dc")
    for axes in (left, right):
        axes.set_xlabel(f"{measured['step']}s back from the last")
        axes.set_yscale("log")
        _add_legend(axes)
        axes.grid(alpha=0.3)
    _bound(left, [layer["reach"] for layer in layers])
    _bound(right, [layer[name] for layer in layers for name in ("loss_h", "loss_c") if name in layer])
    if measured["truncation"] and measured["truncation"] < left.get_xlim()[1]:
        for axes in (left, right):
            axes.axvline(measured["truncation"], color="black", linestyle="--", linewidth=1)
            axes.text(measured["truncation"], 0.02, "truncation ", fontsize=8, va="bottom", ha="right",
                      transform=axes.get_xaxis_transform())  # fmt: skip
    return figure


def spectrum_picture(measured: dict[str, Any]) -> Figure:
    """Plots singular values of the recurrent kernels, and the largest ones of products of step Jacobians."""
    figure, (left, right) = _panels(2)
    styles = ("-", "--", "-.", ":")
    for number, layer in enumerate(measured["layers"]):
        color = f"C{number}"
        for style, (gate, found) in zip(styles, layer["kernel"].items(), strict=False):
            values = found["singular_values"]
            label = layer["name"] if gate == "recurrent" else f"{layer['name']}, {gate}"
            left.plot(range(1, len(values) + 1), values, color=color, linestyle=style, label=label)
        jacobians = layer["jacobians"]
        right.plot(
            jacobians["distances"],
            _drawable(jacobians["largest_singular_values"]),
            color=color,
            marker=".",
            label=layer["name"],
        )
    left.set_title("Spectrum of the recurrent kernel")
    left.set_xlabel("number of the singular value")
    left.set_ylabel("singular value")
    left.set_ylim(bottom=0)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_title("Products of step Jacobians, one sequence")
    right.set_xlabel(f"{measured['step']}s back")
    right.set_ylabel("largest singular value")
    right.set_yscale("log")
    _bound(right, [layer["jacobians"]["largest_singular_values"] for layer in measured["layers"]])
    for axes in (left, right):
        axes.axhline(1, color="0.6", linewidth=0.8)
        _add_legend(axes)
        axes.grid(alpha=0.3)
    return figure


def history_picture(history: Sequence[dict[str, Any]], step: str) -> Figure:
    """Plots a heat map for each layer: training step by distance, coloured by the share of the last step's gradient.

    Args:
        history: Lines of gradient_flow.jsonl, at least one.
        step: Name of a step of a sequence.
    """
    names = [layer["name"] for layer in history[0]["layers"]][:_MOST_LAYERS]
    figure, panels = _panels(len(names))
    scale = LogNorm(1e-6, 10, clip=True)
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        table, distances = history_table(history, number)
        # Each stored distance has a column that reaches to the next one.
        edges = np.array([*distances, distances[-1] + 1], float)
        steps = np.array([line["step"] for line in history], float)
        times = np.append(steps, 2 * steps[-1] - steps[-2] if len(steps) > 1 else steps[-1] + 1)
        axes.pcolormesh(edges, times, np.ma.masked_invalid(table), norm=scale, cmap="viridis")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(f"{step}s back from the last")
        axes.set_ylabel("training step")
        axes.set_facecolor("0.9")
    figure.colorbar(
        ScalarMappable(scale, "viridis"), ax=panels, label="share of the last step's gradient", extend="both"
    )
    return figure


def _panels(number: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure((_WIDTH * number, _HEIGHT), layout="constrained")
    return figure, list(figure.subplots(1, number, squeeze=False)[0])


def _add_legend(axes: Axes) -> None:
    """Adds a legend inside the axes, which takes none of their room; that of many curves is small."""
    columns = 1 + len(axes.get_lines()) // _LONG_LEGEND
    axes.legend(fontsize=7 if columns == 1 else 4, ncols=columns).set_in_layout(False)


def _without_tail(layer: dict[str, Any]) -> dict[str, Any]:
    """Returns the curves of a layer without distances that hardly any row has."""
    rows = layer["rows"]
    length = sum(count >= _FEW * max(rows) for count in rows)
    return {name: layer[name][:length] for name in ("reach", "loss_h", "loss_c") if name in layer} | {
        "name": layer["name"]
    }


def _drawable(values: Sequence[float | None]) -> np.ndarray:
    """Returns values for a log axis, with NaN for those that it cannot show, such as zero."""
    array = np.array([np.nan if value is None else value for value in values], float)
    return np.where(np.isfinite(array) & (array > 0), np.maximum(array, FLOOR), np.nan)


def _bound(axes: Axes, curves: Sequence[Sequence[float | None]]) -> None:
    """Fits the limits of a log axis to the values."""
    values = np.concatenate([_drawable(curve) for curve in curves])
    values = values[np.isfinite(values)]
    if len(values) > 0:
        axes.set_ylim(max(FLOOR, values.min() / 2), max(values.max() * 2, values.min() * 10))
