"""The files for TensorFlow Serving beside a model's versions."""

import re
from pathlib import Path
from string import Template

import tensorflow as tf

from ..common.files import replacing

# A pinned tag: "latest" changes, and an image that does not match the driver fails at start.
SERVING_TAG = "2.20.0"


def write_serving_files(directory: Path) -> None:
    """Fills in the templates, and writes them into a model's directory.

    Existing files stay unchanged: users may have edited them.
    """
    values = {
        "name": directory.name,
        "label": _label(directory.name),
        "tag": SERVING_TAG,
        "tensorflow": tf.__version__,
    }
    for template in Path(__file__).with_name("templates").iterdir():
        path = directory / template.name
        if not path.exists():
            with replacing(path) as temporary:
                content = Template(template.read_text(encoding="utf-8")).substitute(values)
                temporary.write_text(content, encoding="utf-8")


def _label(name: str) -> str:
    """Returns a model's name as Kubernetes allows names: at most 63 letters, digits and inner dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:57].strip("-") or "model"
