"""The options of captioning."""

import dataclasses

from ...common.errors import UserError
from ...common.files import PICTURES
from ...common.options import OptionGroup, When, option, override
from ...models.options import CaptioningOptions, RecurrentOptions, SearchOptions, VocabularyOptions
from ..training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class CaptioningConfig(CaptioningOptions, SearchOptions, VocabularyOptions, TrainingConfig):
    """An image in, a sentence out."""

    dataset: str = option(
        "unroll_scenes",
        "unroll_scenes (coloured shapes, drawn here), coco_captions, or files: --images and --captions",
    )
    train_data: str | None = option(
        None,
        "list of the images to train on, a name a line, with --dataset=files; all images with captions that are not "
        "in the other lists by default",
        is_path=True,
    )
    validation_data: str | None = option(
        None, "list of the images to validate on, with --dataset=files", is_path=True
    )
    test_data: str | None = option(
        None, "list of the images to test on, with --dataset=files", is_path=True, commands=("evaluate",)
    )
    images: str | None = option(
        None,
        "zip file or folder of JPEG and PNG images, with --dataset=files",
        is_path=True,
        commands=("evaluate",),
    )
    captions: str | None = option(
        None,
        "file with a caption a line, name#number<TAB>caption, with --dataset=files",
        is_path=True,
        commands=("evaluate",),
    )

    image_encoder: str = option(
        "small",
        "what turns an image into a grid of features: a .keras file, the name of a network in keras.applications, or "
        "small (three convolutions, trained with the decoder)",
    )
    image_encoder_weights: str | None = option(
        None,
        "file with the weights of a network in keras.applications; none: those of ImageNet, downloaded",
        is_path=True,
        only=When("image_encoder", "!=", "small"),
    )
    image_size: int | None = option(
        None,
        "height and width in pixels that images are resized to; none: what the encoder takes, 224 if that is any, and "
        "64 for small",
        minimum=8,
    )
    feature_cache: str | None = option(
        None,
        "directory for the features of images, which runs may share; none: in the run directory",
        is_path=True,
    )

    mirror_images: bool = option(
        False,
        "train on each image from right to left, too, with the same captions; not where these tell left from right",
    )
    normalize_captions: bool = option(
        True, "train on captions in lower case and without punctuation, as they are compared in evaluation"
    )
    tokenizer: str = option(
        "words",
        "what the model writes: words, subwords (byte-pair encoding), or characters",
        choices=("words", "subwords", "characters"),
    )
    max_length: int = option(50, "tokens of a caption: longer ones are not trained on", minimum=1)

    dropout: float = override(
        RecurrentOptions, "dropout", 0.2, "share of features dropped, the same at all steps of a caption"
    )
    doubly_stochastic: float = option(
        0.0,
        "lambda: the loss of a caption gets lambda * sum over places of (1 - sum over steps of the attention) ** 2",
        minimum=0,
        only=When("attention", "!=", "none"),
    )
    rewarded_epochs: int = option(
        0,
        "how many of the last epochs train on captions that the model draws itself, rewarded by their BLEU; the others "
        "train on the data's own captions",
        minimum=0,
    )
    rewarded_learning_rate: float = option(
        1e-4,
        "learning rate that the rewarded epochs begin with; it falls linearly to 0",
        minimum=0,
        only=When("rewarded_epochs", ">", 0),
    )
    max_decode_length: int = override(SearchOptions, "max_decode_length", 40, "tokens of a caption at most")

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

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_vocabulary(self.vocabulary_size, f"--vocabulary_size={self.vocabulary_size}")
        if self.rewarded_epochs:
            if self.rewarded_epochs >= self.epochs:
                raise UserError(
                    f"--rewarded_epochs={self.rewarded_epochs} are to be the last of --epochs={self.epochs}; give more "
                    "--epochs: a model must have learnt to write first."
                )
            if self.monitor == "loss":
                raise UserError(
                    f"--rewarded_epochs={self.rewarded_epochs} let the loss rise while the captions become better; "
                    "choose the best weights by another metric, such as --monitor=bleu_4."
                )


@dataclasses.dataclass(frozen=True)
class CaptionConfig(OptionGroup):
    """What `unroll predict` gives for an image."""

    n_best: int = option(1, "captions of each image, at most the beam width of the export", minimum=1)
    plot: str | None = option(
        None,
        "picture of the first image, once for each word, and where the model looked: a .png, .svg or .pdf file",
        is_path=True,
        suffixes=PICTURES,
    )


CONFIG = CaptioningConfig
PREDICT = CaptionConfig
