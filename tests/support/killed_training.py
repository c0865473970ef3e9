"""A training that is killed again and again; run by test_kill.py in a separate process.

This process imports torch once and forks a child for each session, so no session waits for Python to start. About half
of the children are killed from outside after a random time. The rest kill themselves at a random step of writing a
file: half-way through a checkpoint, before a flush, before or after a rename, between a checkpoint and its digest, or
while old checkpoints are removed.
"""

import functools
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import torch._dynamo  # optimisers import it, which takes seconds: once here for all children

from onepage.training import session
from small_training import run

KILLS = 20
UPDATES = 40
SETTINGS = {"updates": UPDATES, "validations": 5}


def kill_in_writing(step):
    """Make this process send itself SIGKILL at the given step of writing, counted over all files."""
    done = 0

    def count():
        nonlocal done
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call):
        def counting(*arguments, **options):
            count()
            result = call(*arguments, **options)
            count()
            return result

        return counting

    real = torch.save

    def save(state, file):
        real(state, file)
        whole = file.tell()
        file.truncate(whole // 2)  # the state of the disk when half is written
        file.flush()
        count()
        file.seek(0)
        file.truncate()
        real(state, file)

    torch.save = save
    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


def train(folder, prepare):
    """Start one session in a child process and return the process id."""
    child = os.fork()
    if child:
        return child
    try:
        with open(folder.with_suffix(".log"), "a", encoding="utf-8") as log:
            os.dup2(log.fileno(), 1)
        session.SAVE_EVERY_SECONDS = 0.0
        prepare()
        digest = run("mt", folder, **SETTINGS)
        folder.with_suffix(".digest").write_text(digest, encoding="utf-8")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(child):
    """Wait for a child; return its exit status, or the negative number of the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_after(child, seconds):
    """Send a child SIGKILL after ``seconds`` unless it has ended by then; return its status as ``ended`` does."""
    moment = time.monotonic() + seconds
    while time.monotonic() < moment:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return ended(child)


def main(place):
    chance = random.Random(5)
    began = time.monotonic()
    assert ended(train(place / "straight", lambda: None)) == 0
    took = time.monotonic() - began
    kills = {"by time": 0, "in writing": 0}
    folders = [place / "killed0"]
    while sum(kills.values()) < KILLS:
        how, began, fresh = min(kills, key=kills.get), time.monotonic(), not folders[-1].exists()
        if how == "by time":
            status = killed_after(train(folders[-1], lambda: None), chance.uniform(0, took))
        else:
            step = chance.randint(1, 120)
            status = ended(train(folders[-1], functools.partial(kill_in_writing, step)))
        assert status in (0, -signal.SIGKILL), status
        if status:
            kills[how] += 1
        else:  # it finished before it was killed
            took = time.monotonic() - began if fresh else took  # the load of the machine may have changed
            folders.append(place / f"killed{len(folders)}")
    if not (folders[-1] / "model.pt").exists():
        assert ended(train(folders[-1], lambda: None)) == 0
    print(json.dumps({"kills": kills, "folders": [folder.name for folder in folders]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
