"""Loads a SavedModel through TensorFlow's C API, with the loader of TensorFlow Serving, Go, Java and C++.

The shared libraries come from the installed tensorflow wheel (under Linux and macOS), but this module never imports the
Python package `tensorflow`: a model that runs here needs neither Python nor Keras nor the code that built it.

As a script, `python -m unroll.serving.c_api SAVED_MODEL_DIR SIGNATURE` reads the inputs of one call from
stdin, a JSON object {input name: nested list}, and prints the outputs in the same form.
"""

import argparse
import ctypes
import functools
import importlib.util
import json
import os
import sys
import weakref
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

# Numbers of TF_Code.
INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 3, 8

# A ConfigProto that switches off TensorFlow's optimiser of graphs: it takes a second or more at the first call of a
# signature, and makes none of ours faster.
WITHOUT_OPTIMIZER = b"R\x05R\x03\x98\x01\x01"

# Strings have no memory layout in NumPy: object arrays of bytes stand for them.
_STRING = np.dtype(object)
_STRING_SIZE = 24  # sizeof(TF_TString)

# By the numbers of TF_DataType, the same as in the DataType proto.
_DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    7: _STRING,
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_TF_DTYPES = {dtype: number for number, dtype in _DTYPES.items()}

# The part of MetaGraphDef that describes signatures; parsing skips all other fields. On the wire, a map is a
# repeated message of key and value, which is simpler to declare.
_META_GRAPH_SCHEMA = """
name: "unroll/serving/meta_graph.proto" package: "unroll.serving" syntax: "proto3"
message_type { name: "MetaGraph"
  field { name: "signatures" number: 5 label: LABEL_REPEATED type_name: "SignatureEntry" } }
message_type { name: "SignatureEntry"
  field { name: "key" number: 1 type: TYPE_STRING } field { name: "value" number: 2 type_name: "Signature" } }
message_type { name: "Signature"
  field { name: "inputs" number: 1 label: LABEL_REPEATED type_name: "TensorEntry" }
  field { name: "outputs" number: 2 label: LABEL_REPEATED type_name: "TensorEntry" } }
message_type { name: "TensorEntry"
  field { name: "key" number: 1 type: TYPE_STRING } field { name: "value" number: 2 type_name: "Tensor" } }
message_type { name: "Tensor"
  field { name: "name" number: 1 type: TYPE_STRING } field { name: "dtype" number: 2 type: TYPE_INT32 }
  field { name: "shape" number: 3 type_name: "Shape" } }
message_type { name: "Shape"
  field { name: "sizes" number: 2 label: LABEL_REPEATED type_name: "Size" } }
message_type { name: "Size"
  field { name: "size" number: 1 type: TYPE_INT64 } }
"""

_PTR, _INT, _INT64, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_size_t

# Under Linux and under macOS.
_LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_cc.2.dylib")

# Result type and argument types of each function.
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "TF_NewStatus": (_PTR, []),
    "TF_GetCode": (_INT, [_PTR]),
    "TF_Message": (ctypes.c_char_p, [_PTR]),
    "TF_DeleteStatus": (None, [_PTR]),
    "TF_NewBuffer": (_PTR, []),
    "TF_DeleteBuffer": (None, [_PTR]),
    "TF_NewGraph": (_PTR, []),
    "TF_GraphOperationByName": (_PTR, [_PTR, _PTR]),
    "TF_DeleteGraph": (None, [_PTR]),
    "TF_NewSessionOptions": (_PTR, []),
    "TF_DeleteSessionOptions": (None, [_PTR]),
    "TF_SetConfig": (None, [_PTR, _PTR, _SIZE, _PTR]),
    "TF_LoadSessionFromSavedModel": (_PTR, [_PTR, _PTR, _PTR, _PTR, _INT, _PTR, _PTR, _PTR]),
    "TF_SessionRun": (None, [_PTR, _PTR, _PTR, _PTR, _INT, _PTR, _PTR, _INT, _PTR, _INT, _PTR, _PTR]),
    "TF_DeleteSession": (None, [_PTR, _PTR]),
    "TF_AllocateTensor": (_PTR, [_INT, _PTR, _INT, _SIZE]),
    "TF_TensorType": (_INT, [_PTR]),
    "TF_NumDims": (_INT, [_PTR]),
    "TF_Dim": (_INT64, [_PTR, _INT]),
    "TF_TensorData": (_PTR, [_PTR]),
    "TF_DeleteTensor": (None, [_PTR]),
    "TF_StringInit": (None, [_PTR]),
    "TF_StringCopy": (None, [_PTR, _PTR, _SIZE]),
    "TF_StringGetDataPointer": (_PTR, [_PTR]),
    "TF_StringGetSize": (_SIZE, [_PTR]),
}


class _Buffer(ctypes.Structure):
    _fields_ = (("data", _PTR), ("length", _SIZE), ("deallocator", _PTR))


class _Output(ctypes.Structure):
    _fields_ = (("operation", _PTR), ("index", _INT))


@dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        tensor: Its tensor in the graph, `operation:index`.
        dtype: Its dtype, `object` for strings.
        shape: Its sizes, None where any is allowed.
    """

    tensor: str
    dtype: np.dtype
    shape: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class SignatureDef:
    """The inputs and the outputs of a signature, under the names that clients use."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class TensorFlowError(RuntimeError):
    """An error of TensorFlow.

    Attributes:
        code: Its TF_Code, such as `INVALID_ARGUMENT`.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class SavedModelSession:
    """A SavedModel, loaded for serving: its graph tagged `serve`, with restored variables and tables.

    It is a context manager. Without `close`, the memory is released with the object. Threads may share it.

    Attributes:
        signatures: Signatures by name, except the loader's own, `__saved_model_*`.
    """

    def __init__(self, directory: str | os.PathLike[str], config: bytes = b"") -> None:
        """Loads a SavedModel.

        Args:
            directory: Its directory.
            config: Options of the session, a serialised ConfigProto.

        Raises:
            TensorFlowError: If TensorFlow cannot load it.
            ValueError: If a tensor of a signature is not dense, or its dtype is unknown to NumPy.
        """
        self._loaded: _Loaded | None = _Loaded(directory, config)
        self.signatures = self._loaded.signatures

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], run_options: bytes = b""
    ) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            signature: Name of the signature.
            inputs: All inputs by name, with exactly the dtypes of the signature, and any shapes that the graph accepts.
                Strings are arrays (of dtype object, S or U) of bytes, or of str, which is sent as UTF-8.
                NumPy drops NUL bytes at the end of an S element.
            run_options: Options of the call, a serialised RunOptions.

        Returns:
            All outputs by name, with the dtypes of the signature; strings as object arrays of bytes.

        Raises:
            ValueError: If the session is closed, the signature does not exist, or the inputs do not fit it.
            TensorFlowError: If the call fails in TensorFlow.
        """
        # Of its own, since another thread may close the session before the call has ended.
        loaded = self._loaded
        if loaded is None:
            raise ValueError("The model is closed; load it again.")
        called = self._signature(signature)
        if inputs.keys() != called.inputs.keys():
            raise ValueError(
                f"Signature {signature!r} takes the inputs {sorted(called.inputs)}, "
                f"and was given {sorted(inputs)}."
            )
        tf = _library()
        sources, targets = loaded.endpoints(called.inputs.values()), loaded.endpoints(called.outputs.values())
        fed, fetched = (_PTR * len(sources))(), (_PTR * len(targets))()
        # TF_DeleteTensor also deallocates strings, with the last tensor that shares them. An output may share the
        # strings of an input, so TF_StringDealloc on either would be wrong.
        with ExitStack() as tensors:
            for index, (name, spec) in enumerate(called.inputs.items()):
                label = f"Input {name!r} of signature {signature!r}"
                fed[index] = _to_tensor(inputs[name], spec.dtype, label)
                tensors.callback(tf.TF_DeleteTensor, fed[index])
            feeds, fetches = (sources, fed, len(sources)), (targets, fetched, len(targets))
            options = _Buffer(ctypes.cast(ctypes.c_char_p(run_options), _PTR), len(run_options), None)
            with _checked_status() as status:
                tf.TF_SessionRun(
                    loaded.session, ctypes.byref(options), *feeds, *fetches, None, 0, None, status
                )
            for tensor in fetched:
                tensors.callback(tf.TF_DeleteTensor, tensor)
            return {name: _to_array(tensor) for name, tensor in zip(called.outputs, fetched, strict=True)}

    def close(self) -> None:
        """Releases the session and its graph, once calls in other threads have ended; `run` then raises ValueError.
        Closing again does nothing."""
        self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _signature(self, name: str) -> SignatureDef:
        if name not in self.signatures:
            raise ValueError(f"The SavedModel has no signature {name!r}, but {sorted(self.signatures)}.")
        return self.signatures[name]


class _Loaded:
    """TensorFlow's session and graph of a SavedModel. They are released with this object.

    Attributes:
        session: Address of the session.
        signatures: Signatures by name.
    """

    def __init__(self, directory: str | os.PathLike[str], config: bytes) -> None:
        tf = _library()
        with ExitStack() as owned, ExitStack() as temporary:
            self._graph = tf.TF_NewGraph()
            owned.callback(tf.TF_DeleteGraph, self._graph)
            options = tf.TF_NewSessionOptions()
            temporary.callback(tf.TF_DeleteSessionOptions, options)
            with _checked_status() as status:
                tf.TF_SetConfig(options, config, len(config), status)
            meta_graph = tf.TF_NewBuffer()
            temporary.callback(tf.TF_DeleteBuffer, meta_graph)
            path, tags = os.fsencode(directory), (ctypes.c_char_p * 1)(b"serve")
            with _checked_status() as status:
                self.session = tf.TF_LoadSessionFromSavedModel(
                    options, None, path, tags, len(tags), self._graph, meta_graph, status
                )
            owned.callback(_delete_session, self.session)
            buffer = _Buffer.from_address(meta_graph)
            self.signatures = _signatures(ctypes.string_at(buffer.data, buffer.length))
            weakref.finalize(self, _release, owned.pop_all(), os.getpid())

    def endpoints(self, specs: Collection[TensorInfo]) -> ctypes.Array[_Output]:
        """Returns the operation and the output index of each tensor in the graph."""
        endpoints = (_Output * len(specs))()
        for endpoint, spec in zip(endpoints, specs, strict=True):
            operation, index = spec.tensor.rsplit(":", 1)
            endpoint.operation = _library().TF_GraphOperationByName(self._graph, operation.encode())
            endpoint.index = int(index)
            if endpoint.operation is None:
                raise RuntimeError(f"The graph has no tensor {spec.tensor!r}, which a signature names.")
        return endpoints


def _release(owned: ExitStack, process: int) -> None:
    """Releases a session and its graph. In a forked process, whose threads are missing, it would wait for ever."""
    if os.getpid() == process:
        owned.close()


@functools.cache
def _library() -> ctypes.CDLL:
    """Loads TensorFlow's C API without importing TensorFlow."""
    path = find_library()
    if path is None:
        raise ModuleNotFoundError("TensorFlow's C API comes with tensorflow, which is not installed.")
    # It loads libtensorflow_framework beside it; this handle finds the symbols of both.
    library = ctypes.CDLL(os.fspath(path))
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def is_loaded() -> bool:
    """Returns whether TensorFlow's C API is in use in this process."""
    return _library.cache_info().currsize > 0


def find_library() -> Path | None:
    """Returns the path of TensorFlow's C API; None if tensorflow is not installed, or comes without, as on Windows."""
    package = importlib.util.find_spec("tensorflow")
    if package is None or package.origin is None:
        return None
    paths = (Path(package.origin).with_name(name) for name in _LIBRARIES)
    return next((path for path in paths if path.exists()), None)


@contextmanager
def _checked_status() -> Generator[int]:
    """Yields a TF_Status for one call; raises TensorFlowError if the call failed."""
    tf = _library()
    status = tf.TF_NewStatus()
    try:
        yield status
        code = tf.TF_GetCode(status)
        if code:
            raise TensorFlowError(tf.TF_Message(status).decode(errors="replace"), code)
    finally:
        tf.TF_DeleteStatus(status)


def _delete_session(session: int) -> None:
    with _checked_status() as status:
        _library().TF_DeleteSession(session, status)


@functools.cache
def _meta_graph_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_META_GRAPH_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("unroll.serving.MetaGraph"))


def _signatures(meta_graph: bytes) -> dict[str, SignatureDef]:
    """Returns the signatures of a serialised MetaGraphDef."""
    return {
        entry.key: SignatureDef(
            {tensor.key: _tensor_info(entry.key, tensor) for tensor in entry.value.inputs},
            {tensor.key: _tensor_info(entry.key, tensor) for tensor in entry.value.outputs},
        )
        for entry in _meta_graph_class().FromString(meta_graph).signatures
        if not entry.key.startswith("__saved_model_")
    }


def _tensor_info(signature: str, entry: Any) -> TensorInfo:
    tensor = entry.value
    # A sparse or composite tensor is several tensors of the graph, and has no single name.
    if not tensor.name or tensor.dtype not in _DTYPES:
        raise ValueError(
            f"Tensor {entry.key!r} of signature {signature!r} must be dense and have a dtype that NumPy has, "
            f"but its name is {tensor.name!r} and its TF_DataType is {tensor.dtype}."
        )
    shape = tuple(None if size.size < 0 else size.size for size in tensor.shape.sizes)
    return TensorInfo(tensor.name, _DTYPES[tensor.dtype], shape)


def _to_tensor(given: np.ndarray, dtype: np.dtype, label: str) -> int:
    """Copies an array to a new TF_Tensor; raises ValueError about `label` on a wrong dtype."""
    if dtype == _STRING:
        return _to_string_tensor(np.asarray(given, _STRING), label)
    array = np.asarray(given, order="C")
    if array.dtype != dtype:
        raise ValueError(f"{label} takes {dtype}, and was given {array.dtype}.")
    tensor, data = _allocate(array, array.nbytes)
    ctypes.memmove(data, array.ctypes.data, array.nbytes)
    return tensor


def _to_string_tensor(array: np.ndarray, label: str) -> int:
    strings = [item.encode() if isinstance(item, str) else item for item in array.flat]
    for string in strings:
        if not isinstance(string, bytes):
            raise ValueError(f"{label} takes bytes or str, and was given {type(string).__name__}.")
    tf = _library()
    tensor, data = _allocate(array, len(strings) * _STRING_SIZE)
    for index, string in enumerate(strings):
        tf.TF_StringInit(data + index * _STRING_SIZE)
        tf.TF_StringCopy(data + index * _STRING_SIZE, string, len(string))
    return tensor


def _allocate(array: np.ndarray, size: int) -> tuple[int, int]:
    """Returns a new TF_Tensor of the shape and dtype of an array, and the address of its `size` bytes."""
    tf = _library()
    shape = (_INT64 * array.ndim)(*array.shape)
    tensor = tf.TF_AllocateTensor(_TF_DTYPES[array.dtype], shape, array.ndim, size)
    return tensor, tf.TF_TensorData(tensor)


def _to_array(tensor: int) -> np.ndarray:
    """Copies a TF_Tensor to an array."""
    tf = _library()
    shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
    array = np.empty(shape, _DTYPES[tf.TF_TensorType(tensor)])
    data = tf.TF_TensorData(tensor)
    if array.dtype != _STRING:
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
        return array
    for index in range(array.size):
        string = data + index * _STRING_SIZE
        array.flat[index] = ctypes.string_at(tf.TF_StringGetDataPointer(string), tf.TF_StringGetSize(string))
    return array


def main() -> None:
    """Calls one signature with inputs from stdin and prints its outputs, both as JSON."""
    parser = argparse.ArgumentParser(description="Call a signature of a SavedModel through the C API.")
    parser.add_argument("directory", help="the SavedModel")
    parser.add_argument("signature", help="the signature to call with the JSON object on stdin")
    arguments = parser.parse_args()
    with SavedModelSession(arguments.directory) as session:
        called = session.signatures.get(arguments.signature)
        dtypes = {name: spec.dtype for name, spec in called.inputs.items()} if called else {}
        inputs = {name: np.array(value, dtypes.get(name)) for name, value in json.load(sys.stdin).items()}
        outputs = session.run(arguments.signature, inputs)
    print(json.dumps({name: array.tolist() for name, array in outputs.items()}, default=bytes.decode))


if __name__ == "__main__":
    main()
