"""Checks that a SavedModel must pass before it is published."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf import saved_model_pb2

from ..common.errors import FailedError

_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


class VerificationError(FailedError):
    """The saved model failed its verification."""


def verify(directory: Path) -> None:
    """Checks the graph, and replays the example requests in two fresh processes at once.

    One uses TensorFlow's Python loader, and also runs the warm-up requests. The other uses the C API, like servers.
    Both run on the CPU.

    Raises:
        VerificationError: If a check fails; the message says which.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    for meta_graph in saved_model.meta_graphs:
        _check_ops(meta_graph.graph_def)
        for name, signature in meta_graph.signature_def.items():
            if not name.startswith("__"):
                _check_batch_dimension(name, signature)
    replay_in_fresh_processes(directory)


def replay_in_fresh_processes(directory: Path) -> None:
    """Replays the example requests through TensorFlow's Python loader and through the C API.

    Raises:
        VerificationError: If an answer differs; the message says which.
    """
    replays = {loader: _begin_replay(directory, loader) for loader in ("tensorflow", "c_api")}
    try:
        for loader, replay in replays.items():
            _, errors = replay.communicate()
            if replay.returncode:
                last = (errors.strip().splitlines() or ["no message"])[-1]
                raise VerificationError(f"The exported model fails in a fresh process ({loader}): {last}")
    finally:
        for replay in replays.values():
            replay.kill()


def _begin_replay(directory: Path, loader: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "unroll.export.replay", str(directory), loader],
        # On the CPU: the graph must run there, and the exporting process may hold the GPU's memory.
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


def op_names(graph: tf.compat.v1.GraphDef) -> set[str]:
    """Returns the names of the ops in a graph and in all its functions."""
    return {node.op for node in _nodes(graph)}


def _nodes(graph: tf.compat.v1.GraphDef) -> Iterator[NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _check_ops(graph: tf.compat.v1.GraphDef) -> None:
    functions = {function.signature.name for function in graph.library.function}
    for op in sorted(op_names(graph) - functions):
        # tf.raw_ops has a function for every op that TensorFlow itself was built with.
        if op in _PYTHON_OPS or not hasattr(tf.raw_ops, op):
            raise VerificationError(f"The graph has the op {op}, which TensorFlow Serving does not have.")
    compiled = [f for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    if compiled or any(
        node.attr["_XlaMustCompile"].b for node in _nodes(graph) if "_XlaMustCompile" in node.attr
    ):
        raise VerificationError(
            "A function has jit_compile=True, but TensorFlow Serving has no XLA compiler."
        )


def _check_batch_dimension(name: str, signature: "tf.compat.v1.SignatureDef") -> None:
    for kind in ("inputs", "outputs"):
        for key, info in getattr(signature, kind).items():
            shape = info.tensor_shape
            if not shape.unknown_rank and (not shape.dim or shape.dim[0].size != -1):
                raise VerificationError(
                    f"Signature {name!r}, {kind[:-1]} {key!r} has no leading batch dimension; servers cannot batch it."
                )
