"""Imports Keras with its usual settings, whatever the user's `keras.json` says."""

from ..common.errors import UserError, first_line
from ..common.quiet_start import import_tensorflow

# Keras takes them for functions that nothing calls here.
_UNUSED = ("matplotlib", "pandas", "scipy", "sklearn")


def import_keras(seed: int) -> None:
    """Imports TensorFlow and Keras, and sets what `keras.json` may set and results depend on.

    Args:
        seed: Seed of all random numbers, on which the order of examples depends, too.

    Raises:
        UserError: If Keras cannot be imported.
    """
    import_tensorflow(without=_UNUSED)
    try:
        import keras
    except (ImportError, ValueError) as error:
        raise UserError(
            f"Keras cannot be imported ({first_line(error)}); correct keras.json in ~/.keras or $KERAS_HOME."
        ) from error
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.utils.set_random_seed(seed)
