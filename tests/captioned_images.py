"""A handful of images with captions, as a user would have them."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 230), "white": (240, 240, 240)}


def image_of(colour: str, side: str) -> bytes:
    """A PNG image, 24 pixels wide and 16 high, of which one half has a colour."""
    pixels = np.full((16, 24, 3), 30, np.uint8)
    halves = {"left": np.s_[:, :12], "right": np.s_[:, 12:]}
    pixels[halves[side]] = COLOURS[colour]
    return tf.io.encode_png(pixels).numpy()


def write_captioned_images(directory: Path, zipped: bool = False) -> dict[str, str]:
    """Eight images in a folder or a zip file, a file of their captions, and three lists; the flags that name them."""
    names, lines = [], []
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "images.zip", "w") as archive:
        for colour in COLOURS:
            for side in ("left", "right"):
                names.append(f"{colour}-{side}.png")
                content = image_of(colour, side)
                archive.writestr(f"some/folder/{names[-1]}", content)
                (directory / "images").mkdir(exist_ok=True)
                (directory / "images" / names[-1]).write_bytes(content)
                captions = [f"A {colour} field, on the {side}.", f"the {side} half is {colour}"]
                lines += [f"{names[-1]}#{number}\t{caption}" for number, caption in enumerate(captions)]
    (directory / "captions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for part, chosen in (("train", names), ("validation", names[:3]), ("test", names[2:7])):
        (directory / f"{part}.txt").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    return {
        "dataset": "files",
        "images": str(directory / ("images.zip" if zipped else "images")),
        "captions": str(directory / "captions.txt"),
        **{f"{part}_data": str(directory / f"{part}.txt") for part in ("train", "validation", "test")},
    }


def tiny_model_flags() -> dict:
    """Of a model that learns these images in a second."""
    return {
        "image_size": 16,
        "units": 16,
        "embedding_size": 8,
        "dropout": 0.0,
        "batch_tokens": 64,
        "shuffle_buffer": 8,
        "learning_rate": 0.02,
        "epochs": 2,
        "log_every": 1,
        "beam_width": 2,
        "max_decode_length": 8,
    }


def as_flags(options: dict) -> list[str]:
    """Options as they stand on a command line."""
    return [f"--{name}={value}" for name, value in options.items()]
