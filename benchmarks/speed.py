"""Measures everything of docs/speed.md against stock Keras, PyTorch and ONNX Runtime, and writes the page.

    python benchmarks/speed.py [--sections=LSTM,GRU,SimpleRNN,sentiment,captioning,translation,language_modeling,
        labels,beam_search]

or `make benchmarks`, which installs PyTorch and ONNX Runtime, too. Each section runs alone and keeps its results in
`runs/speed/`, so that a page can be made section by section; it has the sections that were measured. All of them take
15 to 35 minutes on two quiet cores; other work on the machine spoils the figures.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import app, flags

_DIRECTORY = Path(__file__).parent
_CELLS = ("LSTM", "GRU", "SimpleRNN")
_STEPS = {
    "sentiment": "sentiment_step.py",
    "captioning": "captioning_step.py",
    "translation": "translation_step.py",
    "language_modeling": "language_model_step.py",
}
_ANSWERS = {"labels": "classifier_latency.py", "beam_search": "beam_search.py"}

_SECTIONS = flags.DEFINE_list(
    "sections", [*_CELLS, *_STEPS, *_ANSWERS], "what to measure; none only writes the page"
)
_WORKDIR = flags.DEFINE_string("workdir", "runs/speed", "directory of the results")
_PAGE = flags.DEFINE_string("page", str(_DIRECTORY.parent / "docs" / "speed.md"), "the page to write")

_HEAD = """# Speed

One training step of each layer, and of each application, against stock Keras (the better of plain and XLA-compiled) and
PyTorch on a CPU; and answers of exported models against PyTorch and ONNX Runtime. `make benchmarks` measures and writes
this page: medians over rounds in which each contender takes its turn, in brackets the quartiles of the ratios within a
round. More than 1 means that `unroll` is faster. Ratios differ between machines, and between rounds on a busy one.

"""

_MACHINE = """{cores} cores of {processor}; a large product runs at {gflops:.0f} GFLOP/s, and memory is read at
{gigabytes:.0f} GB/s.

"""

_LAYERS = """## Layers

128 features; unless the row says otherwise a batch of 32, 100 steps, 256 units, forward and backward pass. GFLOP/s
counts the matrix products of `unroll`. PyTorch has no masks with gaps and no recurrent dropout.

"""

_APPLICATIONS = """## Applications

Whole training steps: forward and backward pass, clipping, Adam. The commands are `python benchmarks/*_step.py`.

"""

_EXPORTED = """## Answers

Exported models, loaded and called from text to text; the others begin and end with ids. Each has a process of its own.

"""


def measure(section: str, results: Path) -> None:
    cells = [f"--cells={section}"] if section in _CELLS else []
    program = "layers.py" if cells else (_STEPS | _ANSWERS)[section]
    subprocess.run([sys.executable, str(_DIRECTORY / program), *cells, f"--results={results}"], check=True)


def page(sections: Mapping[str, Any]) -> str:
    """Returns the page, from the results of each section."""
    machines = [found["machine"] for found in sections.values() if "machine" in found]
    parts = [_HEAD, *(_MACHINE.format_map(machine) for machine in machines[:1])]
    cells = [cell for cell in _CELLS if cell in sections]
    if cells:
        parts.append(_LAYERS)
    for cell in cells:
        parts += [f"### {cell}\n\n", _table(_layer_rows(sections[cell]["rows"])), "\n"]
    steps = [name for name in _STEPS if name in sections]
    if steps:
        rows = [[name.replace("_", " "), *_speeds(sections[name]["rows"][0])] for name in steps]
        parts += [_APPLICATIONS, _table([["application", "times Keras", "times PyTorch"], *rows]), "\n"]
    answers = [row for name in _ANSWERS if name in sections for row in sections[name]["rows"]]
    if answers:
        parts += [_EXPORTED, _table([["", "ms", "times as fast as"], *map(_answer, answers)])]
    return "".join(parts)


def _layer_rows(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    table = [["", "ms", "GFLOP/s", "times Keras", "times PyTorch"]]
    for row in rows:
        seconds = row["seconds"]["unroll"]
        rate = 1e-9 * row["flops"] / seconds
        table.append([row["case"], f"{1000 * seconds:.1f}", f"{rate:.0f}", *_speeds(row)])
    return table


def _answer(row: Mapping[str, Any]) -> list[str]:
    speed = row["rival_seconds"] / row["seconds"]
    return [row["case"], f"{1000 * row['seconds']:.1f}", f"{row['rival']}: {speed:.2f}"]


def _speeds(row: Mapping[str, Any]) -> list[str]:
    found = (row["of_keras"], row["of_torch"])
    return [f"{s[0]:.2f} ({s[1]:.2f} to {s[2]:.2f})" if s else "" for s in found]


def _table(rows: list[list[str]]) -> str:
    head, *others = (f"| {' | '.join(row)} |\n" for row in rows)
    return head + "|---" * len(rows[0]) + "|\n" + "".join(others)


def main(_):
    directory = Path(_WORKDIR.value)
    directory.mkdir(parents=True, exist_ok=True)
    for section in _SECTIONS.value:
        measure(section, directory / f"{section}.json")
    found = {s: directory / f"{s}.json" for s in (*_CELLS, *_STEPS, *_ANSWERS)}
    sections = {name: json.loads(path.read_text()) for name, path in found.items() if path.exists()}
    Path(_PAGE.value).write_text(page(sections))
    print(f"Wrote {_PAGE.value}.")


if __name__ == "__main__":
    app.run(main)
