"""A stand-in for onepage that writes only the last file of each command, for tests of the make graph.

It reads variables of the environment. FAILS, WAITS: runs ("cls/seed1") whose training fails, or waits for a signal.
MEET: how many trainings must run at once. PLANNED: the device of the plans. PLACE: the folder that records each call.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

# each command imports only what it needs, because make starts many
PLACE = Path(os.environ.get("PLACE", "."))


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def option(words: list[str], name: str) -> Path:
    return Path(words[words.index(name) + 1])


def plan_task(name: str, words: list[str]) -> None:
    from onepage.runs import graph, settings
    from onepage.runs.fingerprint import Fingerprints
    from onepage.tasks import get

    values, task = settings.resolve(settings.parse(words)), get(name)
    run = {"task": name, "device": os.environ.get("PLANNED", "cpu"), "recipe": {}, "evaluation": {}}
    target = Path(values["OUT"]) / graph.PLANS / f"{graph.key_of(task, values)}.json"
    known = Fingerprints(target.with_name("fingerprints.json"))
    put(target, json.dumps({"inputs": graph.inputs(task, values, known), "place": "set/smoke", "run": run}))
    put(target.with_suffix(".mk"))


def train(run: Path) -> None:
    name = f"{run.parts[-4]}/{run.name}"
    if name in os.environ.get("FAILS", "").split():
        sys.exit(f"onepage: {name} broke")
    if name in os.environ.get("WAITS", "").split():

        def stop(number: int, frame: object) -> None:
            put(PLACE / "stopped")
            sys.exit(143)

        signal.signal(signal.SIGTERM, stop)
        put(PLACE / "waits")
        while True:
            time.sleep(0.02)
    put(PLACE / f"in-{run.name}")
    until = time.monotonic() + 300
    while len(list(PLACE.glob("in-seed*"))) < int(os.environ.get("MEET", "0")) and time.monotonic() < until:
        time.sleep(0.02)
    put(run / "model.pt")


def main(command: str, *words: str) -> None:
    with open(PLACE / "calls", "a", encoding="utf-8") as calls:
        calls.write(" ".join([command, *words]) + "\n")
    rest = list(words)
    if command == "plan":
        plan_task(rest[0], rest[1:])
    elif command == "engine":
        put(option(rest, "--write"), "ENGINE := typst\n")
    elif command == "train":
        train(Path(rest[0]))
    elif command == "evaluate":
        put(Path(rest[0]) / "metrics.json")
    elif command == "seeds":
        from onepage.runs import seeds

        folder = Path(rest[0]).parent
        seeds.put(folder, {"seeds": sorted(path.parent.name for path in folder.glob("seed*/metrics.json"))})
    elif command == "draw":
        put(option(rest, "--figures") / "figures.json")
    elif command == "render":
        put(option(rest, "--out") / "report" / "report.pdf")
    elif command == "train-all":
        train_all(rest)


def train_all(words: list[str]) -> None:
    from onepage.commands import several
    from onepage.errors import UserError

    several.PROGRAM = (sys.executable, __file__)
    try:
        several.train_all.main(words, standalone_mode=False)
    except UserError as error:
        sys.exit(f"onepage: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
