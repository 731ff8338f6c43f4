"""Fonts for texts in any script."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Fonts(NamedTuple):
    """Fonts for some texts.

    Attributes:
        families: Names of font families: matplotlib's default, and those that have its missing characters.
        missing: The characters that no installed font has, in order.
    """

    families: list[str]
    missing: str


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Finds installed fonts for all characters of some texts."""
    # Late, since the import takes time and only plots need it.
    import matplotlib

    font_manager = _font_manager()
    families: list[str] = list(matplotlib.rcParams["font.family"])
    default = font_manager.findfont(font_manager.FontProperties(family=families))
    missing = {ord(character) for text in texts for character in text if not character.isspace()}
    missing -= _characters(default, 0)
    covered: dict[str, set[int]] = {}
    for family, characters in _installed() if missing else ():
        covered[family] = covered.get(family, set()) | characters & missing
        if covered[family] == missing:
            covered = {family: missing}
            break
    while missing and covered:
        # The family that has most of them; the first of equal ones.
        family = max(covered, key=lambda name: len(covered[name] & missing))
        if not covered[family] & missing:
            break
        families.append(family)
        missing = missing - covered[family]
    return Fonts(families, "".join(map(chr, sorted(missing))))


def _installed() -> Iterator[tuple[str, set[int]]]:
    """Yields the family and the characters of each font of the system, upright and regular ones first."""
    import matplotlib

    font_manager = _font_manager()
    manager = font_manager.fontManager
    # The manager's list is as old as its cache.
    known = {entry.fname for entry in manager.ttflist}
    for path in sorted({*font_manager.findSystemFonts()} - known):
        try:
            manager.addfont(path)
        except (OSError, RuntimeError, ValueError, UnicodeError, NotImplementedError):
            # Not a font that matplotlib can draw.
            continue
    # Its own fonts are the default ones, and fonts for formulas with encodings of their own.
    own = matplotlib.get_data_path()
    entries = [entry for entry in manager.ttflist if not entry.fname.startswith(own)]
    for entry in sorted(
        entries, key=lambda e: (e.style != "normal", str(e.weight) not in ("400", "normal"), e.name)
    ):
        yield entry.name, _characters(entry.fname, entry.index)


def _font_manager() -> Any:
    # Its hints leave types of paths open.
    from matplotlib import font_manager

    return font_manager


def _characters(path: str, face: int) -> set[int]:
    """Returns the code points of a font; none if it cannot be read."""
    from matplotlib import ft2font

    try:
        return {*ft2font.FT2Font(path, face_index=face).get_charmap()}
    except (OSError, RuntimeError, ValueError):
        return set()
