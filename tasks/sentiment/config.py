"""The options of sentiment analysis."""

import dataclasses

from ...common.options import OptionGroup, When, option, override
from ...models.options import SentimentOptions
from ...models.text_options import VocabularyOptions
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
    max_length: int = option(5000, "tokens read of a text; the rest is cut off", minimum=1, fits_weights=True)

    ngrams: int = override(SentimentOptions, "ngrams", 3)
    segment: int = override(SentimentOptions, "segment", 100)
    dropout: float = override(
        SentimentOptions, "dropout", 0.5, "share of features to drop, the same at all steps of a segment"
    )
    word_dropout: float = override(SentimentOptions, "word_dropout", 0.3)

    learning_rate: float = override(TrainingConfig, "learning_rate", 2e-3)
    schedule: str = override(TrainingConfig, "schedule", "cosine")
    adversarial: float = option(
        0.0,
        "norm of an adversarial disturbance of a text's embeddings, in norms of an embedding, such as 0.5; twice the "
        "time; 0: none",
        minimum=0,
        only=When("cell", "!=", "none"),
    )


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(OptionGroup):
    """The options of `unroll predict`: none."""


CONFIG = SentimentConfig
PREDICT = ClassificationConfig
