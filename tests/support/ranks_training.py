"""A sequence of trainings by several processes; run by test_distributed.py under torchrun.

The first argument is a JSON file with a list of trainings (task, folder, changes to the recipe, planned events). The
second is "cuda" for GPUs. Each process writes its result beside the folder: FOLDER.rank0.json and so on.
"""

import json
import os
import signal
import sys
from pathlib import Path

from onepage.cls.recipe import Stage
from onepage.errors import Interrupted, UserError
from onepage.terminal.progress import Reporter
from onepage.training import distributed, session
from small_training import run


def signal_after(updates, number):
    """Send this process a signal after the given number of updates."""
    real = Reporter.advance

    def advance(self, units, note):
        real(self, units, note)
        if self.done == updates:
            os.kill(os.getpid(), number)

    Reporter.advance = advance


def main(order, device="cpu"):
    with distributed.join(device) as ranks:
        for job in json.loads(order.read_text(encoding="utf-8")):
            folder, said = Path(job["folder"]), {"rank": ranks.rank, "world": ranks.world}
            session.SAVE_EVERY_SECONDS = job.get("save_every", 60.0)
            real = Reporter.advance
            if job.get("signalled") == ranks.rank:
                signal_after(job["after"], signal.Signals[job["signal"]])
            changes = job["changes"]
            if "stages" in changes:
                changes["stages"] = tuple(Stage(*stage) for stage in changes["stages"])
            try:
                said["digest"] = run(job["task"], folder, ranks=ranks, device=device, **changes)
            except Interrupted as error:
                said["stopped"] = str(error)
            except UserError as error:
                said["error"] = str(error)
            Reporter.advance = real
            folder.with_name(f"{folder.name}.rank{ranks.rank}.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
