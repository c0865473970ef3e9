"""How tests start processes that they then interrupt."""

import signal


def heed_ctrl_c() -> None:
    """For ``preexec_fn``: a shell's background jobs, and what they start, ignore SIGINT; the new process does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
