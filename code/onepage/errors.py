"""The one exception a user is meant to see, and texts on one line.

A problem that the user can fix (a bad value, a missing file, a failed download) is raised as ``UserError`` with one
line: the problem, its place, and what to do. The command line prints that line and exits non-zero. Any other exception
is a bug in this program, and is shown with its traceback.
"""


class UserError(Exception):
    """A problem the user can fix; ``str(error)`` is the one line shown."""


def one_line(text: str) -> str:
    """``text`` with a space in place of each line break and control, which names from files may hold."""
    return "".join(character if character.isprintable() else " " for character in text)
