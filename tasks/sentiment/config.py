"""The options of sentiment analysis."""

import dataclasses

from ...common.options import OptionGroup, option, override
from ...models.options import RecurrentOptions, SentimentOptions, VocabularyOptions
from ..training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class SentimentConfig(SentimentOptions, VocabularyOptions, TrainingConfig):
    """Text in, label out."""

    starts_from = ("language_modeling",)

    dataset: str = option(
        "unroll_reviews",
        "unroll_reviews (embedded), the name of a tensorflow-datasets set, or files: see --train_data, "
        "--validation_data, --test_data",
    )
    text_column: str = option("text", "column or feature with the text")
    label_column: str = option("label", "column or feature with the label")

    tokenizer: str = option("words", "units that the model reads", choices=("words", "characters"))
    vocabulary_size: int = override(VocabularyOptions, "vocabulary_size", 30000, minimum=3)
    min_count: int = override(VocabularyOptions, "min_count", 2)
    max_length: int = option(400, "tokens read of a text; the rest is cut off", minimum=1, fits_weights=True)

    dropout: float = override(
        RecurrentOptions, "dropout", 0.5, "share of features to drop, the same at all steps of a text"
    )


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(OptionGroup):
    """The options of `unroll predict`: none."""


CONFIG = SentimentConfig
PREDICT = ClassificationConfig
