"""Loads an exported model for Python."""

import os

from ..common.errors import UserError
from .captioning import Captioner
from .language_modeling import TextGenerator
from .model import Model
from .saved_model import SavedModel
from .sentiment import SentimentAnalyzer
from .translation import Translator
from .versions import describe, newest_version

# The class of each application.
_MODELS: dict[str, type[Model]] = {
    model.application: model for model in (SentimentAnalyzer, TextGenerator, Translator, Captioner)
}


def load(path: str | os.PathLike[str]) -> Model:
    """Loads an exported model.

    Args:
        path: A model's directory, whose newest version is loaded, or a version directory.

    Returns:
        The model, with the methods of its application, such as `classify`.

    Raises:
        UserError: If the path holds no exported model.
    """
    directory = newest_version(path)
    application = describe(directory)["application"]
    if application not in _MODELS:
        raise UserError(f"{directory} holds a model for {application!r}, which this version does not know.")
    return _MODELS[application](SavedModel(directory))
