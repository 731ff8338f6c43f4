"""An HTML page that shows images with their captions."""

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ...common.files import replacing
from ...serving.drawing import open_image

# Pixels of the longer side of an image.
_SIDE = 224
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 2rem; color: #222; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 1.5rem; }}
figure {{ margin: 0; }}
img {{ max-width: 100%; min-width: 96px; display: block; image-rendering: auto; }}
b {{ display: block; margin: .4rem 0 .2rem; }}
li, small {{ color: #666; font-size: 13px; }}
ul {{ margin: .2rem 0; padding-left: 1.1rem; }}
</style>
<h1>{title}</h1>
<p>In bold the caption by the model; below it the captions by people.</p>
<main>
"""


class Captioned(NamedTuple):
    """An image's caption.

    Attributes:
        image: Name of the image.
        caption: Caption by the model.
        score: Its log probability, normalised by the length penalty.
        ids: Its ids, without start and end.
        references: Captions by people.
    """

    image: str
    caption: str
    score: float
    ids: tuple[int, ...]
    references: tuple[str, ...]


def write_page(path: Path, title: str, shown: Iterable[tuple[Captioned, bytes]]) -> None:
    """Writes a page that needs no other file.

    Args:
        path: Path of the HTML file.
        title: Title of the page.
        shown: Captions, each with its image, JPEG or PNG.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="replace") as file,
    ):
        file.write(_PAGE.format(title=html.escape(title)))
        for one, image in shown:
            picture = base64.b64encode(_thumbnail(image)).decode()
            references = "".join(f"<li>{html.escape(text)}</li>" for text in one.references)
            file.write(
                f'<figure><img src="data:image/jpeg;base64,{picture}" alt=""><b>{html.escape(one.caption)}</b>'
                f"<ul>{references}</ul><small>{html.escape(one.image)}, score {one.score:.2f}</small></figure>\n"
            )
        file.write("</main>\n</html>\n")


def _thumbnail(image: bytes) -> bytes:
    """Returns a small JPEG image."""
    pixels, file = open_image(image), io.BytesIO()
    pixels.thumbnail((_SIDE, _SIDE))
    pixels.save(file, "JPEG")
    return file.getvalue()
