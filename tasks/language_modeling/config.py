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
        "unroll_python (the standard library of the running Python), the name of a tensorflow-datasets set, or files: "
        "--train_data, --validation_data and --test_data name text files or globs",
    )
    validation_fraction: float = override(
        DataConfig,
        "validation_fraction",
        0.05,
        "share of the training text to hold out for validation, cut from its end before the test part; 0: no "
        "validation, and the last weights are the best",
    )
    test_fraction: float = override(
        DataConfig,
        "test_fraction",
        0.1,
        "share of the training text to hold out for the test, cut from its end",
    )
    text_column: str = option("text", "feature with the text", only=When("dataset", "!=", "files"))

    tokenizer: str = option(
        "characters", "units of text: Unicode code points, or bytes", choices=("characters", "bytes")
    )
    min_count: int = option(1, "smallest number of occurrences of a character in the vocabulary", minimum=1)
    truncation: int = option(
        128,
        "characters in a window, at whose edge the gradient ends while the state is carried on (truncated "
        "backpropagation through time); 0: whole documents in batches by --batch_tokens, with full backpropagation",
        minimum=0,
        saves_memory=True,
    )
    batch: int = option(
        32,
        "number of contiguous lanes of text, read side by side",
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
        "share of features to drop before each layer and the logits, the same at all steps of a window",
    )

    ngram_order: int = option(
        6,
        "n of the Kneser-Ney n-grams that `unroll evaluate` compares the network with; 0: none",
        minimum=0,
        maximum=20,
        commands=("evaluate",),
    )


# At temperature 0 nothing is drawn.
_DRAWN = When("temperature", ">", 0)


@dataclasses.dataclass(frozen=True)
class GenerationConfig(OptionGroup):
    """The options of `unroll predict`."""

    max_length: int = option(200, "largest number of characters to write after each prompt", minimum=1)
    temperature: float = option(
        1.0, "divisor of the logits; 0: always the most probable character", minimum=0
    )
    top_k: int = option(
        0, "k: draw only from the k most probable characters; 0: from all", minimum=0, only=_DRAWN
    )
    top_p: float = option(
        1.0,
        "draw only from the most probable characters whose probabilities add up to this",
        minimum=1e-6,
        maximum=1,
        only=_DRAWN,
    )
    seed: int = option(0, "seed of the draws", minimum=0, maximum=2**63 - 1, only=_DRAWN)
    stop: tuple[str, ...] = option(
        (), r"string after which to stop; \n in it is a line break, \t a tab and \\ a backslash"
    )


CONFIG = LanguageModelingConfig
PREDICT = GenerationConfig
