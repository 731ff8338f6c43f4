"""The versions of a model: subdirectories whose names are numbers."""

from pathlib import Path


def versions(directory: Path) -> list[int]:
    """The numbers of the versions in a model's directory, in no order."""
    return [int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]
