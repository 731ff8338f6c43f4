"""The options of translation."""

import dataclasses

from ...common.errors import UserError
from ...common.files import PICTURES
from ...common.options import OptionGroup, option, override
from ...models.options import RecurrentOptions, SearchOptions, TranslationOptions, VocabularyOptions
from ..training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class TranslationConfig(TranslationOptions, SearchOptions, VocabularyOptions, TrainingConfig):
    """A sentence in, a sentence out."""

    dataset: str = option(
        "unroll_translation",
        "unroll_translation (English and German, made here), any tensorflow-datasets translation set, or files: "
        "--train_data=PREFIX and its like name files PREFIX.en and PREFIX.de, or .gz",
    )
    source_language: str = option("en", "language to translate from, a feature or the end of a file's name")
    target_language: str = option("de", "language to translate to")

    tokenizer: str = option(
        "subwords",
        "what the model reads and writes: subwords (byte-pair encoding), words, or characters",
        choices=("subwords", "words", "characters"),
    )
    vocabulary_size: int = override(
        VocabularyOptions, "vocabulary_size", 8000, "number of tokens known in each language, at most"
    )
    joint_vocabulary: bool = option(False, "one vocabulary for both languages")
    max_length: int = option(
        100, "tokens of a sentence: longer pairs are not trained on, longer sources are cut", minimum=1
    )

    dropout: float = override(
        RecurrentOptions, "dropout", 0.2, "share of features dropped, the same at all steps of a sentence"
    )
    max_decode_length: int = override(
        SearchOptions,
        "max_decode_length",
        200,
        "tokens of a translation at most; never more than twice the source and ten",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_vocabulary(self.vocabulary_size, f"--vocabulary_size={self.vocabulary_size}")
        if self.source_language == self.target_language:
            raise UserError(f"--source_language and --target_language are both {self.source_language!r}.")


@dataclasses.dataclass(frozen=True)
class TranslateConfig(OptionGroup):
    """What `unroll predict` gives for a sentence."""

    n_best: int = option(1, "translations of each sentence, at most the beam width of the export", minimum=1)
    plot: str | None = option(
        None,
        "picture of the first sentence's alignment: a .png, .svg or .pdf file",
        is_path=True,
        suffixes=PICTURES,
    )


CONFIG = TranslationConfig
PREDICT = TranslateConfig
