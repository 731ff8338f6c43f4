"""MODEL_CARD.md: the facts about an exported model, for whoever deploys it."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ..common.files import replacing
from .bundle import About
from .demonstration import Demonstration

FILE_NAME = "MODEL_CARD.md"


def write_card(
    directory: Path, name: str, application: str, about: About, demonstration: Demonstration
) -> None:
    """Writes the card of a version.

    Args:
        directory: The version directory, complete and verified.
        name: Name of the model.
        application: Name of the application.
        about: Facts about the model.
        demonstration: A request and its answers.
    """
    with replacing(directory / FILE_NAME) as temporary:
        sections = _sections(directory, name, application, about, demonstration)
        text = "\n\n".join("\n".join(lines) for lines in sections if lines)
        temporary.write_text(text + "\n", encoding="utf-8", errors="replace")


def _sections(
    directory: Path, name: str, application: str, about: About, demonstration: Demonstration
) -> list[list[str]]:
    made_by = f"unroll {version('unroll')} and TensorFlow {tf.__version__}"
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    facts = [f"- Files: {_megabytes(size)}"]
    if about.parameters:
        facts.insert(0, f"- Parameters: {about.parameters:,}")
    flags = ["", "Trained with", "", f"    unroll train {application} {shlex.join(about.flags)}".rstrip()]
    return [
        [f"# {name}"],
        [f"{about.summary} A model for {application.replace('_', ' ')}, exported by {made_by}.".lstrip()],
        _section(
            "Quality", _table(("metric", f"{about.split} part"), _figures(about)) if about.metrics else []
        ),
        _section("Training data", [f"- {key}: {value}" for key, value in about.data.items()]),
        _section("Limits", [f"- {limit}" for limit in about.limits]),
        _section("Model", facts + (flags if about.summary else [])),
        _section("Signatures", _table(("signature", "inputs", "outputs"), _signatures(directory))),
        _section("Use", _use(name, demonstration) if demonstration.python else []),
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _figures(about: About) -> list[tuple[str, str]]:
    return [(metric, f"{value:.4g}") for metric, value in about.metrics.items()]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows)]


def _signatures(directory: Path) -> list[tuple[str, str, str]]:
    saved_model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    (meta_graph,) = saved_model.meta_graphs
    return [
        (f"`{name}`", _tensors(signature.inputs), _tensors(signature.outputs))
        for name, signature in sorted(meta_graph.signature_def.items())
        if not name.startswith("__")
    ]


def _tensors(tensors: "Mapping[str, tf.compat.v1.TensorInfo]") -> str:
    """Describes inputs or outputs: name, dtype and sizes, of which the first is the batch."""

    def sizes(info: "tf.compat.v1.TensorInfo") -> str:
        dims = [str(dim.size) if dim.size >= 0 else "?" for dim in info.tensor_shape.dim]
        return ", ".join(["batch", *dims[1:]])

    return ", ".join(
        f"`{name}` {tf.as_dtype(info.dtype).name} [{sizes(info)}]" for name, info in sorted(tensors.items())
    )


def _use(name: str, demonstration: Demonstration) -> list[str]:
    url = f"http://localhost:8501/v1/models/{name}:predict"
    return [
        "In Python, in this directory:",
        "",
        *("```python", *demonstration.python.rstrip("\n").split("\n"), "```"),
        "",
        *("```text", *demonstration.printed.rstrip("\n").split("\n"), "```"),
        "",
        "Over REST, from TensorFlow Serving or `unroll serve`:",
        "",
        *("```sh", f"curl --data {shlex.quote(demonstration.body)} {shlex.quote(url)}", "```"),
        "",
        *("```json", demonstration.answer, "```"),
    ]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
