"""Mistakes of the user, as opposed to mistakes of the program."""


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence or two: what was given, what was expected, and what to do. The command line prints it
    without a stack trace and exits with code 2.
    """


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message without its full stop, to be quoted in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
