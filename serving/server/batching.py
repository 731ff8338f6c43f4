"""Batches of requests, by the scheduler inside TensorFlow that TensorFlow Serving uses.

A signature of a SavedModel is one node, the call of a function with the inputs and the weights as its arguments. In the
served graph stands a `BatchFunction` node beside it: requests that run it at the same time wait for each other, and the
function is called once with the rows of all. `batching.config` means the same here and in TensorFlow Serving.
"""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from ...common.errors import UserError, first_line

# Prefix of the signature that calls the function without the scheduler.
UNBATCHED = "unbatched/"
_CALLS = ("StatefulPartitionedCall", "PartitionedCall")

# TensorFlow Serving's message BatchingParameters, which no Python package holds.
_SCHEMA = """
name: "unroll/serving/batching.proto" package: "unroll.serving" syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type { name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 type_name: ".google.protobuf.Int64Value" }
  field { name: "batch_timeout_micros" number: 2 type_name: ".google.protobuf.Int64Value" }
  field { name: "max_enqueued_batches" number: 3 type_name: ".google.protobuf.Int64Value" }
  field { name: "num_batch_threads" number: 4 type_name: ".google.protobuf.Int64Value" }
  field { name: "thread_pool_name" number: 5 type_name: ".google.protobuf.StringValue" }
  field { name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "pad_variable_length_inputs" number: 7 type: TYPE_BOOL } }
"""


@dataclass(frozen=True)
class BatchingParameters:
    """The parameters of the scheduler, with the defaults of TensorFlow Serving.

    Attributes:
        max_batch_size: Rows in a batch.
        batch_timeout_micros: Microseconds that a request waits for others.
        max_enqueued_batches: Batches that wait; further requests are refused.
        num_batch_threads: Batches of a signature that run at the same time.
        allowed_batch_sizes: Sizes to which batches are filled up, the last of them `max_batch_size`; none: any size.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "BatchingParameters":
        """Reads a file for --batching_parameters_file.

        Raises:
            UserError: If the file cannot be read, or a value is out of range.
        """
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
        pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
        message_class = message_factory.GetMessageClass(
            pool.FindMessageTypeByName("unroll.serving.BatchingParameters")
        )
        try:
            message: Any = text_format.Parse(path.read_text(encoding="utf-8"), message_class())
        except (OSError, ValueError, text_format.ParseError) as error:
            raise UserError(
                f"--batching_parameters_file={path} cannot be read ({first_line(error)})."
            ) from error
        given: dict[str, Any] = {
            field.name: getattr(message, field.name).value
            for field in fields(cls)
            if field.name != "allowed_batch_sizes" and message.HasField(field.name)
        }
        parameters = cls(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(parameters, name) < 1:
                raise UserError(f"{path} gives {name} {getattr(parameters, name)}; give at least 1.")
        sizes = parameters.allowed_batch_sizes
        if sizes and (list(sizes) != sorted({*sizes}) or sizes[-1] != parameters.max_batch_size):
            raise UserError(
                f"{path} gives allowed_batch_sizes {[*sizes]}; they must increase, up to max_batch_size "
                f"({parameters.max_batch_size})."
            )
        return parameters


@contextmanager
def batched_directory(directory: Path, saved_model: Any, parameters: BatchingParameters) -> Generator[Path]:
    """Yields a temporary directory with the same model, whose signatures run in batches.

    Args:
        directory: The version directory, which stays as it is.
        saved_model: Its SavedModel message, which is changed.
        parameters: Those of the scheduler.
    """
    (meta_graph,) = saved_model.meta_graphs
    add_batching(meta_graph, parameters)
    with tempfile.TemporaryDirectory(prefix="unroll-serve-") as temporary:
        for name in ("variables", "assets"):
            if (directory / name).exists():
                (Path(temporary) / name).symlink_to((directory / name).absolute())
        (Path(temporary) / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        yield Path(temporary)


def add_batching(meta_graph: Any, parameters: BatchingParameters) -> None:
    """Lets the signatures of a MetaGraphDef run in batches, where all their inputs and outputs have rows.

    The signature `unbatched/NAME` runs as NAME did before.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    for name, signature in list(meta_graph.signature_def.items()):
        if name.startswith("__"):
            continue
        meta_graph.signature_def[UNBATCHED + name].CopyFrom(signature)
        call = _single_call(signature, nodes)
        if call is None:
            continue
        node = meta_graph.graph_def.node.add(
            name=f"{call.name}/batched", op="BatchFunction", device=call.device
        )
        node.input.extend(call.input)
        node.attr["f"].CopyFrom(call.attr["f"])
        kinds, count = call.attr["Tin"].list.type, len(signature.inputs)
        node.attr["Tin"].list.type.extend(kinds[:count])
        node.attr["Tcaptured"].list.type.extend(kinds[count:])
        node.attr["Tout"].CopyFrom(call.attr["Tout"])
        for key in ("num_batch_threads", "max_batch_size", "batch_timeout_micros", "max_enqueued_batches"):
            node.attr[key].i = getattr(parameters, key)
        node.attr["allowed_batch_sizes"].list.i.extend(parameters.allowed_batch_sizes)
        for key in ("container", "shared_name", "batching_queue"):
            node.attr[key].s = b""
        node.attr["enable_large_batch_splitting"].b = False
        for info in signature.outputs.values():
            info.name = f"{node.name}:{info.name.partition(':')[2]}"


def _single_call(signature: Any, nodes: dict[str, Any]) -> Any:
    """Returns the node that a signature consists of; None where it cannot run in batches.

    The arguments of the function are first its inputs, then its weights.
    """
    infos = [*signature.inputs.values(), *signature.outputs.values()]
    if not signature.inputs or not all(_has_rows(info) for info in infos):
        return None
    names = {info.name.partition(":")[0] for info in signature.outputs.values()}
    call = nodes.get(names.pop()) if len(names) == 1 else None
    if call is None or call.op not in _CALLS:
        return None
    inputs = {info.name.partition(":")[0] for info in signature.inputs.values()}
    sources = [source.partition(":")[0] for source in call.input]
    return call if {*sources[: len(inputs)]} == inputs and not inputs & {*sources[len(inputs) :]} else None


def _has_rows(info: Any) -> bool:
    return not info.tensor_shape.unknown_rank and [dim.size for dim in info.tensor_shape.dim][:1] == [-1]
