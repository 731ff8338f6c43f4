"""The options of character language modelling."""

import dataclasses

from ...common.options import OptionGroup, When, option, override
from ...models.options import LanguageModelOptions, RecurrentOptions
from ..training.config import DataConfig, TrainingConfig


@dataclasses.dataclass(frozen=True)
class LanguageModelingConfig(LanguageModelOptions, TrainingConfig):
    """The characters of a text in, the distribution of the next one out."""

    dataset: str = option(
        "unroll_python",
        "unroll_python (the standard library of the running Python), any tensorflow-datasets name, or files: "
        "--train_data and its like name text files, or globs of them",
    )
    validation_fraction: float = override(
        DataConfig,
        "validation_fraction",
        0.05,
        "share of the training text to validate on where there is no validation data, cut from its end, before the "
        "test part; 0: no validation, and the last weights are kept",
    )
    test_fraction: float = override(
        DataConfig,
        "test_fraction",
        0.1,
        "share of the training text to test on where there is no test data, cut from its end",
    )
    text_column: str = option(
        "text", "name of the feature with the text", only=When("dataset", "!=", "files")
    )

    tokenizer: str = option(
        "characters", "what the model reads: Unicode code points, or bytes", choices=("characters", "bytes")
    )
    min_count: int = option(
        1, "times that a character must occur in the training text to be known", minimum=1
    )
    truncation: int = option(
        128,
        "characters in a window: the state is carried from window to window, the gradient is not (truncated "
        "backpropagation through time); 0: whole documents in batches by --batch_tokens, and full backpropagation",
        minimum=0,
        saves_memory=True,
    )
    batch: int = option(
        32,
        "contiguous lanes that the text is laid in, read side by side",
        minimum=1,
        only=When("truncation", ">", 0),
        saves_memory=True,
    )
    batch_tokens: int = override(TrainingConfig, "batch_tokens", 8192, only=When("truncation", "=", 0))
    shuffle_buffer: int = override(TrainingConfig, "shuffle_buffer", 8192, only=When("truncation", "=", 0))

    dropout: float = override(
        RecurrentOptions,
        "dropout",
        0.0,
        "share of features dropped before each layer and the logits, the same at all steps of a window",
    )

    ngram_order: int = option(
        6,
        "characters in the n-grams of the Kneser-Ney table that `unroll evaluate` sets beside the network; 0: none",
        minimum=0,
        maximum=20,
        commands=("evaluate",),
    )


# Without temperature the most probable character is taken, and none is drawn.
_DRAWN = When("temperature", ">", 0)


@dataclasses.dataclass(frozen=True)
class GenerationConfig(OptionGroup):
    """How `unroll predict` continues a prompt."""

    max_length: int = option(200, "characters to write at most, after each prompt", minimum=1)
    temperature: float = option(1.0, "what the logits are divided by; 0: always the most probable", minimum=0)
    top_k: int = option(
        0, "draw only from the so many most probable characters; 0: from all", minimum=0, only=_DRAWN
    )
    top_p: float = option(
        1.0,
        "draw only from the most probable characters that together have this probability",
        minimum=1e-6,
        maximum=1,
        only=_DRAWN,
    )
    seed: int = option(0, "of the draws: one seed, one text", minimum=0, maximum=2**63 - 1, only=_DRAWN)
    stop: str = option("", "text after which to stop")


CONFIG = LanguageModelingConfig
PREDICT = GenerationConfig
