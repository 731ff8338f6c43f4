"""What an application hands to the exporter."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf


class Signature(NamedTuple):
    """One function of the SavedModel.

    Attributes:
        function: takes the inputs by name, returns a flat dictionary of tensors; both have names that mean something
            and a leading batch dimension.
        inputs: the specification of each input.
        requests: examples that are run before the model is published, and written as warm-up requests.
    """

    function: Callable[..., Mapping[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    requests: Sequence[Mapping[str, np.ndarray]]


class Bundle(NamedTuple):
    """A model with its signatures.

    Attributes:
        application: sentiment, say; it tells the Python loader what the model can do.
        model: whose weights the functions use.
        resources: what else they use that holds tables or variables.
        signatures: by name, `serving_default` among them.
    """

    application: str
    model: keras.Model
    resources: Sequence[tf.Module]
    signatures: Mapping[str, Signature]
