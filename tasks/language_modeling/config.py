"""The options of language modelling."""

import dataclasses

from ...common.options import OptionGroup, When, option, override
from ...models.options import LanguageModelOptions, RecurrentOptions
from ...models.text_options import VocabularyOptions
from ..training.config import DataConfig, TrainingConfig

# Tokenizers with a vocabulary of pieces of text, which may be large.
_OF_PIECES = When("tokenizer", "in", ("subwords", "words"))
# Options of dynamic evaluation.
_ADAPTS = When("adapt", "=", True)
# Size of the embeddings of such tokens.
_EMBEDDING_SIZE = 256


@dataclasses.dataclass(frozen=True)
class LanguageModelingConfig(LanguageModelOptions, VocabularyOptions, TrainingConfig):
    """The beginning of a text in, the distribution of its next token (character, byte, subword or word) out."""

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
    text_column: str | None = option(
        None,
        "feature with the text, by default text; with --dataset=files the column of CSV, TSV or JSON lines files whose "
        "rows are texts, by default none: the files are texts",
    )

    tokenizer: str = option(
        "characters",
        "tokens of the text: Unicode code points, bytes, subwords (byte-pair encoding), or words",
        choices=("characters", "bytes", "subwords", "words"),
        fits_weights=True,
    )
    vocabulary_size: int = override(VocabularyOptions, "vocabulary_size", 10000, minimum=5, only=_OF_PIECES)
    min_count: int = override(VocabularyOptions, "min_count", 1)
    truncation: int = option(
        128,
        "tokens in a window, at whose edge the gradient ends while the state is carried on (truncated "
        "backpropagation through time); 0: whole documents in batches by --batch_tokens, with full backpropagation",
        minimum=0,
        # Short windows are filled up on the disk.
        maximum=1_000_000,
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

    embedding_size: int = override(
        LanguageModelOptions,
        "embedding_size",
        0,
        f"size of the embedding of a token; 0: one-hot with characters and bytes, {_EMBEDDING_SIZE} with subwords and "
        "words",
    )
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
    ngram_weight: float | None = option(
        None,
        "share of the n-grams in their mixture with the network; default: fitted on the validation part",
        minimum=0,
        maximum=1,
        only=When("ngram_order", ">", 0),
        commands=("evaluate",),
    )
    adapt: bool = option(
        False,
        "also measure the network by dynamic evaluation (Krause et al., 2018): it goes on learning from the text that "
        "it has predicted",
        commands=("evaluate",),
    )
    adapt_rate: float = option(
        3e-4, "learning rate of dynamic evaluation", minimum=0, only=_ADAPTS, commands=("evaluate",)
    )
    adapt_decay: float = option(
        0.005,
        "share of the way back to the trained weights after each segment of dynamic evaluation",
        minimum=0,
        maximum=1,
        only=_ADAPTS,
        commands=("evaluate",),
    )
    adapt_segment: int = option(
        64,
        "tokens that are predicted before the weights change in dynamic evaluation",
        minimum=1,
        only=_ADAPTS,
        commands=("evaluate",),
    )

    def __post_init__(self) -> None:
        if self.has_pieces and not self.embedding_size:
            # Frozen for all others: the options of the model follow from those of the text.
            object.__setattr__(self, "embedding_size", _EMBEDDING_SIZE)
        super().__post_init__()

    @property
    def unit(self) -> str:
        """The unit in which texts are read and cut: characters or bytes."""
        return "bytes" if self.tokenizer == "bytes" else "characters"

    @property
    def has_pieces(self) -> bool:
        """Whether tokens are words or subwords."""
        return _OF_PIECES.holds(self)


# At temperature 0 nothing is drawn.
_DRAWN = When("temperature", ">", 0)


@dataclasses.dataclass(frozen=True)
class GenerationConfig(OptionGroup):
    """The options of `unroll predict`."""

    max_length: int = option(200, "largest number of tokens to write after each prompt", minimum=1)
    temperature: float = option(1.0, "divisor of the logits; 0: always the most probable token", minimum=0)
    top_k: int = option(
        0, "k: draw only from the k most probable tokens; 0: from all", minimum=0, only=_DRAWN
    )
    top_p: float = option(
        1.0,
        "draw only from the most probable tokens whose probabilities add up to this",
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
