"""The class of each application's models in Python."""

from collections.abc import Mapping

from ..common.errors import UserError
from .captioning import Captioner
from .language_modeling import TextGenerator
from .model import Backend, Model, SignatureSpec
from .sentiment import SentimentAnalyzer
from .translation import Translator

_CLASSES: tuple[type[Model], ...] = (SentimentAnalyzer, TextGenerator, Translator, Captioner)


def model_of(application: str, backend: Backend, where: object) -> Model:
    """Returns a model of an application.

    Args:
        application: Name of the application.
        backend: Runs the model's signatures.
        where: Place of the model, for the error message.

    Raises:
        UserError: If the application is unknown.
    """
    return class_of(application, where)(backend)


def class_of(application: str, where: object) -> type[Model]:
    """Returns the class of an application's models. Arguments and errors as for `model_of`."""
    for model_class in _CLASSES:
        if model_class.application == application:
            return model_class
    raise UserError(f"{where} holds a model for {application!r}, which this version does not know.")


def application_of(signatures: Mapping[str, SignatureSpec], where: object) -> str:
    """Returns the application that has certain signatures: servers describe a model by nothing else.

    Args:
        signatures: The signatures of the model.
        where: Place of the model, for the error message.

    Raises:
        UserError: If no application has such signatures.
    """
    for model_class in _CLASSES:
        signature, output = model_class.known_by
        if signature in signatures and output in signatures[signature].outputs:
            return model_class.application
    raise UserError(
        f"{where} has the signatures {', '.join(sorted(signatures)) or 'of no model'}, and is not a model made by "
        "`unroll export`."
    )
