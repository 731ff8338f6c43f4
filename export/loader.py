"""Loads a SavedModel for Python. Nothing here needs the code that trained or built the model."""

import abc
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from unroll.export.errors import UserError
from unroll.export.results import Classification
from unroll.export.versions import versions


class Model(abc.ABC):
    """An exported model.

    Args:
        directory: the version directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Held, since the signatures alone do not keep the variables alive.
        self._loaded = tf.saved_model.load(os.fspath(directory))

    @abc.abstractmethod
    def predict(self, inputs: Sequence[str]) -> list[Any]:
        """The application's result for each line of input, as `unroll predict` prints it."""

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray | Sequence], batch_size: int = 64
    ) -> Iterator[dict]:
        """Calls a signature in batches.

        Args:
            signature: its name.
            inputs: arrays by name, all with as many rows.
            batch_size: rows in a call.

        Yields:
            The outputs of each batch, NumPy arrays by name.
        """
        rows = len(next(iter(inputs.values())))
        for first in range(0, rows, batch_size):
            batch = {name: tf.constant(value[first : first + batch_size]) for name, value in inputs.items()}
            yield {name: value.numpy() for name, value in self._loaded.signatures[signature](**batch).items()}


class SentimentModel(Model):
    """A sentiment model."""

    def classify(self, texts: Sequence[str], batch_size: int = 64) -> list[Classification]:
        """The label of each text.

        Args:
            texts: any strings, empty ones too.
            batch_size: texts in a call of the graph.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UserError("classify takes a list of strings, such as [text].")
        encoded = [text.encode("utf-8", "replace") for text in texts]
        results = []
        for outputs in self.run("serving_default", {"text": encoded}, batch_size):
            for row in range(len(outputs["score"])):
                names = [name.decode() for name in outputs["labels"][row]]
                probabilities = dict(zip(names, outputs["probabilities"][row].tolist(), strict=True))
                label, score = outputs["label"][row].decode(), float(outputs["score"][row])
                results.append(Classification(texts[len(results)], label, score, probabilities))
        return results

    def predict(self, inputs: Sequence[str]) -> list[Classification]:
        return self.classify(inputs)


# The class for each application.
_MODELS: dict[str, type[Model]] = {"sentiment": SentimentModel}


def load_model(path: str | os.PathLike[str]) -> Model:
    """See `unroll.export.load`."""
    directory = _newest_version(Path(path))
    try:
        described = json.loads((directory / "assets.extra" / "unroll.json").read_text(encoding="utf-8"))
        application = described["application"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{directory} is not a model made by `unroll export` ({error}).") from error
    if application not in _MODELS:
        raise UserError(f"{directory} holds a model for {application!r}, which this version does not know.")
    return _MODELS[application](directory)


def _newest_version(path: Path) -> Path:
    if (path / "saved_model.pb").exists():
        return path
    numbers = versions(path) if path.is_dir() else []
    if not numbers:
        raise UserError(
            f"{path} holds no exported model; give the directory that `unroll export --output` wrote."
        )
    return path / str(max(numbers))
