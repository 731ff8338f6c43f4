"""The files that an evaluation writes."""

import re
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..common.files import is_writable

_UNUSUAL = re.compile(r"[^\w.-]+")


class Results(NamedTuple):
    """Names of the files with the results of an evaluation.

    Attributes:
        directory: Directory of the files.
        name: Name of the part in the files' names; None: that of the split.
        runs: Number of runs that were measured as one model.
    """

    directory: Path
    name: str | None = None
    runs: int = 1

    def path(self, kind: str, split: str, suffix: str) -> Path:
        """Returns the path of a file, such as `translations-test.tsv`."""
        several = f"-of-{self.runs}-runs" if self.runs > 1 else ""
        return self.directory / f"{kind}-{self.name or split}{several}{suffix}"

    def metrics(self, split: str) -> Path:
        """Returns the path of the metrics: `metrics.json` belongs to the test part of the run's own data."""
        if split == "test" and self.name is None and self.runs == 1:
            return self.directory / "metrics.json"
        return self.path("metrics", split, ".json")


def name_of_other_data(given: Mapping[str, Any], own: Any) -> str | None:
    """Returns a name for the results on other test data than the run's own; None for its own.

    Args:
        given: Options that the user gives, by name.
        own: Options of the run.
    """
    for option in ("test_data", "captions"):
        path = given.get(option)
        if path and path != getattr(own, option):
            return f"test-{_UNUSUAL.sub('-', Path(path).name.partition('.')[0]).strip('-') or 'data'}"
    return None


@contextmanager
def writable_or_temporary(directory: Path, advice: str) -> Generator[Path]:
    """Yields the directory if it can be written to; if not, says so, and yields a temporary one.

    Args:
        directory: The directory, which need not exist.
        advice: How to keep the files elsewhere.
    """
    if is_writable(directory):
        yield directory
        return
    print(
        f"{directory} cannot be written to: the results are printed, but not kept; {advice}.", file=sys.stderr
    )
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)
