"""The errors that the command line prints as a sentence, without a stack trace."""


class UserError(ValueError):
    """A user's mistake; exit code 2.

    The message is one or two sentences: what was given, what was expected, what to do.
    """


class FailedError(RuntimeError):
    """The work was done, but its result is unusable; exit code 1."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message without its full stop, for quoting in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
