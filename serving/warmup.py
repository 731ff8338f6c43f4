"""Reads warm-up requests: servers run them when they load a version, before it answers clients."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# TensorFlow Serving's name for the file; it silently ignores any other.
FILE_NAME = "tf_serving_warmup_requests"


def read_warmup_requests(directory: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the signature and the inputs of each request in `assets.extra`, as a server reads them."""
    # Late, since TensorFlow takes seconds.
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(str(directory / FILE_NAME)).as_numpy_iterator():
        request: Any = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        yield (
            request.model_spec.signature_name,
            {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()},
        )
