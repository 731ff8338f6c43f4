"""Initialisers of recurrent layers."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("unroll")
class LogUniform(keras.initializers.Initializer):
    """Draws log(n), with n uniform between 1 and `steps`: chrono initialisation (Tallec and Ollivier, 2018,
    https://arxiv.org/abs/1804.11188).

    With log(n) as the bias of the gate that keeps the state, a unit forgets in about n steps.

    Args:
        steps: Largest number of steps.
        seed: Seed of the numbers.
    """

    def __init__(self, steps: int, seed: int) -> None:
        self.steps = steps
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        return tf.math.log(keras.random.uniform(shape, 1, self.steps, dtype=dtype, seed=self.seed))

    def get_config(self) -> dict[str, Any]:
        return {"steps": self.steps, "seed": self.seed}


def recurrent_kernel(name: str, gain: float) -> dict[str, Any]:
    """Returns the configuration of an initialiser of recurrent kernels, from which each layer makes its own.

    Args:
        name: orthogonal, identity or glorot_uniform.
        gain: Factor of the values.
    """
    kinds = {
        "orthogonal": ("Orthogonal", {"gain": gain, "seed": None}),
        "identity": ("Identity", {"gain": gain}),
        "glorot_uniform": (
            "VarianceScaling",
            {"scale": gain**2, "mode": "fan_avg", "distribution": "uniform", "seed": None},
        ),
    }
    kind, config = kinds[name]
    return {"module": "keras.initializers", "class_name": kind, "config": config, "registered_name": None}
