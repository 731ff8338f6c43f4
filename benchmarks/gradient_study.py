"""Measures textbook claims about gradients through time: one layer of 64 units on generated long-range tasks.

    python benchmarks/gradient_study.py [--output=docs]

Writes the figures of docs/gradients.md to docs/gradients/, a line for each training to docs/gradients/study.csv, and
the tables between their markers in docs/gradients.md. Tasks, training and figures are in long_range_tasks.py,
long_range_training.py and gradient_figures.py beside this file.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradient_figures as figures
import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from long_range_tasks import Adding, Copy, LongRange, Recall
from long_range_training import (
    NETWORKS,
    UNITS,
    Outcome,
    ScaledOrthogonal,
    jacobians,
    reach,
    train,
    training_step,
)
from rounds import medians

from unroll.common.files import replacing
from unroll.models.recurrent import SimpleRNN
from unroll.tasks.inspection.pictures import save

_OUTPUT = flags.DEFINE_string(
    "output", str(Path(__file__).resolve().parents[1] / "docs"), "folder of gradients.md"
)
_SHORT = flags.DEFINE_boolean("short", False, "a few steps of everything, to see that it works")

# Maximum number of training steps, by distance and by task.
RECALL = {10: 300, 30: 400, 100: 500, 200: 400, 500: 250}
OTHERS: dict[LongRange, int] = {Adding(50): 1500, Copy(10): 600, Copy(50): 600}
SCALES = (0.5, 1.0, 1.5)
TRUNCATIONS = (5, 10, 25, 50, None)
TRUNCATED_RECALL, TIMED_STEPS = Recall(30), 200


def kernels() -> Iterator[dict[str, Any]]:
    """Yields the largest singular values of products of step Jacobians before training, for each activation, and for
    tanh also with an input so strong that most units are saturated."""
    strong = keras.initializers.RandomNormal(stddev=2.0, seed=0)
    for name, options in (
        ("linear", {"activation": "linear"}),
        ("relu", {"activation": "relu"}),
        ("tanh", {"activation": "tanh"}),
        ("tanh, strong input", {"activation": "tanh", "kernel_initializer": strong}),
    ):
        for scale in SCALES:

            def layer(scale=scale, options=options, **more):
                return SimpleRNN(UNITS, recurrent_initializer=ScaledOrthogonal(scale), **options, **more)

            distances, norms = jacobians(Recall(100), layer)
            curves = {"distances": distances, "norms": norms, "reach": reach(Recall(100), layer)}
            yield {"activation": name, "scale": scale} | curves


def first_reach() -> dict[str, np.ndarray]:
    """Returns how far each network's gradient reaches over 500 steps, before training."""
    task = Recall(500)
    return {
        network.name: reach(task, lambda network=network, **options: network.layer(task.distance, **options))
        for network in NETWORKS
    }


def comparison() -> Iterator[dict[str, Any]]:
    """Trains each network on each task."""
    tasks = {Recall(distance): steps for distance, steps in RECALL.items()} | OTHERS
    for task, steps in tasks.items():
        for network in NETWORKS:
            outcome = train(
                task,
                lambda network=network, task=task, **options: network.layer(task.distance, **options),
                steps=_steps(steps),
                learning_rate=network.learning_rate,
            )
            yield {"task": task, "network": network.name, "outcome": outcome}


def clippings() -> Iterator[dict[str, Any]]:
    """Trains without and with clipping: the vanilla RNN from each scale, by SGD and by Adam; and the IRNN."""
    for optimizer, rate in (("sgd", 0.1), ("adam", 3e-3)):
        for scale in SCALES:
            for clip in (None, 1.0):
                outcome = train(
                    Recall(30),
                    lambda scale=scale, **options: SimpleRNN(
                        UNITS, recurrent_initializer=ScaledOrthogonal(scale), **options
                    ),
                    steps=_steps(300),
                    learning_rate=rate,
                    clip=clip,
                    optimizer=optimizer,
                )
                network = f"vanilla RNN, singular values {scale}"
                entry = {"network": network, "optimizer": optimizer, "clip": clip}
                yield entry | {"task": Recall(30), "outcome": outcome}
    for optimizer, rate in (("sgd", 0.1), ("adam", 1e-3)):
        for clip in (None, 1.0):
            outcome = train(
                Recall(100),
                lambda **options: SimpleRNN.irnn(UNITS, **options),
                steps=_steps(500),
                learning_rate=rate,
                clip=clip,
                optimizer=optimizer,
            )
            entry = {"network": "IRNN", "optimizer": optimizer, "clip": clip}
            yield entry | {"task": Recall(100), "outcome": outcome}


def truncations() -> Iterator[dict[str, Any]]:
    """Trains with each truncation on recall at 30 steps."""
    for network in (NETWORKS[0], NETWORKS[-1]):
        for truncation in TRUNCATIONS:
            outcome = train(
                TRUNCATED_RECALL,
                lambda network=network, **options: network.layer(TRUNCATED_RECALL.distance, **options),
                steps=_steps(300),
                learning_rate=network.learning_rate,
                truncation=truncation,
            )
            entry = {"network": network.name, "task": TRUNCATED_RECALL, "truncation": truncation}
            yield entry | {"outcome": outcome}


def costs() -> dict[int | None, float]:
    """Returns milliseconds per training step of the last network on 200 steps, by truncation, timed in one run."""
    task, network = Recall(TIMED_STEPS - 1), NETWORKS[-1]

    def layer(**options):
        return network.layer(task.distance, **options)

    contenders = {str(t): training_step(task, layer, t) for t in TRUNCATIONS}
    seconds = medians(contenders, 2 if _SHORT.value else 15, warm_up=2)
    return {t: 1000 * seconds[str(t)] for t in TRUNCATIONS}


def main(_):
    # Each training has its own graph, which TensorFlow would warn about as retracing.
    tf.get_logger().setLevel("ERROR")
    begun = time.monotonic()
    output = Path(_OUTPUT.value)
    found = {}
    for name, experiment in (
        ("kernels", lambda: list(kernels())),
        ("first_reach", first_reach),
        ("truncations", lambda: list(truncations())),
        ("costs", costs),
        ("clippings", lambda: list(clippings())),
        ("comparison", lambda: list(comparison())),
    ):
        found[name] = experiment()
        print(f"{name}: {(time.monotonic() - begun) / 60:.1f} min", flush=True)
    for name, draw in figures.FIGURES.items():
        save(draw(found), output / "gradients" / f"{name}.png")
    _write_csv(output / "gradients" / "study.csv", found)
    tables = {name: make(found) for name, make in TABLES.items()}
    for name, table in tables.items():
        print(f"\n{name}\n\n{table}")
    page = output / "gradients.md"
    if page.exists():
        replace_tables(page, tables)
    print(f"\n{(time.monotonic() - begun) / 60:.1f} minutes. Written to {output / 'gradients'} and {page}.")


def _steps(steps: int) -> int:
    return 2 if _SHORT.value else steps


def kernel_table(found: dict[str, Any]) -> str:
    rows = []
    for entry in found["kernels"]:
        norms = dict(zip(entry["distances"], entry["norms"], strict=True))
        last = max(norms)
        row = [entry["activation"], f"{entry['scale']:g}"]
        rows.append(
            [*row, _number(entry["scale"] ** last), _number(norms[last]), _number(entry["reach"][last])]
        )
    head = [
        "activation",
        "singular values of W_h",
        "to the power of 100",
        "largest of the product of 100 Jacobians",
    ]
    return markdown_table([*head, "share of the gradient 100 steps back"], rows)


def comparison_table(found: dict[str, Any]) -> str:
    tasks = list(dict.fromkeys(entry["task"] for entry in found["comparison"]))
    cells = {(entry["network"], entry["task"]): _result(entry["outcome"]) for entry in found["comparison"]}
    rows = [[n.name, *(cells[n.name, task] for task in tasks)] for n in NETWORKS]
    return markdown_table(["network", *map(_task_name, tasks)], rows)


def reach_table(found: dict[str, Any]) -> str:
    rows = [
        [name, *(_number(curve[d]) for d in (10, 30, 100, 200, 500))]
        for name, curve in found["first_reach"].items()
    ]
    return markdown_table(
        ["network, before training", *(f"{d} steps back" for d in (10, 30, 100, 200, 500))], rows
    )


def clipping_table(found: dict[str, Any]) -> str:
    rows = []
    for entry in found["clippings"]:
        o: Outcome = entry["outcome"]
        rows.append(
            [
                entry["network"],
                _task_name(entry["task"]),
                entry["optimizer"],
                "off" if entry["clip"] is None else f"{entry['clip']:g}",
                _number(float(np.max(o.norms))) if np.isfinite(o.norms).all() else "infinite",
                f"{100 * o.share_clipped:.0f} %",
                "diverged" if o.diverged else _result(o),
                _number(o.reach_after[-1]),
            ]
        )
    head = [
        "network",
        "task",
        "optimiser",
        "clipping",
        "largest norm",
        "clipped",
        "result",
        "reach afterwards",
    ]
    return markdown_table(head, rows)


def truncation_table(found: dict[str, Any]) -> str:
    costs, rows = found["costs"], []
    networks = list(dict.fromkeys(entry["network"] for entry in found["truncations"]))
    for truncation in TRUNCATIONS:
        results = [_result(e["outcome"]) for e in found["truncations"] if e["truncation"] == truncation]
        name = "full" if truncation is None else str(truncation)
        rows.append([name, *results, f"{costs[truncation]:.1f}", f"{costs[truncation] / costs[None]:.2f}"])
    head = ["truncation", *(f"recall at {TRUNCATED_RECALL.distance}, {network}" for network in networks)]
    return markdown_table(
        [*head, f"ms a training step on {TIMED_STEPS} steps, LSTM", "of the full one"], rows
    )


TABLES = {
    "kernels": kernel_table,
    "reach": reach_table,
    "comparison": comparison_table,
    "clipping": clipping_table,
    "truncation": truncation_table,
}


def _task_name(task: LongRange) -> str:
    match task:
        case Recall():
            return f"recall, {task.distance}"
        case Adding():
            return f"adding, {task.length}"
        case _:
            return f"copy, {task.pause}"


def _result(outcome: Outcome) -> str:
    return f"**{outcome.steps} steps**" if outcome.solved else f"{100 * outcome.right:.0f} %"


def _number(value: float) -> str:
    return f"{value:.2g}" if 1e-2 <= abs(value) < 1e4 or value == 0 else f"{value:.0e}"


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def replace_tables(page: Path, tables: dict[str, str]) -> None:
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = before + begin + table + "\n" + end + after
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_csv(path: Path, found: dict[str, Any]) -> None:
    """Writes a line for each training."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = [
            "experiment",
            "task",
            "network",
            "optimizer",
            "clip",
            "truncation",
            "right",
            "steps",
            "solved",
        ]
        writer.writerow(
            [*head, "diverged", "largest_norm", "share_clipped", "ms", "reach_before", "reach_after"]
        )
        for name in ("comparison", "clippings", "truncations"):
            for entry in found[name]:
                o: Outcome = entry["outcome"]
                options = [entry["network"], entry.get("optimizer", "adam")]
                options += [entry.get("clip", 1.0), entry.get("truncation")]
                result = [
                    o.right,
                    o.steps,
                    o.solved,
                    o.diverged,
                    o.norms.max(),
                    o.share_clipped,
                    round(o.ms, 2),
                ]
                ends = [f"{curve[-1]:.3g}" for curve in (o.reach_before, o.reach_after)]
                writer.writerow([name, _task_name(entry["task"]), *options, *result, *ends])


if __name__ == "__main__":
    app.run(main)
