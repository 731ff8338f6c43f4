"""The model and signatures that an application hands to the exporter."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf


class Signature(NamedTuple):
    """One function of the SavedModel.

    Attributes:
        function: Takes the inputs by name and returns a flat dictionary of tensors. Inputs and outputs have
            descriptive names and a leading batch dimension.
        inputs: Specification of each input.
        requests: Example requests: the verification compares their answers, and servers run them as warm-up.
    """

    function: Callable[..., Mapping[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    requests: Sequence[Mapping[str, np.ndarray]]


class Bundle(NamedTuple):
    """A model with its signatures.

    Attributes:
        application: Name of the application, such as sentiment, by which the Python loader chooses a class.
        model: Model whose weights the functions use.
        resources: Further modules whose tables or variables the functions use.
        signatures: Signatures by name, including `serving_default`.
    """

    application: str
    model: keras.Model
    resources: Sequence[tf.Module]
    signatures: Mapping[str, Signature]


class About(NamedTuple):
    """Facts about a model, for its card.

    Attributes:
        summary: What goes in and what comes out.
        data: Facts about the training data, by name.
        split: Part of the data that `metrics` was measured on.
        metrics: Figures by name.
        limits: Sentences about what the model cannot do.
        parameters: Number of weights.
        flags: Flags of the training that are not at their defaults.
    """

    summary: str = ""
    data: Mapping[str, str] = {}
    split: str = ""
    metrics: Mapping[str, float] = {}
    limits: Sequence[str] = ()
    parameters: int = 0
    flags: Sequence[str] = ()


UNKNOWN = About()


def strings(values: Iterable[str | bytes]) -> np.ndarray:
    """Returns strings as an input of an example request, bytes [batch]; str is encoded as UTF-8."""
    return np.array([value.encode() if isinstance(value, str) else value for value in values], object)
