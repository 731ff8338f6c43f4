"""Mistakes of the user, as opposed to mistakes of the program."""


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence or two: what was given, what was expected, and what to do. The command line prints it
    without a stack trace and exits with code 2.
    """
