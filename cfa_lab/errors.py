"""The one exception that stands for a user's mistake."""


class UserError(ValueError):
    """Something the user asked for or handed in is wrong.

    The message is one line: what was wrong, the value, what is allowed, what to do next. The
    command line prints it without a traceback and exits with code 1; a library user sees a
    `ValueError`.
    """
