"""Images for people to look at."""

import io

from PIL import Image


def opened(image: bytes) -> Image.Image:
    """The pixels of a JPEG or PNG image, RGB, what is transparent on white."""
    found = Image.open(io.BytesIO(image)).convert("RGBA")
    white = Image.new("RGBA", found.size, "white")
    return Image.alpha_composite(white, found).convert("RGB")


def thumbnail(image: bytes, side: int) -> bytes:
    """A JPEG image whose longer side has at most so many pixels."""
    found, file = opened(image), io.BytesIO()
    found.thumbnail((side, side))
    found.save(file, "JPEG")
    return file.getvalue()
