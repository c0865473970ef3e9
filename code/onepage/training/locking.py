"""One training at a time on a CPU and on each GPU, because two at once are slower than two in turn.

The locks are the kernel's, on files in the folder for temporary files: a killed training leaves no lock behind.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 1.0  # between looks for a free GPU


@contextlib.contextmanager
def cpu_training_lock(device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Within: no other training of this user runs on the CPU; waits for it first. Does nothing for a GPU."""
    if device != "cpu":
        yield
        return
    descriptor = _opened("cpu-training", say)
    try:
        if descriptor is not None and not _locked(descriptor, say):
            say("another training run is on this CPU; waiting for it to end (two at once would slow both)")
            with contextlib.suppress(OSError):  # some network disks cannot wait for a lock
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def own_gpu(device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Lock the first free GPU and make it the current one; wait while there is none.

    Does nothing for a CPU, or if torch sees no GPU; the training then reports that.
    """
    import torch

    count = torch.cuda.device_count() if device == "cuda" else 0
    files = [_opened(f"gpu-{torch.cuda.get_device_properties(number).uuid}", say) for number in range(count)]
    waits = False
    try:
        while count:
            free = next((n for n, file in enumerate(files) if file is None or _locked(file, say)), None)
            if free is not None:
                torch.cuda.set_device(free)
                break
            if not waits:
                say(f"each of {count} GPUs is in use; waiting for one")
            waits = True
            time.sleep(POLL_SECONDS)
        yield
    finally:
        for file in files:
            if file is not None:
                os.close(file)


def _opened(name: str, say: Callable[[str], None]) -> int | None:
    """A descriptor of this user's lock file with that name; None, and a line, if it cannot be opened."""
    path = Path(tempfile.gettempdir()) / f"onepage-{name}-{os.getuid()}.lock"
    try:
        # no link is followed, nothing is emptied: in a folder open to all, the name may be someone's link
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        say(f"{path} cannot be locked ({error.strerror}); training without waiting for others")
        return None


def _locked(descriptor: int, say: Callable[[str], None]) -> bool:
    """Whether the lock was free; it is then held until the descriptor is closed.

    Also true, with a line, if the file system has no locks (Lustre, some NFS).
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        folder = tempfile.gettempdir()
        say(f"{folder} has no locks ({error.strerror}); training without waiting for others")
    return True
