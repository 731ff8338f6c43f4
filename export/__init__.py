"""From a trained run to a SavedModel, and from a SavedModel to answers.

import unroll.export as ue
model = ue.load("exports/sentiment")
model.classify(["A wonderful film."])
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from unroll.export.loader import Model


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
    from unroll.export.loader import load_model

    return load_model(path)


__all__ = ["load"]
