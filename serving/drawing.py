"""Plots of attention."""

import io
import logging
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..common.errors import UserError
from ..common.files import PICTURES
from .fonts import fonts_for

# Inches of a token's row or column.
_CELL = 0.36
# Of the image that is drawn once for each token: images in a row, inches of one and of its title, pixels of its longer
# side, and its brightness where the attention is zero.
_COLUMNS = 6
_PANEL = 2.0
_TITLE = 0.35
_PIXELS = 320
_DIM = 0.45
# Dots per inch, and of the longer side of a picture.
_RESOLUTION, _LONGEST = 150, 16_000
# Categories of characters that have no shape: control characters, line and paragraph separators.
_SHAPELESS = ("Cc", "Zl", "Zp")


def open_image(image: bytes) -> Image.Image:
    """Returns the pixels of a JPEG or PNG image as RGB, with transparent parts on white."""
    found = ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGBA")
    white = Image.new("RGBA", found.size, "white")
    return Image.alpha_composite(white, found).convert("RGB")


def draw_alignment(
    source_tokens: Sequence[str], target_tokens: Sequence[str], weights: np.ndarray, path: Path
) -> None:
    """Draws the attention of a text to its source: a row for each target token, a column for each source token.

    Args:
        source_tokens, target_tokens: The tokens; U+2581 stands for a space.
        weights: float32 [target tokens, source tokens]; high ones are drawn dark.
        path: A .png, .svg or .pdf file.
    """
    source, target = [*map(_label, source_tokens)], [*map(_label, target_tokens)]
    if not source:
        # A plot needs at least one column.
        source, weights = [""], np.zeros([len(target), 1])
    figure = _figure(path, (2 + _CELL * len(source), 1.5 + _CELL * len(target)))
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    style = _text_style([*source, *target])
    axes.set_xticks(range(len(source)), source, rotation=45, ha="left", rotation_mode="anchor", **style)
    axes.set_yticks(range(len(target)), target, **style)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks([n - 0.5 for n in range(1, len(source))], minor=True)
    axes.set_yticks([n - 0.5 for n in range(1, len(target))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(image, ax=axes, shrink=0.6, label="attention")
    _save(figure, path)


def draw_attention(image: bytes, tokens: Sequence[str], weights: np.ndarray, path: Path) -> None:
    """Draws the attention of a caption to its image: the image once for each token, grey and dim where it is low.

    Args:
        image: A JPEG or PNG image.
        tokens: The tokens of the caption, with its end; U+2581 stands for a space.
        weights: float32 [tokens, rows, columns].
        path: A .png, .svg or .pdf file.
    """
    pixels = ImageOps.contain(open_image(image), (_PIXELS, _PIXELS), Image.Resampling.BICUBIC)
    dim = _DIM * np.asarray(pixels.convert("L"), np.float32)[..., None]
    # The end of the caption is left out.
    shown = tokens[:-1]
    columns = min(_COLUMNS, 1 + len(shown))
    rows = -(-(1 + len(shown)) // columns)
    size = _PANEL * columns, (_PANEL * pixels.height / pixels.width + _TITLE) * rows
    figure = _figure(path, size)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    panels[0].imshow(pixels)
    colors = np.asarray(pixels)
    titles = [*map(_label, shown)]
    style = _text_style(titles)
    for panel, title, attention in zip(panels[1:], titles, weights, strict=False):
        light = Image.fromarray((attention / max(attention.max(), 1e-9)).astype(np.float32))
        light = np.asarray(light.resize(pixels.size, Image.Resampling.BICUBIC))[..., None].clip(0, 1)
        panel.imshow((dim + light * (colors - dim)).astype(np.uint8))
        panel.set_title(title, fontsize=12, **style)
    _save(figure, path)


def _label(token: str) -> str:
    """Returns a token without its space mark; a single space and control characters become visible."""
    label = token.replace("\u2581", "") or "\u2423"
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _SHAPELESS else c for c in label)


def _text_style(labels: Iterable[str]) -> dict[str, Any]:
    """Returns how to draw labels: in fonts that have their characters, and a dollar sign as it stands."""
    families, missing = fonts_for(labels)
    if missing:
        logging.getLogger(__name__).warning(
            "No installed font has the characters %s; install one to see them in the plot.",
            " ".join(missing[:10]),
        )
    return {"family": families, "parse_math": False}


def _figure(path: Path, size: tuple[float, float]) -> Any:
    """Returns a figure of a size in inches; raises UserError unless the format of the file is supported."""
    if path.suffix not in PICTURES:
        raise UserError(
            f"A picture cannot be written to {path}; give a file that ends in {', '.join(PICTURES)}."
        )
    # Late, since the import takes time and only plots need it.
    from matplotlib.figure import Figure

    return Figure(size, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Said in one sentence for all of them.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure.savefig(path, dpi=min(_RESOLUTION, _LONGEST / max(figure.get_size_inches())))
