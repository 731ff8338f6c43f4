"""Reads the graph of a SavedModel without loading it."""

from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from ...common.errors import UserError

_TAG = "serve"


def read_saved_model(directory: Path) -> Any:
    """Returns the SavedModel message of a version, with the graph for serving as its only one.

    Raises:
        UserError: If the version has no such graph.
    """
    try:
        saved_model: Any = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{directory} holds no readable SavedModel ({error}).") from error
    serving = [graph for graph in saved_model.meta_graphs if list(graph.meta_info_def.tags) == [_TAG]]
    if not serving:
        raise UserError(f"{directory} holds no graph with the tag {_TAG!r}.")
    del saved_model.meta_graphs[:]
    saved_model.meta_graphs.append(serving[0])
    return saved_model
