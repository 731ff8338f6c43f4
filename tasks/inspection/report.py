"""Writes the report: gradient_flow.json, figures, and one HTML page that contains them all."""

import base64
import html
from pathlib import Path
from typing import Any

from ...common.files import replacing, write_json
from . import pictures
from .measurements import for_json
from .verdict import Verdict

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
img { max-width: 100%; } table { border-collapse: collapse; font-size: 0.9rem; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.vanishing { color: #b45309; } .exploding { color: #b91c1c; } .healthy { color: #15803d; }
"""

_CAPTIONS = {
    "distance": "Left: the last step's gradient, sent back alone, as a share of itself. It bounds what the network can "
    "learn from that far back. Right: the gradient of the whole loss; in some tasks every step adds to it.",
    "spectrum": "Left: how much the recurrent kernel stretches vectors. Right: how much whole steps, with activations "
    "and gates, can stretch a gradient on its way back through one of the sequences.",
    "history": "The left figure above, over the course of the training.",
}


def write_report(
    directory: Path,
    title: str,
    measured: dict[str, Any],
    verdict: Verdict,
    history: list[dict[str, Any]],
) -> Path:
    """Writes all files of the report.

    Args:
        directory: Directory of the report.
        title: Title of the page.
        measured: Result of `measurements.measure`.
        verdict: Verdict on it.
        history: Lines of gradient_flow.jsonl; may be empty.

    Returns:
        Path of the HTML page.
    """
    content = {"verdict": verdict.kind, "layers_verdict": [j._asdict() for j in verdict.layers]}
    content |= {"notes": verdict.notes, "advice": verdict.advice} | measured
    write_json(directory / "gradient_flow.json", for_json(content))
    figures = {
        "distance": pictures.distance_picture(measured),
        "spectrum": pictures.spectrum_picture(measured),
    }
    if history:
        figures["history"] = pictures.history_picture(history, measured["step"])
    for name, figure in figures.items():
        pictures.save(figure, directory / f"{name}.png")
    page = directory / "report.html"
    with replacing(page) as temporary:
        temporary.write_text(_page(directory, title, measured, verdict, list(figures)), encoding="utf-8")
    return page


def _page(directory: Path, title: str, measured: dict, verdict: Verdict, figures: list[str]) -> str:
    images = []
    for name in figures:
        data = base64.b64encode((directory / f"{name}.png").read_bytes()).decode()
        alt = html.escape(_CAPTIONS[name])
        images.append(f'<p><img alt="{alt}" src="data:image/png;base64,{data}"><br>{alt}</p>')
    if "history" not in figures:
        images.append("<p>Train with --inspect_every=N to see a heat map over the training here.</p>")
    judgements = "".join(f'<li class="{j.kind}">{html.escape(j.sentence)}</li>' for j in verdict.layers)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in verdict.notes)
    advice = "".join(f"<li>{html.escape(line)}</li>" for line in verdict.advice) or "<li>Nothing.</li>"
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<h1>{html.escape(title)}</h1>
<p>Verdict: <strong class="{verdict.kind}">{verdict.kind}</strong></p>
<ul>{judgements}{notes}</ul>
<h2>What to try</h2>
<ul>{advice}</ul>
<h2>Pictures</h2>
{"".join(images)}
<h2>Recurrent kernels</h2>
{_kernel_table(measured["layers"])}
<h2>Gates</h2>
{_gate_table(measured["layers"])}
</html>
"""


def _kernel_table(layers: list[dict[str, Any]]) -> str:
    rows = [
        [f"{layer['name']}, {gate}", f"{k['largest_singular_value']:.3g}", f"{k['spectral_radius']:.3g}"]
        for layer in layers
        for gate, k in layer["kernel"].items()
    ]
    return _table(["layer, gate", "largest singular value", "spectral radius"], rows)


def _gate_table(layers: list[dict[str, Any]]) -> str:
    rows = []
    for layer in layers:
        for gate, found in layer["gates"].items():
            # A cell without gates has |h| alone.
            name = f"{layer['name']}, {gate}" if layer["memory_gate"] else f"{layer['name']}, |h|"
            memory = f"{found['memory_median']:.3g}" if "memory_median" in found else ""
            shares = [f"{100 * found[share]:.1f} %" for share in ("above_0.95", "below_0.05")]
            rows.append([name, f"{found['mean']:.3f}", *shares, memory])
    return _table(["layer, gate", "mean", "above 0.95", "below 0.05", "memory in steps (median unit)"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"
