"""Exports without verification, the contents of an exported model, and its answers without the code that trained it."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from unroll.export.demonstration import Demonstration
from unroll.export.verify import Check

Tensors = dict[str, tuple]
_REFUSE = """
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("unroll.tasks", "unroll.models")):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
"""


def not_verified() -> AbstractContextManager[Check]:
    """Takes the place of `verification`, which takes most of the time of an export."""
    return nullcontext(lambda directory: Demonstration)


def answered_without_training_code(program: str, model: Path, given: Any = None) -> Any:
    """Returns the JSON that a program prints in a fresh process that cannot import `tasks` and `models`.

    Args:
        program: gets the model's directory as its argument, and `given` as JSON from standard input.
        model, given: for the program.
    """
    command = [sys.executable, "-c", _REFUSE + program, str(model)]
    result = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def described_signatures(version: Path) -> dict[str, tuple[Tensors, Tensors]]:
    """For each signature its inputs and its outputs, by name: dtype and sizes, -1 for unknown sizes."""
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(
        (version / "saved_model.pb").read_bytes()
    ).meta_graphs

    def described(tensors: dict) -> Tensors:
        return {
            name: (tf.dtypes.as_dtype(info.dtype), *(dim.size for dim in info.tensor_shape.dim))
            for name, info in tensors.items()
        }

    return {
        name: (described(signature.inputs), described(signature.outputs))
        for name, signature in meta_graph.signature_def.items()
        if not name.startswith("__")
    }
