"""Writes warm-up requests: TensorFlow Serving runs them when it loads a version, before it answers clients."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from ..serving.warmup import FILE_NAME


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
