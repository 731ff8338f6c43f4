"""A run that starts from another one: with its vocabulary, its options of the model, and its weights."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from ..common.errors import UserError
from .applications import read_config, task_of
from .training.config import TrainingConfig
from .training.run_directory import RunDirectory

# Options of the vocabulary.
_OF_TEXT = {"tokenizer", "vocabulary_size", "min_count"}
# Share of the vocabulary that the other run must know.
_SHARED = 0.5


def fits_weights(config: TrainingConfig) -> set[str]:
    """Returns the names of the options that the weights of a model fit only one value of."""
    return {field.name for field in dataclasses.fields(config) if field.metadata.get("fits_weights")}


def taken_over(application: str, config: TrainingConfig, named: Collection[str]) -> TrainingConfig:
    """Returns the options of a new run, with those of the run that it starts from where its weights need them.

    Args:
        application: Application of the new run.
        config: Its options; without `initialize_from` they are returned unchanged.
        named: Names of the options that the user gave.

    Raises:
        UserError: If there is no such run, it has no weights or no embeddings, or it is of an application or has
            options that do not fit.
    """
    if config.initialize_from is None:
        return config
    source = RunDirectory(config.initialize_from)
    found, other = read_config(source)
    allowed = (application, *config.starts_from)
    if found not in allowed:
        raise UserError(
            f"--initialize_from={source.path} is a run of {found}; {application} starts from a run of "
            f"{' or '.join(allowed)}."
        )
    if found != application and not getattr(other, "embedding_size", 0):
        raise UserError(
            f"--initialize_from={source.path} has no embeddings; {application} starts from a language model of "
            "--tokenizer=words."
        )
    if not source.has_best_weights:
        raise UserError(
            f"--initialize_from={source.path} has not finished an epoch; `unroll train` resumes it."
        )
    names = fits_weights(config) & fits_weights(other)
    if found != application:
        # Each application splits text in its own way.
        names -= _OF_TEXT
    values = {name: getattr(other, name) for name in names}
    for name in sorted(values.keys() & {*named}):
        if getattr(config, name) != values[name]:
            raise UserError(
                f"--{name}={getattr(config, name)} does not fit --initialize_from={source.path}, which has --{name}="
                f"{values[name]}; leave it out."
            )
    return config.changed(values)


def initialize(application: str, model: Any, data: Any) -> None:
    """Gives the model of a new run the best weights of the run that it starts from, if it starts from one.

    Args:
        application: Application of the new run.
        model: Its model, with all its weights made.
        data: Its data, prepared.
    """
    config = data.config
    if config.initialize_from is None:
        return
    import numpy as np

    from ..models.transfer import transfer_all, transfer_layers

    source = RunDirectory(config.initialize_from)
    found, other = read_config(source)
    task = task_of(found)
    trained_on = task.data(other, source)
    trained = task.build_model(other, trained_on.sizes)
    source.load_best_weights(trained)
    if found == application:
        transfer_all(trained, model)
        return
    tokens = _same_tokens(data.codec.tokens, trained_on.codec.tokens)
    known = sum(token >= 0 for token in tokens)
    if known < _SHARED * len(tokens):
        raise UserError(
            f"--initialize_from={source.path} knows {known:,} of {len(tokens):,} tokens of the vocabulary; train it on "
            "text of the same kind with --tokenizer=words, or give a smaller --vocabulary_size."
        )
    print(f"{known:,} of {len(tokens):,} tokens have embeddings in {source.path}.")
    transfer_layers(trained, model, np.array(tokens))


def _same_tokens(tokens: Sequence[bytes], others: Sequence[bytes]) -> list[int]:
    """Returns for each token the number of the first other one that differs in case and spaces alone, or -1."""

    from ..models.text.codec import SPACE

    def plain(token: bytes) -> str:
        text = token.decode("utf-8", "replace")
        return text.strip(f"{SPACE} ").lower() or text

    numbers: dict[str, int] = {}
    for number, token in enumerate(others):
        numbers.setdefault(plain(token), number)
    return [numbers.get(plain(token), -1) for token in tokens]
