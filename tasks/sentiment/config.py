"""The options of sentiment analysis."""

import dataclasses

from ...common.options import option
from ..training.config import RecurrentConfig, TrainingConfig


@dataclasses.dataclass(frozen=True)
class SentimentConfig(RecurrentConfig, TrainingConfig):
    """Text in, label out."""

    dataset: str = option(
        "unroll_reviews",
        "unroll_reviews (made here), any tensorflow-datasets name, or files: --train_data and its like name them",
    )
    text_column: str = option("text", "name of the column or feature with the text")
    label_column: str = option("label", "name of the column or feature with the label")

    tokenizer: str = option("words", "what the model reads", choices=("words", "characters"))
    vocabulary_size: int = option(30000, "number of tokens known, at most", minimum=3)
    min_count: int = option(2, "times that a token must occur in the training data to be known", minimum=1)
    max_length: int = option(400, "tokens read of a text; the rest is cut", minimum=1)

    units: int = option(128, "units of each layer and direction", minimum=1)
    embedding_size: int = option(128, "size of a token's vector", minimum=1)
    bidirectional: bool = option(True, "read the text from both ends")
    pooling: str = option("max", "of the steps into one vector", choices=("last", "mean", "max", "attention"))
    dropout: float = option(
        0.5, "share of features dropped, the same at all steps of a text", minimum=0, maximum=0.95
    )
    word_dropout: float = option(0.0, "share of tokens hidden in training", minimum=0, maximum=0.95)
    truncate_gradient: int | None = option(
        None,
        "steps that the gradient reaches back (truncated backpropagation through time); none: all",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class ClassificationConfig:
    """`unroll predict` has nothing to choose here."""


CONFIG = SentimentConfig
PREDICT = ClassificationConfig
