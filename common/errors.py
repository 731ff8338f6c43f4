"""The errors that the command line prints as a sentence, without a stack trace."""


class UserError(ValueError):
    """Something the user gave cannot be used; exit code 2.

    The message is one sentence or two: what was given, what was expected, and what to do.
    """


class FailedError(RuntimeError):
    """The work was done, but its result cannot be used; exit code 1."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message without its full stop, to be quoted in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
