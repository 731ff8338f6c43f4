"""Keras layers and models, which need TensorFlow as Keras' backend."""

import os
import sys

_keras = sys.modules.get("keras")
if _keras is None:
    # Before Keras is imported, whatever the environment and `keras.json` say.
    os.environ["KERAS_BACKEND"] = "tensorflow"
elif _keras.config.backend() != "tensorflow":
    raise ImportError(
        f"unroll needs Keras on TensorFlow, but Keras was imported with the backend {_keras.config.backend()}; set "
        "KERAS_BACKEND=tensorflow, or import unroll.models first."
    )
