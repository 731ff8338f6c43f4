"""The options of training that all applications share."""

import dataclasses
from typing import ClassVar

from ...common.errors import UserError
from ...common.options import OptionGroup, When, option

# Options that follow the size of the data unless the user gives them.
FITTED = ("batch_tokens", "epochs")


@dataclasses.dataclass(frozen=True)
class DataConfig(OptionGroup):
    """The source of the examples."""

    dataset: str = option(
        "files",
        "name of a tensorflow-datasets set, or files: see --train_data, --validation_data, --test_data",
    )
    train_data: str | None = option(None, "training data, with --dataset=files", is_path=True)
    validation_data: str | None = option(None, "validation data, with --dataset=files", is_path=True)
    test_data: str | None = option(
        None, "test data, instead of the data set's own", is_path=True, commands=("evaluate",)
    )
    validation_fraction: float = option(
        0.05,
        "share of the training data to hold out for validation, without validation data",
        minimum=0,
        maximum=0.5,
        only=When("validation_data", "=", None),
    )
    test_fraction: float = option(
        0.0,
        "share of the training data to hold out for the test, without test data",
        minimum=0,
        maximum=0.5,
        only=When("test_data", "=", None),
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(DataConfig):
    """How a model is trained, whatever the application."""

    # Other applications whose runs `initialize_from` may name.
    starts_from: ClassVar[tuple[str, ...]] = ()

    initialize_from: str | None = option(
        None,
        "run to start from, with the best weights, the vocabulary and the options of the model of that run",
        is_path=True,
    )
    seed: int = option(0, "seed of weights, dropout and the order of the data", minimum=0, maximum=2**32 - 1)
    epochs: int = option(10, "number of passes over the training data", minimum=1, resumable=True)
    batch_tokens: int = option(8192, "tokens in a batch, padding included", minimum=1, saves_memory=True)
    shuffle_buffer: int = option(8192, "number of examples held in memory to shuffle", minimum=1)

    optimizer: str = option("adam", "optimiser", choices=("adam", "adamw", "sgd"))
    learning_rate: float = option(1e-3, "peak of the learning rate", minimum=0)
    momentum: float = option(0.9, "momentum of sgd", minimum=0, maximum=1, only=When("optimizer", "=", "sgd"))
    weight_decay: float = option(
        0.01,
        "weight decay of adamw, per step, times the learning rate",
        minimum=0,
        only=When("optimizer", "=", "adamw"),
    )
    schedule: str = option(
        "constant",
        "schedule of the learning rate after the warm-up: constant, cosine (to zero at the end of --epochs), "
        "inverse_sqrt (as 1 / sqrt(step)), or plateau (see --plateau_patience)",
        choices=("constant", "cosine", "inverse_sqrt", "plateau"),
    )
    warmup_steps: int = option(
        0, "number of steps in which the learning rate rises linearly from zero", minimum=0
    )
    plateau_patience: int = option(
        1,
        "epochs without a better --monitor before plateau reduces the learning rate",
        minimum=1,
        only=When("schedule", "=", "plateau"),
    )
    plateau_factor: float = option(
        0.5,
        "factor by which plateau reduces the learning rate",
        minimum=0,
        maximum=1,
        only=When("schedule", "=", "plateau"),
    )
    average_decay: float = option(
        0.0, "decay of the moving average of the weights, which is evaluated and exported; 0: no average",
        minimum=0, maximum=0.99999,
    )  # fmt: skip

    average_last: int = option(
        0,
        "number of last epochs the mean of whose weights is evaluated and exported, instead of a moving average; 0: no "
        "mean",
        minimum=0,
    )

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
        "arithmetic of training and its validation; evaluate and export use float32",
        choices=("float32", "mixed_bfloat16"),
    )
    jit_compile: bool = option(
        False,
        "compile forward and backward pass with XLA, anew for each shape of batch, which can take minutes",
    )
    distribution: str = option(
        "one_device",
        "train on one_device, mirrored on all GPUs of the machine, or as one of the processes that TF_CONFIG names: "
        "multi_worker",
        choices=("one_device", "mirrored", "multi_worker"),
    )

    monitor: str = option("loss", "validation metric that chooses the best weights", resumable=False)
    early_stopping_patience: int | None = option(
        None, "stop after this many epochs without a better --monitor", minimum=1, resumable=True
    )
    divergence_factor: float = option(
        10.0,
        "stop when the running mean of the training loss exceeds the first loss by this factor",
        minimum=1,
        resumable=True,
    )
    checkpoint_every: int = option(
        500, "steps between checkpoints; every epoch has one, too", minimum=1, resumable=True
    )
    log_every: int = option(50, "steps between lines of metrics.jsonl and TensorBoard", minimum=1)
    inspect_every: int = option(
        0,
        "steps between measurements of the gradient flow, for gradient_flow.jsonl and TensorBoard; 0: none",
        minimum=0,
        resumable=True,
    )

    def check_sources(self) -> None:
        """Raises UserError if the options of the data set are incomplete or contradict each other."""
        if self.dataset == "files" and not self.train_data:
            raise UserError("--dataset=files needs --train_data=FILE, and none was given.")
        files = [name for name in ("train_data", "validation_data") if getattr(self, name)]
        if self.dataset != "files" and files:
            raise UserError(
                f"--{files[0]} names files, but --dataset is {self.dataset!r}; add --dataset=files."
            )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_sources()
        if self.average_decay and self.average_last:
            raise UserError(
                f"--average_decay={self.average_decay:g} and --average_last={self.average_last} are two averages of "
                "the weights; set one of them to 0."
            )
        if self.validation_fraction + self.test_fraction > 0.9:
            raise UserError("--validation_fraction and --test_fraction leave less than a tenth to train on.")
