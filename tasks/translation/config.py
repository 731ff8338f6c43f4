"""The options of translation."""

import dataclasses

from ...common.errors import UserError
from ...common.options import option
from ..training.config import DecoderConfig, TrainingConfig


@dataclasses.dataclass(frozen=True)
class TranslationConfig(DecoderConfig, TrainingConfig):
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
    max_length: int = option(
        100, "tokens of a sentence: longer pairs are not trained on, longer sources are cut", minimum=1
    )

    units: int = option(512, "units of each layer; of both directions together", minimum=1)
    bidirectional: bool = option(True, "the encoder reads from both ends")
    attention: str = option(
        "general",
        "how the decoder looks at the source; none: it knows the encoder's last states only",
        choices=("none", "dot", "scaled", "general", "additive"),
    )
    bridge: str = option(
        "copy", "from the encoder's last states to the decoder's first", choices=("copy", "dense", "zero")
    )
    tie_embeddings: bool = option(
        False,
        "the target's embeddings are also the kernel of the logits, and with --joint_vocabulary those of the source",
    )
    max_decode_length: int = option(
        200,
        "tokens of a translation at most; never more than twice the source and ten",
        minimum=1,
        commands=("evaluate", "export"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bidirectional and self.units % 2:
            raise UserError(f"--units={self.units} is odd; a bidirectional encoder needs an even number.")
        if self.source_language == self.target_language:
            raise UserError(f"--source_language and --target_language are both {self.source_language!r}.")
        if self.attention == "none" and self.bridge == "zero":
            raise UserError(
                "--attention=none and --bridge=zero leave the decoder nothing of the source; give another of the two."
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
