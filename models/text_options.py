"""The hyperparameters of texts: their vocabulary and segmentation, search, and rewards; see `models.options`."""

import dataclasses

from ..common.errors import UserError
from ..common.options import OptionGroup, When, option

_LATER = ("evaluate", "export")
# Of a vocabulary whose n-grams CIDEr-D can number (`models.writing.cider`).
_MOST_IDS = 55_000


@dataclasses.dataclass(frozen=True)
class VocabularyOptions(OptionGroup):
    """The vocabulary that is learnt from the training data (`models.text`)."""

    vocabulary_size: int = option(8000, "largest size of the vocabulary", minimum=5, fits_weights=True)
    min_count: int = option(
        1, "smallest number of occurrences of a token in the vocabulary", minimum=1, fits_weights=True
    )


@dataclasses.dataclass(frozen=True)
class SegmentationOptions(OptionGroup):
    """How training splits words into subwords (`models.text.SubwordCodec.resegment`)."""

    segmentation_dropout: float = option(
        0.0,
        "probability to pass over a subword that fits, so that each epoch splits the texts into other subwords "
        "(MaxMatch-Dropout); in training alone",
        minimum=0,
        maximum=1,
        only=When("tokenizer", "=", "subwords"),
    )


@dataclasses.dataclass(frozen=True)
class RewardOptions(OptionGroup):
    """Epochs that train on texts that the model draws itself (`models.writing.rewards`)."""

    rewarded_epochs: int = option(
        0, "number of last epochs that train on texts that the model draws itself, by a reward", minimum=0
    )
    rewarded_learning_rate: float = option(
        1e-4,
        "learning rate at the start of the rewarded epochs; it falls linearly to 0",
        minimum=0,
        only=When("rewarded_epochs", ">", 0),
    )
    rewarded_cider: float = option(
        0.0,
        "share of CIDEr-D in the reward, which favours rare words; the rest is BLEU",
        minimum=0,
        maximum=1,
        only=When("rewarded_epochs", ">", 0),
    )
    rewarded_likelihood: float = option(
        0.0,
        "share of the loss of the references in the rewarded epochs, which keeps words that the reward would give up",
        minimum=0,
        maximum=1,
        only=When("rewarded_epochs", ">", 0),
    )

    def check_rewards(self, epochs: int, monitor: str, best: str, vocabulary_size: int) -> None:
        """Raises UserError if the rewarded epochs do not go with other options; `best` is a metric to monitor."""
        if not self.rewarded_epochs:
            return
        if self.rewarded_epochs >= epochs:
            raise UserError(
                f"--rewarded_epochs={self.rewarded_epochs} must be fewer than --epochs={epochs}: a model must learn to "
                "write first. Give more --epochs."
            )
        if monitor in ("loss", "perplexity"):
            raise UserError(
                f"--rewarded_epochs={self.rewarded_epochs} improve the texts while the loss rises; choose the best "
                f"weights by another metric, such as --monitor={best}."
            )
        if self.rewarded_cider and vocabulary_size > _MOST_IDS:
            raise UserError(
                f"--rewarded_cider={self.rewarded_cider:g} needs a vocabulary of at most {_MOST_IDS} tokens, but "
                f"--vocabulary_size is {vocabulary_size}; give a smaller one."
            )


@dataclasses.dataclass(frozen=True)
class SearchOptions(OptionGroup):
    """Beam search (`models.decoding`)."""

    beam_width: int = option(
        5,
        "number of hypotheses in beam search; 1: greedy. Validation during training is greedy",
        minimum=1,
        saves_memory=True,
        commands=_LATER,
    )
    length_penalty: float = option(
        1.0,
        "alpha: hypotheses are ranked by log probability / ((5 + length) / 6) ** alpha",
        minimum=0,
        maximum=10,
        commands=_LATER,
    )
    coverage_penalty: float = option(
        0.0,
        "beta: hypotheses whose attention leaves out parts of the source rank lower, by beta * sum over positions of "
        "log(min(sum of its weights, 1))",
        minimum=0,
        maximum=10,
        only=When("attention", "!=", "none"),
        commands=_LATER,
    )
    min_decode_length: int = option(0, "smallest number of tokens to write", minimum=0, commands=_LATER)
    max_decode_length: int = option(100, "largest number of tokens to write", minimum=1, commands=_LATER)
    block_ngrams: int = option(
        0, "n: write no n-gram of tokens twice; 0: no limit", minimum=0, commands=_LATER
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_decode_length > self.max_decode_length:
            raise UserError(
                f"--min_decode_length={self.min_decode_length} is more than --max_decode_length="
                f"{self.max_decode_length}; give a smaller minimum or a larger maximum."
            )

    def check_vocabulary(self, size: int, name: str) -> None:
        """Raises UserError if the beam is wider than a vocabulary (of the size `size`, which `name` describes)."""
        if self.beam_width > size:
            raise UserError(
                f"--beam_width={self.beam_width} is larger than {name}; a beam cannot have more hypotheses than there "
                "are tokens."
            )
