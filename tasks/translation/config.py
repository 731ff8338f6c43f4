"""The options of translation."""

import dataclasses

from unroll.export.errors import UserError
from unroll.tasks.options import option
from unroll.tasks.training.config import RecurrentConfig, TrainingConfig

_LATER = ("evaluate", "export")


@dataclasses.dataclass(frozen=True)
class TranslationConfig(RecurrentConfig, TrainingConfig):
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
    vocabulary_size: int = option(8000, "number of tokens known in each language, at most", minimum=5)
    joint_vocabulary: bool = option(False, "one vocabulary for both languages")
    min_count: int = option(1, "times that a token must occur in the training data to be known", minimum=1)
    max_length: int = option(
        100, "tokens of a sentence: longer pairs are not trained on, longer sources are cut", minimum=1
    )

    units: int = option(512, "units of each layer; of both directions together", minimum=1)
    embedding_size: int = option(256, "size of a token's vector", minimum=1)
    bidirectional: bool = option(True, "the encoder reads from both ends")
    residual: bool = option(False, "add a layer's input to its output, from the second layer on")
    attention: str = option(
        "general",
        "how the decoder looks at the source; none: it knows the encoder's last states only",
        choices=("none", "dot", "scaled", "general", "additive"),
    )
    input_feeding: bool = option(False, "give the decoder its last output, too; training is then slower")
    bridge: str = option(
        "copy", "from the encoder's last states to the decoder's first", choices=("copy", "dense", "zero")
    )
    tie_embeddings: bool = option(
        False,
        "the target's embeddings are also the kernel of the logits, and with --joint_vocabulary those of the source",
    )
    dropout: float = option(
        0.2, "share of features dropped, the same at all steps of a sentence", minimum=0, maximum=0.95
    )
    word_dropout: float = option(0.0, "share of tokens hidden in training", minimum=0, maximum=0.95)
    label_smoothing: float = option(
        0.0, "share of the probability that is to go to all tokens alike", minimum=0, maximum=0.9
    )
    truncate_gradient: int | None = option(
        None,
        "steps that the gradient reaches back (truncated backpropagation through time); none: all",
        minimum=1,
    )

    beam_width: int = option(
        5,
        "hypotheses that beam search keeps; 1: greedy. Validation while training is greedy",
        minimum=1,
        commands=_LATER,
    )
    length_penalty: float = option(
        1.0,
        "alpha: hypotheses are ranked by log probability / ((5 + length) / 6) ** alpha",
        minimum=0,
        maximum=10,
        commands=_LATER,
    )
    min_decode_length: int = option(0, "tokens of a translation at least", minimum=0, commands=_LATER)
    max_decode_length: int = option(
        200,
        "tokens of a translation at most; never more than twice the source and ten",
        minimum=1,
        commands=_LATER,
    )
    block_ngrams: int = option(
        0,
        "no n-gram of so many tokens occurs twice in a translation; 0: no limit",
        minimum=0,
        commands=_LATER,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bidirectional and self.units % 2:
            raise UserError(f"--units={self.units} is odd; a bidirectional encoder needs an even number.")
        if self.source_language == self.target_language:
            raise UserError(f"--source_language and --target_language are both {self.source_language!r}.")
        if self.beam_width > self.vocabulary_size:
            raise UserError(
                f"--beam_width={self.beam_width} is larger than --vocabulary_size={self.vocabulary_size}; "
                "a beam cannot have more hypotheses than there are tokens."
            )
        if self.min_decode_length > self.max_decode_length:
            raise UserError(
                f"--min_decode_length={self.min_decode_length} is more than --max_decode_length="
                f"{self.max_decode_length}; give a smaller least or a larger most number of tokens."
            )


@dataclasses.dataclass(frozen=True)
class TranslateConfig:
    """What `unroll predict` gives for a sentence."""

    n_best: int = option(1, "translations of each sentence, at most the beam width of the export", minimum=1)
    plot: str | None = option(
        None, "picture of the first sentence's alignment: a .png, .svg or .pdf file", is_path=True
    )


CONFIG = TranslationConfig
PREDICT = TranslateConfig
