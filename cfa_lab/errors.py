"""The one exception that stands for a user's mistake, and what raises it for arguments."""

import argparse
from typing import NoReturn


class UserError(ValueError):
    """Something the user asked for or handed in is wrong.

    The message is one line: what was wrong, the value, what is allowed, what to do next. The
    command line prints it without a traceback and exits with code 1; a library user sees a
    `ValueError`.
    """


class Parser(argparse.ArgumentParser):
    """A sub-command's arguments; mistakes in them are one line like all others."""

    def error(self, message: str) -> NoReturn:
        word = self.prog.rpartition(" ")[2]
        raise UserError(f"{word}: {message}; see {self.prog} --help")
