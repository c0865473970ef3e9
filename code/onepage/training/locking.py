"""One training at a time on a CPU: two side by side run many times slower than one after the other."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without POSIX locks: nothing to wait on
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def cpu_training_lock(device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other training of this user runs on the CPU; does nothing for a GPU.

    The lock is the kernel's, so a killed training leaves none behind.
    """
    if device != "cpu" or fcntl is None:
        yield
        return
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"onepage-cpu-training-{user}.lock"
    try:
        # neither followed nor emptied: in a folder open to all, this name may be somebody's link to another file
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        say(f"{path} cannot be locked ({error.strerror}); training without a look for other trainings")
        descriptor = None
    try:
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                say("another training is on this CPU; waiting for it to end (side by side both would crawl)")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
