"""Loads a SavedModel for Python. Nothing here needs the code that trained or built the model."""

import os

from ..common.errors import UserError
from .captioning import Captioner
from .language_modeling import LanguageModel
from .model import Model
from .sentiment import SentimentModel
from .translation import Translator
from .versions import describe, newest_version

# The class for each application.
_MODELS: dict[str, type[Model]] = {
    model.application: model for model in (SentimentModel, LanguageModel, Translator, Captioner)
}


def load_model(path: str | os.PathLike[str]) -> Model:
    """See `unroll.serving.load`."""
    directory = newest_version(path)
    application = describe(directory)["application"]
    if application not in _MODELS:
        raise UserError(f"{directory} holds a model for {application!r}, which this version does not know.")
    return _MODELS[application](directory)
