"""Pictures of what a model does."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from ..common.errors import UserError
from ..common.files import PICTURES
from .images import opened
from .results import Alignment, Attention

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches of a token's row or column.
_CELL = 0.36
# Of the image drawn once for each word: images in a row, inches of one and of its title, pixels of its longer side, and
# how bright it is where the model does not look.
_COLUMNS = 6
_PANEL = 2.0
_TITLE = 0.35
_PIXELS = 320
_DIM = 0.45


def draw_alignment(alignment: Alignment, path: Path) -> None:
    """Draws where a model looked: a row for each token written, a column for each token read, dark for much.

    Args:
        alignment: of a text.
        path: of a .png, .svg or .pdf file.
    """
    source, target = (
        [token.replace("\u2581", "") or "\u2423" for token in tokens]
        for tokens in (alignment.source_tokens, alignment.target_tokens)
    )
    weights = alignment.weights
    if not source:
        # Of nothing that was read: an empty column, since a picture cannot be without one.
        source, weights = [""], np.zeros([len(target), 1])
    figure = _figure(path, (2 + _CELL * len(source), 1.5 + _CELL * len(target)))
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(len(source)), source, rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(target)), target)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks([n - 0.5 for n in range(1, len(source))], minor=True)
    axes.set_yticks([n - 0.5 for n in range(1, len(target))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(image, ax=axes, shrink=0.6, label="attention")
    _save(figure, path)


def draw_attention(image: bytes, attention: Attention, path: Path) -> None:
    """Draws where a model looked: the image, and once for each word, grey and dim where the model did not look.

    Args:
        image: JPEG or PNG.
        attention: in it.
        path: of a .png, .svg or .pdf file.
    """
    pixels = ImageOps.contain(opened(image), (_PIXELS, _PIXELS), Image.Resampling.BICUBIC)
    dim = _DIM * np.asarray(pixels.convert("L"), np.float32)[..., None]
    # The end of the caption is no word.
    words = attention.tokens[:-1]
    columns = min(_COLUMNS, 1 + len(words))
    rows = -(-(1 + len(words)) // columns)
    size = _PANEL * columns, (_PANEL * pixels.height / pixels.width + _TITLE) * rows
    figure = _figure(path, size)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    panels[0].imshow(pixels)
    colors = np.asarray(pixels)
    for panel, word, weights in zip(panels[1:], words, attention.weights, strict=False):
        light = Image.fromarray((weights / max(weights.max(), 1e-9)).astype(np.float32))
        light = np.asarray(light.resize(pixels.size, Image.Resampling.BICUBIC))[..., None].clip(0, 1)
        panel.imshow((dim + light * (colors - dim)).astype(np.uint8))
        panel.set_title(word.replace("\u2581", "") or "\u2423", fontsize=12)
    _save(figure, path)


def _figure(path: Path, size: tuple[float, float]) -> "Figure":
    """A figure of a size in inches, for a file of that name."""
    if path.suffix not in PICTURES:
        raise UserError(
            f"A picture cannot be written to {path}; give a file that ends in {', '.join(PICTURES)}."
        )
    # Nothing but a picture needs it, and it takes its time.
    from matplotlib.figure import Figure

    return Figure(size, layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
