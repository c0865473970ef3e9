"""Standard input and output of translate and classify: bytes, a quiet end, one line if the disk is full."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

from onepage.errors import UserError

INTERRUPTED, CLOSED_PIPE = 130, 141  # 128 + SIGINT, 128 + SIGPIPE: as a shell reports these signals


def standard(name: str, remedy: str = "") -> BinaryIO:
    """Standard input or output ("stdin", "stdout") as bytes: its text is UTF-8 whatever the locale."""
    stream = getattr(sys, name)
    if stream is None:  # closed before Python started
        raise UserError(f"{name} is closed; open it{remedy}")
    binary: BinaryIO = stream.buffer
    return binary


@contextlib.contextmanager
def ending_quietly() -> Iterator[None]:
    """Within: Ctrl-C, and a reader that closes the pipe (``| head -1``), end the program without a message."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
        sys.exit(CLOSED_PIPE)


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Within: report a full disk behind standard output in one line (``what`` is not complete), but no closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise UserError(f"cannot write to standard output ({error.strerror}); the {what} are not complete") from error


def _drop_output() -> None:
    """Discard what is still buffered for standard output, so that Python reports no error when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
