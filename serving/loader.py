"""Loads an exported model for Python."""

import os

from ..common.errors import UserError
from . import arguments
from .applications import model_of
from .connect import connect
from .model import Model
from .remote import is_address
from .saved_model import SavedModel
from .versions import describe, newest_version


def load(path: str | os.PathLike[str]) -> Model:
    """Loads an exported model.

    Args:
        path: A model's directory, whose newest version is loaded, or a version directory.

    Returns:
        The model, with the methods of its application, such as `classify`. Its memory comes back with `close`, at the
        end of a `with` block, or with the last reference to it.

    Raises:
        UserError: If the path holds no exported model, or the process was forked after a model was loaded.
    """
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"path is {arguments.shown(path)}; give the directory of an exported model.")
    directory = newest_version(path)
    return model_of(describe(directory)["application"], SavedModel(directory), directory)


def application(model: str) -> str:
    """Returns the application of a model, which a path or the URL of a server names.

    Raises:
        UserError: If there is no exported model.
        ServerError: If the server does not answer.
    """
    if is_address(model):
        return connect(model).application
    return describe(newest_version(model))["application"]


def load_or_connect(model: str) -> Model:
    """Loads a model from a path, or connects to one by the URL of a server; errors as for `application`."""
    return connect(model) if is_address(model) else load(model)
