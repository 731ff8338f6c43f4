"""The options of training that all applications share."""

import dataclasses

from ...common.errors import UserError
from ...common.options import option


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where examples come from."""

    dataset: str = option(
        "files", "any tensorflow-datasets name, or files: --train_data and its like name them"
    )
    train_data: str | None = option(None, "training data, with --dataset=files", is_path=True)
    validation_data: str | None = option(None, "validation data, with --dataset=files", is_path=True)
    test_data: str | None = option(
        None, "test data, in place of the data set's own", is_path=True, commands=("evaluate",)
    )
    validation_fraction: float = option(
        0.05,
        "share of the training data to validate on where there is no validation data",
        minimum=0,
        maximum=0.5,
    )
    test_fraction: float = option(
        0.0, "share of the training data to test on where there is no test data", minimum=0, maximum=0.5
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(DataConfig):
    """How a model is trained, whatever the application."""

    seed: int = option(0, "of weights, dropout and the order of the data: one seed, one result", minimum=0)
    epochs: int = option(10, "passes over the training data", minimum=1, resumable=True)
    batch_tokens: int = option(8192, "tokens in a batch, padding included", minimum=1)
    shuffle_buffer: int = option(8192, "examples held in memory to shuffle", minimum=1)

    optimizer: str = option("adam", "the optimiser", choices=("adam", "adamw", "sgd"))
    learning_rate: float = option(1e-3, "highest learning rate", minimum=0)
    momentum: float = option(0.9, "of sgd", minimum=0, maximum=1)
    weight_decay: float = option(0.01, "of adamw, per step, times the learning rate", minimum=0)
    schedule: str = option(
        "constant",
        "of the learning rate, after the warm-up: constant, cosine down to zero at the end of --epochs, inverse_sqrt "
        "(falls as 1 / sqrt(step)), or plateau (see --plateau_patience)",
        choices=("constant", "cosine", "inverse_sqrt", "plateau"),
    )
    warmup_steps: int = option(0, "steps in which the learning rate rises linearly from zero", minimum=0)
    plateau_patience: int = option(1, "epochs without a better --monitor before plateau acts", minimum=1)
    plateau_factor: float = option(
        0.5, "that plateau multiplies the learning rate with", minimum=0, maximum=1
    )
    average_decay: float = option(
        0.0, "of the moving average of the weights that is evaluated and exported; 0: the weights themselves",
        minimum=0, maximum=0.99999,
    )  # fmt: skip

    clipvalue: float | None = option(
        None, "each element g of a gradient becomes min(max(g, -x), x)", minimum=1e-9
    )
    clipnorm: float | None = option(
        None,
        "each variable's gradient g becomes g * min(1, x / |g|), |g| its own Euclidean norm",
        minimum=1e-9,
    )
    global_clipnorm: float | None = option(
        None,
        "all gradients become g * min(1, x / n), n the Euclidean norm of all of them together",
        minimum=1e-9,
    )

    precision: str = option(
        "float32",
        "of the arithmetic in training and its validation; evaluate and export use float32",
        choices=("float32", "mixed_bfloat16"),
    )
    jit_compile: str = option(
        "auto", "XLA-compile forward and backward pass; auto: on GPU only", choices=("auto", "true", "false")
    )
    distribution: str = option(
        "one_device",
        "one_device, or mirrored over all GPUs of the machine",
        choices=("one_device", "mirrored"),
    )

    monitor: str = option("loss", "validation metric by which best/ is chosen", resumable=False)
    early_stopping_patience: int | None = option(
        None, "stop after so many epochs without a better --monitor", minimum=1, resumable=True
    )
    divergence_factor: float = option(
        10.0,
        "stop when the running mean of the training loss is so many times the first loss",
        minimum=1,
        resumable=True,
    )
    checkpoint_every: int = option(
        500, "steps between checkpoints, beside that of each epoch", minimum=1, resumable=True
    )
    log_every: int = option(50, "steps between lines of metrics.jsonl and TensorBoard", minimum=1)
    inspect_every: int = option(
        0,
        "steps between measurements of how gradients flow back through time, for gradient_flow.jsonl and TensorBoard; "
        "0: none",
        minimum=0,
        resumable=True,
    )

    def check_sources(self) -> None:
        """Raises UserError where what is said of the data set is not enough, or contradicts itself."""
        if self.dataset == "files" and not self.train_data:
            raise UserError("--dataset=files needs --train_data=FILE, and none was given.")
        if self.dataset != "files" and (self.train_data or self.validation_data):
            raise UserError(
                f"--train_data and --validation_data name files, but --dataset is {self.dataset!r}; add "
                "--dataset=files."
            )

    def __post_init__(self) -> None:
        self.check_sources()
        if self.validation_fraction + self.test_fraction > 0.9:
            raise UserError("--validation_fraction and --test_fraction leave less than a tenth to train on.")


@dataclasses.dataclass(frozen=True)
class RecurrentConfig:
    """The recurrent layers of a model, whatever the application."""

    cell: str = option("lstm", "the recurrence", choices=("lstm", "gru", "simple_rnn"))
    layers: int = option(1, "recurrent layers", minimum=1)
    recurrent_dropout: float = option(0.0, "share of recurrent units dropped", minimum=0, maximum=0.95)


_LATER = ("evaluate", "export")


@dataclasses.dataclass(frozen=True)
class DecoderConfig(RecurrentConfig):
    """A decoder that writes a text, and how texts are searched."""

    vocabulary_size: int = option(8000, "number of tokens known, at most", minimum=5)
    min_count: int = option(1, "times that a token must occur in the training data to be known", minimum=1)
    units: int = option(512, "units of each layer", minimum=1)
    embedding_size: int = option(256, "size of a token's vector", minimum=1)
    residual: bool = option(False, "add a layer's input to its output, from the second layer on")
    input_feeding: bool = option(False, "give the decoder its last output, too; training is then slower")
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
    min_decode_length: int = option(0, "tokens written at least", minimum=0, commands=_LATER)
    max_decode_length: int = option(100, "tokens written at most", minimum=1, commands=_LATER)
    block_ngrams: int = option(
        0, "no n-gram of so many tokens is written twice; 0: no limit", minimum=0, commands=_LATER
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
