"""The one kind of exception that a user is meant to see, and texts on one line.

A problem that the user can fix (a bad value, a missing file, a failed download) is raised as ``UserError`` with one
line: the problem, its place, and what to do. The command line prints that line and exits non-zero. Any other exception
is a bug in this program, and is shown with its traceback.
"""

import signal


class UserError(Exception):
    """A problem the user can fix; ``str(error)`` is the one line shown."""


class Interrupted(UserError):
    """A signal (``number``) ended the work; ``what`` says what is kept, and how to go on."""

    def __init__(self, number: int, what: str):
        self.number = number
        super().__init__(f"{signal.Signals(number).name}: {what}")


def one_line(text: object) -> str:
    """A text as one line, because names from files may hold line breaks or terminal controls."""
    return "".join(character if character.isprintable() else " " for character in str(text))
