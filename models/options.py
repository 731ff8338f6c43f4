"""The hyperparameters of all models, one dataclass a block: each is written here, and nowhere else.

They stand together, and not beside the layers, because `--help` must answer at once: this module imports no
TensorFlow, while any part of `models.recurrent` does. A field is also a flag of each task whose configuration inherits
its group; the sizes that the data decides (vocabulary, classes, features) and the seed are arguments of the models.
"""

import dataclasses
import math

from ..common.errors import UserError
from ..common.options import OptionGroup, When, fixed, option, override

_LATER = ("evaluate", "export")
# A forget bias that fits the length of the sequences.
LOG = "log"


@dataclasses.dataclass(frozen=True)
class RecurrentOptions(OptionGroup):
    """Stacked recurrent layers (`models.recurrent.RecurrentStack`)."""

    cell: str = option("lstm", "the recurrence", choices=("lstm", "gru", "simple_rnn"))
    layers: int = option(1, "recurrent layers", minimum=1)
    units: int = option(512, "units of each layer", minimum=1)
    residual: bool = option(
        False, "add a layer's input to its output, from the second layer on", only=When("layers", ">", 1)
    )
    dropout: float = option(
        0.0, "share of features dropped, the same at all steps of a sequence", minimum=0, maximum=0.95
    )
    recurrent_dropout: float = option(0.0, "share of recurrent units dropped", minimum=0, maximum=0.95)
    truncate_gradient: int | None = option(
        None,
        "steps that the gradient reaches back (truncated backpropagation through time); none: all",
        minimum=1,
    )
    activation: str = option(
        "tanh",
        "of the candidate",
        choices=("linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softsign", "softplus", "elu"),
    )
    recurrent_initializer: str = option(
        "orthogonal", "of the recurrent kernels", choices=("orthogonal", "identity", "glorot_uniform")
    )
    recurrent_gain: float = option(1.0, "factor of the recurrent kernels' first values", minimum=0.001)
    forget_bias: str | None = option(
        None,
        "initial bias of the gate that keeps the state (forget, update): a number, or log for the logarithms of "
        "numbers of steps, uniform up to the length of the sequences; none: 1 for an LSTM, 0 for a GRU",
    )
    # Longest sequence that the application trains on.
    sequence_length: int | None = fixed(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recurrent_initializer == "identity" and self.cell != "simple_rnn":
            raise UserError(
                f"--recurrent_initializer=identity needs --cell=simple_rnn; the gates of --cell={self.cell} start from "
                "orthogonal or glorot_uniform."
            )
        if self.forget_bias is not None:
            if self.cell == "simple_rnn":
                raise UserError(
                    "--forget_bias has no effect with --cell=simple_rnn, which has no gates; leave it out."
                )
            if self.forget_bias != LOG:
                _check_number(self.forget_bias)


def _check_number(forget_bias: str) -> None:
    try:
        finite = math.isfinite(float(forget_bias))
    except ValueError:
        finite = False
    if not finite:
        raise UserError(f"--forget_bias is {forget_bias}; give a number, or log.")


@dataclasses.dataclass(frozen=True)
class DecoderOptions(RecurrentOptions):
    """The recurrent decoder with attention (`models.writing.decoder.Decoder`)."""

    attention: str = option(
        "general",
        "how the decoder looks at the input; none: it knows its first states only",
        choices=("none", "dot", "scaled", "general", "additive"),
    )
    gated_context: bool = option(
        False,
        "the decoder decides by a gate how much of the context it uses",
        only=When("attention", "!=", "none"),
    )
    input_feeding: bool = option(False, "give the decoder its last output, too; training is then slower")


@dataclasses.dataclass(frozen=True)
class WriterOptions(DecoderOptions):
    """A model that writes text (`models.writing.writer.WritingModel`): embeddings, decoder, logits."""

    embedding_size: int = option(256, "size of a token's vector", minimum=1)
    tie_embeddings: bool = option(False, "the embeddings are also the kernel of the logits")
    word_dropout: float = option(0.0, "share of tokens hidden in training", minimum=0, maximum=0.95)
    label_smoothing: float = option(
        0.0, "share of the probability that is to go to all tokens alike", minimum=0, maximum=0.9
    )


@dataclasses.dataclass(frozen=True)
class TranslationOptions(WriterOptions):
    """The translation model (`models.translation`)."""

    units: int = override(RecurrentOptions, "units", 512, "units of each layer; of both directions together")
    attention: str = override(
        DecoderOptions,
        "attention",
        "general",
        "how the decoder looks at the source; none: it knows the encoder's last states only",
    )
    gated_context: bool = fixed(False)
    bidirectional: bool = option(True, "the encoder reads from both ends")
    bridge: str = option(
        "copy", "from the encoder's last states to the decoder's first", choices=("copy", "dense", "zero")
    )
    tie_embeddings: bool = override(
        WriterOptions,
        "tie_embeddings",
        False,
        "the target's embeddings are also the kernel of the logits, and with --joint_vocabulary those of the source",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bidirectional and self.units % 2:
            raise UserError(f"--units={self.units} is odd; a bidirectional encoder needs an even number.")
        if self.attention == "none" and self.bridge == "zero":
            raise UserError(
                "--attention=none and --bridge=zero leave the decoder nothing of the source; change one of the two."
            )


@dataclasses.dataclass(frozen=True)
class CaptioningOptions(WriterOptions):
    """The captioning model (`models.captioning`)."""

    attention: str = override(
        DecoderOptions,
        "attention",
        "general",
        "how the decoder looks at the image; none: it knows the mean of the grid only",
    )
    gated_context: bool = override(DecoderOptions, "gated_context", True)
    image_as: str = option(
        "state",
        "how the mean of the grid gets into the decoder: as its first states, or as its first input",
        choices=("state", "input"),
    )


@dataclasses.dataclass(frozen=True)
class LanguageModelOptions(RecurrentOptions):
    """The language model (`models.language_model`)."""

    residual: bool = fixed(False)
    truncate_gradient: int | None = fixed(None)
    embedding_size: int = option(0, "size of a character's vector; 0: one-hot", minimum=0)
    tie_embeddings: bool = option(
        False, "use the embeddings also as the kernel of the logits; needs --embedding_size equal to --units"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tie_embeddings and self.embedding_size != self.units:
            raise UserError(
                f"--tie_embeddings needs --embedding_size and --units to be equal, but they are {self.embedding_size} "
                f"and {self.units}."
            )


@dataclasses.dataclass(frozen=True)
class SentimentOptions(RecurrentOptions):
    """The sentiment classifier (`models.sentiment`)."""

    units: int = override(RecurrentOptions, "units", 128, "units of each layer and direction")
    residual: bool = fixed(False)
    embedding_size: int = option(128, "size of a token's vector", minimum=1)
    bidirectional: bool = option(True, "read the text from both ends")
    pooling: str = option("max", "of the steps into one vector", choices=("last", "mean", "max", "attention"))
    word_dropout: float = override(WriterOptions, "word_dropout", 0.0)


@dataclasses.dataclass(frozen=True)
class VocabularyOptions(OptionGroup):
    """What a vocabulary knows of the training data (`models.text`)."""

    vocabulary_size: int = option(8000, "number of tokens known, at most", minimum=5)
    min_count: int = option(1, "times that a token must occur in the training data to be known", minimum=1)


@dataclasses.dataclass(frozen=True)
class SearchOptions(OptionGroup):
    """Beam search (`models.decoding`)."""

    beam_width: int = option(
        5,
        "hypotheses that beam search keeps; 1: greedy. Validation while training is greedy",
        minimum=1,
        saves_memory=True,
        commands=_LATER,
    )
    length_penalty: float = option(
        1.0,
        "alpha: hypotheses are ranked by log probability / ((5 + length) / 6) ** alpha",
        minimum=0,
        maximum=10,
        only=When("beam_width", ">", 1),
        commands=_LATER,
    )
    min_decode_length: int = option(0, "tokens written at least", minimum=0, commands=_LATER)
    max_decode_length: int = option(100, "tokens written at most", minimum=1, commands=_LATER)
    block_ngrams: int = option(
        0, "no n-gram of so many tokens is written twice; 0: no limit", minimum=0, commands=_LATER
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_decode_length > self.max_decode_length:
            raise UserError(
                f"--min_decode_length={self.min_decode_length} is more than --max_decode_length="
                f"{self.max_decode_length}; give a smaller minimum or a larger maximum."
            )

    def check_vocabulary(self, size: int, name: str) -> None:
        """Raises UserError if the beam is wider than a vocabulary, or than the size that is allowed to it."""
        if self.beam_width > size:
            raise UserError(
                f"--beam_width={self.beam_width} is larger than {name}; a beam cannot have more hypotheses than there "
                "are tokens."
            )
