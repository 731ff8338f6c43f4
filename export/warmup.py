"""Warm-up requests: TensorFlow Serving runs them when it loads a version, before it answers clients."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

# TensorFlow Serving's name for the file; it silently ignores any other.
FILE_NAME = "tf_serving_warmup_requests"


def write_warmup_requests(
    directory: Path, model_name: str, requests: Mapping[str, Sequence[Mapping[str, np.ndarray]]]
) -> None:
    """Writes the requests of each signature to `assets.extra`."""
    with tf.io.TFRecordWriter(str(directory / FILE_NAME)) as writer:
        for signature, examples in requests.items():
            for inputs in examples:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, array in inputs.items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def read_warmup_requests(directory: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the signature and the inputs of each request, as a server reads them."""
    for record in tf.data.TFRecordDataset(str(directory / FILE_NAME)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        yield (
            request.model_spec.signature_name,
            {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()},
        )
