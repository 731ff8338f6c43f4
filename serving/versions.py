"""The versions of a model: numbered subdirectories, each with a description."""

import json
import os
from pathlib import Path
from typing import Any

from ..common.checksums import MANIFEST, verify
from ..common.errors import UserError

# Servers ignore the directory.
CHECKSUMS = f"assets.extra/{MANIFEST}"


def versions(directory: Path) -> list[int]:
    """Returns the numbers of the versions in a model's directory, unordered."""
    return [int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]


def newest_version(path: str | os.PathLike[str]) -> Path:
    """Returns the directory of the newest version of a model; a version directory is returned unchanged.

    Raises:
        UserError: If the path holds no exported model.
    """
    path = Path(path)
    if (path / "saved_model.pb").exists():
        return path
    numbers = versions(path) if path.is_dir() else []
    if not numbers:
        if models := sorted({str(found.parent.parent) for found in path.glob("*/[0-9]*/saved_model.pb")}):
            raise UserError(f"{path} is a directory of models; give one of them: {', '.join(models)}.")
        raise UserError(
            f"{path} holds no exported model; give the directory that `unroll export --output` wrote."
        )
    return path / str(max(numbers))


def describe(version: Path) -> dict[str, Any]:
    """Returns the description of a version: its `application`, and `examples`, requests with answers.

    Raises:
        UserError: If `unroll export` did not write the version, or its description is damaged.
    """
    check_files(version, "assets.extra/unroll.json")
    try:
        description = json.loads((version / "assets.extra" / "unroll.json").read_text(encoding="utf-8"))
        missing = {"application", "examples"} - description.keys()
        if missing:
            raise ValueError(f"unroll.json lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{version} is not a model made by `unroll export` ({error}).") from error
    return description


def check_files(version: Path, *names: str) -> None:
    """Compares files of a version with their checksums.

    Args:
        version: The version directory.
        names: Files in it; none: all.

    Raises:
        UserError: If a file is missing or damaged.
    """
    verify(
        version,
        *names,
        manifest=CHECKSUMS,
        advice="export the model again, or restore the file from a backup",
    )
