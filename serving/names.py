"""Names of models, which stand in URLs and in the files for servers."""

import re

from ..common.errors import UserError

# Characters that end a name in a URL, or that the files for servers would have to escape.
_UNUSABLE = re.compile(r"""["'\\/:#?\x00-\x1f]""")


def check_name(name: str, given: str) -> None:
    """Raises UserError if servers could not address a model of this name.

    Args:
        name: The name.
        given: What the user gave, such as `--output=exports/demo`.
    """
    if not name:
        raise UserError(f"{given} gives the model no name; give one, such as demo.")
    if _UNUSABLE.search(name):
        raise UserError(
            f"{given}: servers cannot address a model with the name {name!r}; leave out quotes, colons, #, ?, /, \\ "
            "and control characters."
        )
