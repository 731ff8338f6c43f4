"""The options of sentiment analysis."""

import dataclasses

from ...common.options import OptionGroup, option, override
from ...models.options import RecurrentOptions, SentimentOptions, VocabularyOptions
from ..training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class SentimentConfig(SentimentOptions, VocabularyOptions, TrainingConfig):
    """Text in, label out."""

    dataset: str = option(
        "unroll_reviews",
        "unroll_reviews (made here), any tensorflow-datasets name, or files: --train_data and its like name them",
    )
    text_column: str = option("text", "name of the column or feature with the text")
    label_column: str = option("label", "name of the column or feature with the label")

    tokenizer: str = option("words", "what the model reads", choices=("words", "characters"))
    vocabulary_size: int = override(VocabularyOptions, "vocabulary_size", 30000, minimum=3)
    min_count: int = override(VocabularyOptions, "min_count", 2)
    max_length: int = option(400, "tokens read of a text; the rest is cut", minimum=1)

    dropout: float = override(
        RecurrentOptions, "dropout", 0.5, "share of features dropped, the same at all steps of a text"
    )


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(OptionGroup):
    """`unroll predict` has nothing to choose here."""


CONFIG = SentimentConfig
PREDICT = ClassificationConfig
