"""The options of translation."""

import dataclasses

from ...common.errors import UserError
from ...common.files import PICTURES
from ...common.options import OptionGroup, When, option, override
from ...models.options import RecurrentOptions, TranslationOptions
from ...models.text_options import RewardOptions, SearchOptions, SegmentationOptions, VocabularyOptions
from ..training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class TranslationConfig(
    TranslationOptions,
    SearchOptions,
    RewardOptions,
    SegmentationOptions,
    VocabularyOptions,
    TrainingConfig,
):
    """A sentence in, a sentence out."""

    dataset: str = option(
        "unroll_translation",
        "unroll_translation (English and German, embedded), the name of a tensorflow-datasets translation set, or "
        "files: --train_data=PREFIX reads PREFIX.en and PREFIX.de, or .gz, and FILE lines with a tab between a "
        "sentence and its translation; --validation_data and --test_data likewise",
    )
    source_language: str = option("en", "source language: a feature of the data set, or a file extension")
    target_language: str = option("de", "target language, likewise")

    tokenizer: str = option(
        "subwords",
        "units that the model reads and writes: subwords (byte-pair encoding), words, or characters",
        choices=("subwords", "words", "characters"),
    )
    vocabulary_size: int = override(
        VocabularyOptions, "vocabulary_size", 8000, "largest size of the vocabulary of each language"
    )
    joint_vocabulary: bool = option(False, "share one vocabulary between both languages")
    both_directions: int = option(
        0,
        "number of first epochs that train on half of the pairs in the other direction, from target to source; the "
        "others train on the wanted direction alone",
        minimum=0,
        only=When("joint_vocabulary", "=", True),
    )
    max_length: int = option(
        100,
        "tokens of a sentence; training skips longer pairs, and longer sources are cut off",
        minimum=1,
        fits_weights=True,
    )

    dropout: float = override(
        RecurrentOptions, "dropout", 0.2, "share of features to drop, the same at all steps of a sentence"
    )
    max_decode_length: int = override(
        SearchOptions,
        "max_decode_length",
        200,
        "largest number of tokens in a translation; twice the source's plus ten is another limit",
    )

    copy_unknown: bool = option(
        False,
        "write the word of the source that the attention points to where the model would write an unknown one, such as "
        "a name or a number; subwords rarely need it",
        only=When("attention", "!=", "none"),
        commands=("evaluate", "export"),
    )
    shortlist: int = option(
        0,
        "n: write only the n tokens that each token of the source was most often aligned with in training, and the 200 "
        "most frequent ones, which is faster with large vocabularies; 0: all tokens",
        minimum=0,
        only=When("attention", "!=", "none"),
        commands=("evaluate", "export"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_vocabulary(self.vocabulary_size, f"--vocabulary_size={self.vocabulary_size}")
        self.check_rewards(self.epochs, self.monitor, "bleu", self.vocabulary_size)
        if self.both_directions and self.both_directions >= self.epochs - self.rewarded_epochs:
            rewarded = f" without --rewarded_epochs={self.rewarded_epochs}" if self.rewarded_epochs else ""
            raise UserError(
                f"--both_directions={self.both_directions} must be fewer than --epochs={self.epochs}{rewarded}: the "
                "last epochs train on the wanted direction alone. Give more --epochs."
            )
        if self.source_language == self.target_language:
            raise UserError(f"--source_language and --target_language are both {self.source_language!r}.")


@dataclasses.dataclass(frozen=True)
class TranslateConfig(OptionGroup):
    """The options of `unroll predict`."""

    n_best: int = option(1, "translations of each sentence, up to the beam width of the export", minimum=1)
    plot: str | None = option(
        None,
        "file for a plot of the first sentence's alignment: .png, .svg or .pdf",
        is_path=True,
        suffixes=PICTURES,
    )


CONFIG = TranslationConfig
PREDICT = TranslateConfig
