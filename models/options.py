"""The hyperparameters of all models, one dataclass for each block: each is defined here, and nowhere else. Those of
texts, their search and their rewards are in `text_options`.

They are not beside the layers because `--help` must answer at once: this module imports no TensorFlow, while
`models.recurrent` does. A field is also a flag of each task whose configuration inherits its group. The seed and the
sizes that the data decides (vocabulary, classes, features) are arguments of the models.
"""

import dataclasses

from ..common.errors import UserError
from ..common.options import OptionGroup, When, fixed, is_finite, option, override

# A forget bias that fits the length of the sequences.
LOG = "log"


@dataclasses.dataclass(frozen=True)
class RecurrentOptions(OptionGroup):
    """Stacked recurrent layers (`models.recurrent.RecurrentStack`)."""

    cell: str = option("lstm", "recurrent cell", choices=("lstm", "gru", "simple_rnn"), fits_weights=True)
    layers: int = option(1, "number of recurrent layers", minimum=1, fits_weights=True)
    units: int = option(512, "units of each layer", minimum=1, fits_weights=True)
    residual: bool = option(
        False,
        "add a layer's input to its output, from the second layer on",
        only=When("layers", ">", 1),
        fits_weights=True,
    )
    dropout: float = option(
        0.0, "share of features to drop, the same at all steps of a sequence", minimum=0, maximum=0.95
    )
    recurrent_dropout: float = option(
        0.0, "share of the hidden state to drop before the recurrent kernel", minimum=0, maximum=0.95
    )
    weight_drop: float = option(
        0.0,
        "share of the weights of the recurrent kernels to drop, the same for all steps and rows",
        minimum=0,
        maximum=0.95,
    )
    zoneout: float = option(
        0.0,
        "share of the units that keep their state at a step in training, and of its state that each keeps otherwise",
        minimum=0,
        maximum=0.95,
    )
    truncate_gradient: int | None = option(
        None,
        "steps that the gradient reaches back (truncated backpropagation through time); default: all",
        minimum=1,
    )
    activation: str = option(
        "tanh",
        "activation of the candidate",
        choices=("linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softsign", "softplus", "elu"),
        fits_weights=True,
    )
    recurrent_initializer: str = option(
        "orthogonal",
        "initialiser of the recurrent kernels",
        choices=("orthogonal", "identity", "glorot_uniform"),
    )
    recurrent_gain: float = option(1.0, "factor of the initial recurrent kernels", minimum=0.001)
    forget_bias: str | None = option(
        None,
        "initial bias of the gate that keeps the state (forget, update): a number, or log (logarithms of numbers of "
        "steps, uniform up to the length of the sequences); default: 1 for lstm, 0 for gru",
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
        finite = is_finite(float(forget_bias))
    except ValueError:
        finite = False
    if not finite:
        raise UserError(f"--forget_bias is {forget_bias}; give a number, or log.")


@dataclasses.dataclass(frozen=True)
class DecoderOptions(RecurrentOptions):
    """The recurrent decoder with attention (`models.writing.decoder.Decoder`)."""

    # Only in loops over whole sequences.
    weight_drop: float = fixed(0.0)
    zoneout: float = fixed(0.0)
    attention: str = option(
        "general",
        "attention score; none: the decoder sees only its first states",
        choices=("none", "dot", "scaled", "general", "additive"),
        fits_weights=True,
    )
    gated_context: bool = option(
        False,
        "let a gate decide how much of the context the decoder uses",
        only=When("attention", "!=", "none"),
        fits_weights=True,
    )
    upper_layers: int = option(
        0,
        "recurrent layers above the attention, which read the context beside the outputs of the others, so that it "
        "enters their states",
        minimum=0,
        only=When("attention", "!=", "none"),
        fits_weights=True,
    )
    input_feeding: bool = option(
        False, "feed the decoder its last output, too; slows training", fits_weights=True
    )


@dataclasses.dataclass(frozen=True)
class WriterOptions(DecoderOptions):
    """A model that writes text (`models.writing.writer.WritingModel`): embeddings, decoder, logits."""

    embedding_size: int = option(256, "size of the embedding of a token", minimum=1, fits_weights=True)
    tie_embeddings: bool = option(
        False, "use the embeddings as the kernel of the logits, too", fits_weights=True
    )
    word_dropout: float = option(
        0.0, "share of tokens to replace with the unknown token in training", minimum=0, maximum=0.95
    )
    label_smoothing: float = option(
        0.0, "share of the target probability to spread evenly over all tokens", minimum=0, maximum=0.9
    )
    r_drop: float = option(
        0.0,
        "alpha of R-Drop: each step makes two passes with different dropout, and adds alpha times the divergence "
        "between their distributions to the loss; 0: one pass",
        minimum=0,
        maximum=100,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r_drop and not (self.dropout or self.recurrent_dropout or self.word_dropout):
            raise UserError(
                f"--r_drop={self.r_drop:g} compares two passes with different dropout, and this run has none; give "
                "--dropout=0.2, for example."
            )


@dataclasses.dataclass(frozen=True)
class TranslationOptions(WriterOptions):
    """The translation model (`models.translation`)."""

    units: int = override(RecurrentOptions, "units", 512, "units of each layer, both directions together")
    attention: str = override(
        DecoderOptions,
        "attention",
        "general",
        "attention score; none: the decoder sees only the encoder's last states",
    )
    gated_context: bool = fixed(False)
    bidirectional: bool = option(True, "let the encoder read from both ends", fits_weights=True)
    bridge: str = option(
        "copy",
        "from the encoder's last states to the decoder's first: copy, a dense layer, or zeros",
        choices=("copy", "dense", "zero"),
        fits_weights=True,
    )
    tie_embeddings: bool = override(
        WriterOptions,
        "tie_embeddings",
        False,
        "use the target embeddings as the kernel of the logits, too, and with --joint_vocabulary for the source",
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
        "attention score; none: the decoder sees only the mean of the grid",
    )
    gated_context: bool = override(DecoderOptions, "gated_context", True)
    image_as: str = option(
        "state",
        "use of the mean of the grid in the decoder: as its first states, or as its first input",
        choices=("state", "input"),
        fits_weights=True,
    )
    encoder_rate: float = option(
        0.02,
        "learning rate of the trained layers of a pretrained encoder, as a share of the decoder's",
        minimum=1e-6,
        maximum=1,
        fits_weights=True,
    )


@dataclasses.dataclass(frozen=True)
class LanguageModelOptions(RecurrentOptions):
    """The language model (`models.language_model`)."""

    residual: bool = fixed(False)
    truncate_gradient: int | None = fixed(None)
    embedding_size: int = option(
        0, "size of the embedding of a token; 0: one-hot", minimum=0, fits_weights=True
    )
    tie_embeddings: bool = option(
        False,
        "use the embeddings as the kernel of the logits, too; needs --embedding_size equal to --units",
        fits_weights=True,
    )
    skip_connections: bool = option(
        False,
        "let the logits read the outputs of all layers (Graves, 2013), not of the top one alone",
        only=When("layers", ">", 1),
        fits_weights=True,
    )
    backward: bool = option(
        False,
        "train second layers beside the others, which read a window from its end: for a bidirectional classifier that "
        "starts from this run (--initialize_from); the language model does not use them",
        fits_weights=True,
    )
    sampled_softmax: int = option(
        0,
        "tokens of the vocabulary to draw for the loss of a training step, which makes steps with large vocabularies "
        "faster; 0: all. Validation and all that follows use all",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tie_embeddings and self.embedding_size != self.units:
            raise UserError(
                f"--tie_embeddings needs --embedding_size and --units to be equal, but they are {self.embedding_size} "
                f"and {self.units}."
            )
        if self.tie_embeddings and self.skip_connections:
            raise UserError(
                "--tie_embeddings and --skip_connections exclude each other; leave one of them out."
            )


# Of the part of a classifier that reads words in order.
_READS = When("cell", "!=", "none")


@dataclasses.dataclass(frozen=True)
class SentimentOptions(RecurrentOptions):
    """The sentiment classifier (`models.sentiment`)."""

    ngrams: int = option(
        0,
        "n: add weights of hashed n-grams of 1 to n tokens to the logits; 0: none",
        minimum=0,
        # The graph has a part for each length.
        maximum=100,
        fits_weights=True,
    )
    ngram_buckets: int | None = option(
        None,
        "number of buckets that the n-grams are hashed into; default: four for each token of the training part, at "
        "most 2 ** 21 weights",
        minimum=1,
        only=When("ngrams", ">", 0),
        fits_weights=True,
    )
    cell: str = override(
        RecurrentOptions,
        "cell",
        "lstm",
        "recurrent cell; none: n-grams alone, no recurrent layers",
        choices=("none", "lstm", "gru", "simple_rnn"),
    )
    layers: int = override(RecurrentOptions, "layers", 1, only=_READS)
    units: int = override(RecurrentOptions, "units", 128, "units of each layer and direction", only=_READS)
    residual: bool = fixed(False)
    dropout: float = override(RecurrentOptions, "dropout", 0.0, only=_READS)
    recurrent_dropout: float = override(RecurrentOptions, "recurrent_dropout", 0.0, only=_READS)
    weight_drop: float = override(RecurrentOptions, "weight_drop", 0.0, only=_READS)
    zoneout: float = override(RecurrentOptions, "zoneout", 0.0, only=_READS)
    truncate_gradient: int | None = override(RecurrentOptions, "truncate_gradient", None, only=_READS)
    activation: str = override(RecurrentOptions, "activation", "tanh", only=_READS)
    recurrent_initializer: str = override(
        RecurrentOptions, "recurrent_initializer", "orthogonal", only=_READS
    )
    recurrent_gain: float = override(RecurrentOptions, "recurrent_gain", 1.0, only=_READS)
    forget_bias: str | None = override(RecurrentOptions, "forget_bias", None, only=_READS)
    embedding_size: int = option(
        128, "size of the embedding of a token", minimum=1, only=_READS, fits_weights=True
    )
    bidirectional: bool = option(True, "read the text from both ends", only=_READS, fits_weights=True)
    segment: int = option(
        0,
        "tokens of the segments of a text, which are read side by side and pooled together; 0: a text is one segment",
        minimum=0,
        only=_READS,
    )
    pooling: str = option(
        "max",
        "pooling of the steps into one vector",
        choices=("last", "mean", "max", "attention"),
        only=_READS,
        fits_weights=True,
    )
    word_dropout: float = override(WriterOptions, "word_dropout", 0.0, only=_READS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell == "none" and not self.ngrams:
            raise UserError(
                "--cell=none and --ngrams=0 leave nothing that reads the text; change one of the two."
            )
