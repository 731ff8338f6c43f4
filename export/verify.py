"""Checks that a SavedModel must pass before it is published."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf import saved_model_pb2

from ..common.errors import FailedError
from .demonstration import Demonstration

_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


class VerificationError(FailedError):
    """The saved model failed its verification."""


# From the directory of a SavedModel whose example requests have no answers yet, to a function to call when they have:
# it raises VerificationError, or returns the model's demonstration.
Check = Callable[[Path], Callable[[], Demonstration]]


@contextmanager
def verification() -> Generator[Check]:
    """Begins a verification, and yields the function that verifies a SavedModel, a `Check`.

    It checks the graph, and replays the example requests in two fresh processes at once. One uses TensorFlow's Python
    loader, and also runs the warm-up requests. The other uses the C API, like servers. Both run on the CPU. They load
    their libraries while the model is being written, and run the requests while the model in memory answers them.
    """
    with fresh_processes() as replay:

        def verify(directory: Path) -> Callable[[], Demonstration]:
            check_graph(directory)
            return replay(directory)

        yield verify


def check_graph(directory: Path) -> set[str]:
    """Checks the graph of a SavedModel, and returns the names of its ops.

    Raises:
        VerificationError: If servers lack an op, or a signature has no batch dimension.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    ops: set[str] = set()
    for meta_graph in saved_model.meta_graphs:
        ops |= _check_ops(meta_graph.graph_def)
        for name, signature in meta_graph.signature_def.items():
            if not name.startswith("__"):
                _check_batch_dimension(name, signature)
    return ops


@contextmanager
def fresh_processes() -> Generator[Check]:
    """Starts a process for TensorFlow's Python loader and one for the C API; yields the `Check` that makes both replay
    the example requests of a SavedModel."""
    processes = {loader: _begin_replay(loader) for loader in ("tensorflow", "c_api")}

    def tell(line: str) -> None:
        for process in processes.values():
            assert process.stdin
            # A process that has failed already says why below.
            with suppress(BrokenPipeError):
                process.stdin.write(f"{line}\n")
                process.stdin.flush()

    def replay(directory: Path) -> Callable[[], Demonstration]:
        tell(str(directory))
        return compared

    def compared() -> Demonstration:
        tell("compare")
        printed = {}
        for loader, process in processes.items():
            printed[loader], errors = process.communicate()
            if process.returncode:
                last = (errors.strip().splitlines() or ["no message"])[-1]
                raise VerificationError(f"The exported model fails in a fresh process ({loader}): {last}")
        return Demonstration(**json.loads(printed["c_api"]))

    try:
        yield replay
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def _begin_replay(loader: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "unroll.export.replay", loader],
        # On the CPU: the graph must run there, and the exporting process may hold the GPU's memory.
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
    )


def op_names(graph: tf.compat.v1.GraphDef) -> set[str]:
    """Returns the names of the ops in a graph and in all its functions."""
    return {node.op for node in _nodes(graph)}


def _nodes(graph: tf.compat.v1.GraphDef) -> Iterator[NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _check_ops(graph: tf.compat.v1.GraphDef) -> set[str]:
    functions = {function.signature.name for function in graph.library.function}
    ops = op_names(graph) - functions
    for op in sorted(ops):
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
    return ops


def _check_batch_dimension(name: str, signature: "tf.compat.v1.SignatureDef") -> None:
    for kind in ("inputs", "outputs"):
        for key, info in getattr(signature, kind).items():
            shape = info.tensor_shape
            if not shape.unknown_rank and (not shape.dim or shape.dim[0].size != -1):
                raise VerificationError(
                    f"Signature {name!r}, {kind[:-1]} {key!r} has no leading batch dimension; servers cannot batch it."
                )
