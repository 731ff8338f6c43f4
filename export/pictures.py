"""Pictures of what a model does."""

from pathlib import Path

import numpy as np

from unroll.export.errors import UserError
from unroll.export.results import Alignment

_FORMATS = (".png", ".svg", ".pdf")
# Inches of a token's row or column.
_CELL = 0.36


def draw_alignment(alignment: Alignment, path: Path) -> None:
    """Draws where a model looked: a row for each token written, a column for each token read, dark for much.

    Args:
        alignment: of a text.
        path: of a .png, .svg or .pdf file.
    """
    if path.suffix not in _FORMATS:
        raise UserError(
            f"A picture cannot be written to {path}; give a file that ends in {', '.join(_FORMATS)}."
        )
    from matplotlib.figure import Figure

    source, target = (
        [token.replace("\u2581", "") or "\u2423" for token in tokens]
        for tokens in (alignment.source_tokens, alignment.target_tokens)
    )
    weights = alignment.weights
    if not source:
        # Of nothing that was read: an empty column, since a picture cannot be without one.
        source, weights = [""], np.zeros([len(target), 1])
    figure = Figure((2 + _CELL * len(source), 1.5 + _CELL * len(target)), layout="constrained")
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
