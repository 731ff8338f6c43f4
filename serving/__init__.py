"""From a SavedModel to answers, without the code that trained it.

import unroll.serving

model = unroll.serving.load("exports/sentiment")
model.classify(["A wonderful film."])
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from ..serving.loader import Model


def load(path: "str | PathLike[str]") -> "Model":
    """Loads an exported model.

    Args:
        path: a model's directory, whose newest version is taken, or a version directory.

    Returns:
        The model, with the method of its application, such as `classify`.

    Raises:
        UserError: if there is no exported model.
    """
    # TensorFlow takes seconds to import; the command line answers `--help` without it.
    from ..serving.loader import load_model

    return load_model(path)


__all__ = ["load"]
