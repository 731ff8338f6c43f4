"""The options of captioning."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ...common.errors import UserError
from ...common.files import PICTURES
from ...common.options import OptionGroup, When, fixed, option, override
from ...models.options import CaptioningOptions, RecurrentOptions
from ...models.text_options import RewardOptions, SearchOptions, SegmentationOptions, VocabularyOptions
from ..training.config import TrainingConfig

_PRETRAINED = When("image_encoder", "!=", "small")


@dataclasses.dataclass(frozen=True)
class CaptioningConfig(
    CaptioningOptions,
    SearchOptions,
    RewardOptions,
    SegmentationOptions,
    VocabularyOptions,
    TrainingConfig,
):
    """An image in, a sentence out."""

    dataset: str = option(
        "unroll_scenes",
        "unroll_scenes (coloured shapes, embedded), coco_captions, or files: see --images and --captions",
    )
    train_data: str | None = option(
        None,
        "file that lists the training images, one name per line, with --dataset=files; default: all captioned images "
        "that no other list names",
        is_path=True,
    )
    validation_data: str | None = option(
        None, "file that lists the validation images, with --dataset=files", is_path=True
    )
    test_data: str | None = option(
        None, "file that lists the test images, with --dataset=files", is_path=True, commands=("evaluate",)
    )
    images: str | None = option(
        None,
        "zip file or folder of JPEG and PNG images, with --dataset=files",
        is_path=True,
        commands=("evaluate",),
    )
    captions: str | None = option(
        None,
        "file with lines name#number<TAB>caption, or a table with the columns image and caption, with --dataset=files",
        is_path=True,
        commands=("evaluate",),
    )

    image_encoder: str = option(
        "small",
        "encoder of images as a grid of features: a .keras file, the name of a network in keras.applications, or small "
        "(three convolutions, trained with the decoder)",
        is_name_or_path=True,
        fits_weights=True,
    )
    image_encoder_weights: str | None = option(
        None,
        "file with the weights of a network in keras.applications; default: downloads those of ImageNet",
        is_path=True,
        only=_PRETRAINED,
        fits_weights=True,
    )
    image_encoder_layers: tuple[str, ...] = option(
        (),
        "layer of the network whose features are read at each position, too, beside those of its last; may be given "
        "several times",
        only=_PRETRAINED,
        fits_weights=True,
    )
    train_encoder_from: str | None = option(
        None,
        "layer of the network behind which its weights are trained with the decoder; default: all are frozen",
        only=_PRETRAINED,
        fits_weights=True,
    )
    image_size: int | None = option(
        None,
        "height and width of the resized images in pixels; default: the encoder's (224 if it takes any size, 64 for "
        "small)",
        minimum=8,
        fits_weights=True,
    )
    feature_cache: str | None = option(
        None,
        "directory to cache image features in, which runs may share; default: the run directory",
        is_path=True,
    )

    mirror_images: bool = option(
        False,
        "train on mirrored images, too, with the same captions; not for captions that tell left from right",
    )
    random_crops: int = option(
        0,
        "number of random crops of each image to train on, too, with the same captions; with --mirror_images every "
        "second one is mirrored",
        minimum=0,
        maximum=100,
    )
    normalize_captions: bool = option(
        True, "train on captions in lower case and without punctuation, as evaluation compares them"
    )
    tokenizer: str = option(
        "words",
        "units that the model writes: words, subwords (byte-pair encoding), or characters",
        choices=("words", "subwords", "characters"),
    )
    max_length: int = option(
        50, "tokens of a caption; training skips longer ones", minimum=1, fits_weights=True
    )

    dropout: float = override(
        RecurrentOptions, "dropout", 0.2, "share of features to drop, the same at all steps of a caption"
    )
    encoder_rate: float = override(
        CaptioningOptions, "encoder_rate", 0.02, only=When("train_encoder_from", "!=", None)
    )
    doubly_stochastic: float = option(
        0.0,
        "lambda: adds lambda * sum over positions of (1 - sum over steps of the attention weight) ** 2 to the loss",
        minimum=0,
        only=When("attention", "!=", "none"),
    )
    # A caption leaves out most of an image.
    coverage_penalty: float = fixed(0.0)
    max_decode_length: int = override(
        SearchOptions, "max_decode_length", 40, "largest number of tokens in a caption"
    )

    @property
    def views(self) -> int:
        """Number of views of each image to train on."""
        return 1 + self.mirror_images + self.random_crops

    def check_sources(self) -> None:
        files = {
            name: getattr(self, name)
            for name in ("images", "captions", "train_data", "validation_data", "test_data")
        }
        if self.dataset == "files":
            for name in ("images", "captions"):
                if not files[name]:
                    raise UserError(f"--dataset=files needs --{name}, and it was not given.")
        elif any(files.values()):
            name = next(name for name, value in files.items() if value)
            raise UserError(f"--{name} is for files, but --dataset is {self.dataset!r}; add --dataset=files.")

    def changed(self, values: Mapping[str, Any]) -> Self:
        files = ("images", "captions", "test_data")
        given = [f"--{name}" for name in files if name in values]
        if self.dataset == "files" or not given:
            return super().changed(values)
        if len(given) < len(files):
            raise UserError(
                f"{' and '.join(given)} alone cannot be evaluated, since --dataset is {self.dataset!r}; give --images, "
                "--captions and --test_data."
            )
        # Of the user's files only the test part is read.
        return super().changed({**values, "dataset": "files"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_vocabulary(self.vocabulary_size, f"--vocabulary_size={self.vocabulary_size}")
        self.check_rewards(self.epochs, self.monitor, "bleu_4", self.vocabulary_size)


@dataclasses.dataclass(frozen=True)
class CaptionConfig(OptionGroup):
    """The options of `unroll predict`."""

    n_best: int = option(1, "captions of each image, up to the beam width of the export", minimum=1)
    plot: str | None = option(
        None,
        "file for a plot of the attention weights over the first image, token by token: .png, .svg or .pdf",
        is_path=True,
        suffixes=PICTURES,
    )


CONFIG = CaptioningConfig
PREDICT = CaptionConfig
