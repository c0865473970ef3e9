"""The one exception a user is meant to see.

Everything that the user can fix (a bad value, a missing file, a download that failed) is raised as
``UserError`` with one line that says what was wrong, where, and what to do next. The command line prints that line
and exits non-zero; any other exception is a bug in this program and is shown as one.
"""


class UserError(Exception):
    """A problem the user can fix; ``str(error)`` is the one line shown."""
