"""Lines for make: every setting, the plans that it needs, the runs, and the stages to run again.

The Makefile calls ``main`` at its start and evaluates the printed lines; a dry run changes no file. Standard library
only, without modules that are slow to import (argparse, dataclasses), because every call of make waits for this one.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError, one_line
from onepage.runs import installed, settings, stamps
from onepage.runs import plan as run_plan
from onepage.runs.fingerprint import Fingerprints, sha256_of
from onepage.tasks import Task

TRAINING = ("all", "runs", "test", "repro")  # goals that train, besides the tasks themselves
LOOKING = ("report", "verify", "reference")  # goals that only read existing runs
PLANNING = ("data", "bundle", "ablate", "bench-gpu")  # goals that need plans of every task, but no run
ALONE = ("data", "ablate", *(f"bench-{kind}" for kind in ("cls", "mt", "gpu", "scale")))  # no other goal about runs
PAGE = {"all", "report", "reference"}  # goals that make the page
# settings that decide a run, repeated in advice
REPEATED = ("PROFILE", "SEED", "SEEDS", "BUDGET_MIN", "RECIPE", "DATA", "SRC", "TGT", "DEVICE", "THREADS", "OUT")
UNTOUCHED = ("TEXT", "FILE")  # any text: commands read them from the environment
PLANS = Path("runs/.plan")  # below OUT: the plan of each task, setting by setting
# flags of make, also in MAKEFLAGS, that could falsify results
REFUSED = {"i": "continues after a failed stage", "t": "marks unfinished stages as done"}
REFUSED |= {"e": "lets variables of the environment replace the Makefile's"}
LINE = "@;@"  # between the lines printed: make's $(shell) turns line breaks into spaces


def key_of(task: Task, values: dict[str, str]) -> str:
    """The name of a task's plan: the settings that decide it."""
    parts = [values[name] for name in ("PROFILE", "DATA", "DEVICE", "THREADS")]
    budget = settings.budget_of(values, task.name)
    parts += [f"budget{budget:g}"] if budget else []
    parts += [values[option.upper()] for option in task.options]
    if values["RECIPE"]:
        parts.append("own" + sha256_of({"recipe": str(Path(values["RECIPE"]).resolve())})[:8])
    return "-".join([task.name, *parts])


class Graph:
    """The settings and goals of one call of make, and what follows from them."""

    def __init__(self, given: dict[str, str], goals: Sequence[str], dry_run: bool):
        self.goals, self.dry_run = goals, dry_run
        if "ablate" in self.goals:
            given = {"PROFILE": "ablation"} | given
        self.values, self.given = settings.resolve(given), given
        self.out = Path(self.values["OUT"])
        self.seeds = self.values["SEEDS"].split()
        self.trains = [goal for goal in self.goals if goal in (*TRAINING, *tasks.TASKS)]
        self.needed = self._needed()
        of_runs = {*TRAINING, *tasks.TASKS, *LOOKING, *PLANNING, *ALONE}.intersection(self.goals)
        for goal in ALONE:
            if goal in of_runs and len(of_runs) > 1:
                other = next(name for name in self.goals if name in of_runs - {goal})
                raise UserError(f"'make {goal}' cannot be combined with 'make {other}'; run one after the other")
        self.fingerprints = Fingerprints(self.out / PLANS / "fingerprints.json")
        if self.values["RECIPE"] and len(self.needed) > 1:
            words = " or ".join(f"make {name} RECIPE=..." for name in tasks.TASKS)
            raise UserError(f"RECIPE={self.values['RECIPE']} is for one task; use {words}")

    def _needed(self) -> list[Task]:
        """The tasks that the goals are about, in the order of the list."""
        goals = set(self.goals)
        if goals & {"runs", "test", "repro", "data", "bundle"}:
            return tasks.every()
        if goals & {*TRAINING, *LOOKING, *PLANNING}:
            return [task for task in tasks.every() if self._joins(task)]
        named = [part for goal in self.goals for part in goal.split("-")]
        first = [tasks.get(next(iter(tasks.TASKS)))] if "bench-scale" in self.goals else []
        return [task for task in tasks.every() if task.name in named] or first

    def _joins(self, task: Task) -> bool:
        """Whether goals about all tasks include this one: it has an ablation, is on the page, or its run is planned."""
        if "ablate" in self.goals:
            return task.has("ablation")
        return task.page or (self.out / PLANS / f"{key_of(task, self.values)}.json").is_file()

    def lines(self) -> list[str]:
        """The lines for make. Raises UserError for settings that cannot be used, and for missing runs."""
        plans = {task: self.out / PLANS / f"{key_of(task, self.values)}.mk" for task in self.needed}
        engine = self.out / PLANS / f"engine-{self.values['PDF_ENGINE']}.mk"
        made = {task: self._plan(task, path) for task, path in plans.items()}
        missing, stale = [path for task, path in plans.items() if made[task] is None], []
        runs = {task: self._runs(task, plan["place"]) for task, plan in made.items() if plan is not None}
        self._date_back(runs, [*plans.values(), engine])
        for task, plan in made.items():
            if plan is not None:
                stale += self._refresh_runs(task, plan, runs[task])
            elif self.dry_run:  # the folders of its runs are not known yet
                runs[task] = self._runs(task, "...")
                stale += [run_plan.path_of(run, stage) for run in runs[task] for stage in ("train", "evaluate")]
        if self._verifies_reference_alone(runs, missing):
            plans, runs, missing, stale = {}, {}, [], []
        elif not self.trains and set(self.goals) & set(LOOKING):
            self._must_be_there(runs, missing)
        sets_page = bool(set(self.goals) & PAGE)
        chosen = engine.read_text(encoding="utf-8").rpartition(":=")[2].strip() if engine.is_file() else ""
        if chosen == "latex" and not any(os.access(f"{folder}/latexmk", os.X_OK) for folder in os.get_exec_path()):
            chosen = ""  # removed in the meantime
            if not self.dry_run:
                engine.unlink()
        stale += self._refresh_outputs(runs, chosen if sets_page and not missing else "")
        if not self.dry_run:
            self.fingerprints.save()
        every = [run for seeds in zip(*runs.values(), strict=False) for run in seeds]
        shown = {task: paths[0] for task, paths in runs.items()}
        included = [] if self.dry_run or "data" in self.goals else [*plans.values(), *([engine] if sets_page else [])]
        unfinished = stamps.unfinished(every) if len(self.seeds) > 1 and self.trains else []
        venv = Path(self.values["VENV"])
        current = installed.is_current(venv)
        variables = {
            "TASKS": " ".join(tasks.TASKS),
            "WORDS": self._words(),
            "PLANS": _join(plans.values()),
            "INCLUDED": _join(included),
            "STALE": _join(stale),
            "RUNS": _join(every),
            "SHOWN": _join(shown.values()),
            "PAGE": _join(run for task, run in shown.items() if task.page),
            "DRAWN": _join(self.out / "figures" / task.name / "figures.json" for task in shown if task.page),
            "UNFINISHED": _join(unfinished),
            "ENGINE_MK": str(engine),
            "ENGINE": chosen or self.values["PDF_ENGINE"],  # make -n may run before it is chosen
            "TRAINS": "yes" if self.trains else "",
            "SEVERAL": "yes" if len(self.seeds) > 1 else "",
            "RENEWS": "" if current else "yes",
            "VPATH": "",  # of the caller's environment: make would look for files there
        }
        variables |= {f"RUN_{task.name}": str(run) for task, run in shown.items()}
        settled = {name: value for name, value in self.values.items() if name not in UNTOUCHED}
        return [
            *(f"override {name} := {_escaped(value)}" for name, value in settled.items()),
            *(f"{name} := {_escaped(value)}" for name, value in variables.items()),
            *(f"{paths[0].parent}/seeds.json: {_join(self._metrics(paths))}" for paths in runs.values()),
            *([f".PHONY: {_join([*stale, *missing])}", f"{_join(stale)}: ;"] if stale else []),
            *([] if current and not installed.is_moved(venv) else [f".PHONY: {venv / installed.STAMP}"]),
            *self._of_the_bundle(),
        ]

    def _runs(self, task: Task, place: str) -> list[Path]:
        """A task's run of each seed, in a folder below runs/<task>/."""
        return [self.out / "runs" / task.name / place / f"seed{seed}" for seed in self.seeds]

    def _of_the_bundle(self) -> list[str]:
        """Settings of pip for packages from a folder that make bundle made."""
        if not self.values["BUNDLE"]:
            return []
        wheels = _escaped(str(Path(self.values["BUNDLE"]).absolute() / "wheels"))
        return ["export PIP_NO_INDEX := 1", f"export PIP_FIND_LINKS := {wheels}"]

    def _metrics(self, runs: Sequence[Path]) -> list[Path]:
        """metrics.json of all existing and planned seeds of a task's recipe."""
        return sorted({*runs[0].parent.glob("seed*/metrics.json"), *(run / "metrics.json" for run in runs)})

    def _words(self) -> str:
        """The settings that planning reads, as NAME=value quoted for the shell."""
        apart = (*UNTOUCHED, "PYTEST", "NAME", "REF", "MODEL", "LOG")
        return settings.words({k: v for k, v in self.values.items() if k not in apart})

    def _plan(self, task: Task, path: Path) -> dict[str, Any] | None:
        """The plan of a task for these settings; None if it must be made, or made again."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            plan: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            same = path.is_file() and plan["inputs"] == inputs(task, self.values, self.fingerprints)
            if same and not may_be_real(plan, task, self.values):
                return plan
        if not self.dry_run and path.is_file():
            path.unlink()  # make makes it again, since it is missing
        return None

    def _date_back(self, runs: dict[Task, list[Path]], more: Sequence[Path]) -> None:
        """See stamps.date_back: of the files that make compares, those that this program wrote."""
        paths = [*more, Path(self.values["VENV"]) / installed.STAMP]
        folders = [(self.out / "report", "render", "report.pdf")]
        for task, seeds in runs.items():
            paths += [run / "model.pt" for run in seeds] + self._metrics(seeds)
            paths += [run_plan.path_of(run, stage) for run in seeds for stage in ("train", "evaluate")]
            folders += [(seeds[0].parent, "seeds", "seeds.json")]
            folders += [(self.out / "figures" / task.name, "draw", "figures.json")]
        paths += [path for folder, stage, name in folders for path in (run_plan.path_of(folder, stage), folder / name)]
        late = stamps.date_back([] if self.dry_run else paths)
        if late:
            others = f" and {len(late) - 1} more" if len(late) > 1 else ""
            print(f"{late[0]}{others}: dated in the future, corrected to now; check the clock", file=sys.stderr)

    def _refresh(self, folder: Path, stage: str, values: dict[str, Any]) -> list[Path]:
        """Rewrite the inputs file of a stage if they have changed; a dry run only prints its path."""
        if not self.dry_run:
            run_plan.write(folder, stage, values)
            return []
        path = run_plan.path_of(folder, stage)
        return [path] if run_plan.changed(path, values) == "all" else []

    def _refresh_runs(self, task: Task, plan: dict[str, Any], runs: Sequence[Path]) -> list[Path]:
        stale = []
        for run, seed in zip(runs, self.seeds, strict=True):
            whole = plan["run"] | {"seed": int(seed), "data_dir": self.values["DATA_DIR"]}
            if self.values["NPROC"] != "1" or self.values["TORCHRUN"].strip():
                whole |= {"processes": int(self.values["NPROC"]), "torchrun": self.values["TORCHRUN"]}
            for stage, values in stamps.of_run(whole, task, self.fingerprints).items():
                stale += self._refresh(run, stage, values)
        return stale

    def _refresh_outputs(self, runs: dict[Task, list[Path]], engine: str) -> list[Path]:
        """The same for what is made of the runs shown: seeds.json, figures and, once its engine is known, the page."""
        stale = []
        if set(self.goals) & {*PAGE, *tasks.TASKS}:
            for task, paths in runs.items():
                seeds = stamps.of_seeds(paths, task, self.fingerprints)
                stale += self._refresh(paths[0].parent, "seeds", seeds)
                drawing, folder = stamps.of_drawing(paths[0], task, self.fingerprints), self.out / "figures" / task.name
                stale += self._refresh(folder, "draw", drawing)
                stale += self._without_pictures(folder)
        if set(self.goals) & PAGE and (engine or self.dry_run):
            shown = [paths[0] for task, paths in runs.items() if task.page]
            page = stamps.of_page(shown, engine, self.values["PAPER"], self.fingerprints)
            stale += self._refresh(self.out / "report", "render", page)
        return stale

    def _without_pictures(self, folder: Path) -> list[Path]:
        """Remove figures.json if a picture that it names is missing; a dry run returns what is stale."""
        manifest, names = folder / "figures.json", []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            names = [row["name"] for row in json.loads(manifest.read_text(encoding="utf-8"))["figures"]]
        if all((folder / f"{name}.{kind}").is_file() for name in names for kind in ("png", "pdf")):
            return []
        if self.dry_run:
            return [run_plan.path_of(folder, "draw")]
        manifest.unlink()
        return []

    def _verifies_reference_alone(self, runs: dict[Task, list[Path]], missing: Sequence[Path]) -> bool:
        """Whether this is ``make verify REF=...`` without any runs: then it verifies the reference result itself.

        Raises UserError if there are only runs of other settings, whose scores a user could expect to see.
        """
        evaluated = any((paths[0] / "metrics.json").is_file() for paths in runs.values())
        if list(self.goals) != ["verify"] or not self.values["REF"] or (evaluated and not missing):
            return False
        if other := next(self.out.glob("runs/*/*/*/seed*/metrics.json"), None):
            raise UserError(
                f"no run is up to date with these settings, but there is {other.parent}: repeat the settings of your "
                "runs (after one task alone, first run make data), or verify the reference itself with OUT=EMPTY_FOLDER"
            )
        return True

    def _must_be_there(self, runs: dict[Task, list[Path]], missing: Sequence[Path]) -> None:
        """Raise UserError if a goal that trains nothing has no run to read."""
        given = settings.words({name: self.given[name] for name in REPEATED if name in self.given})
        again = f"make all {given}".strip()
        if missing:
            raise UserError(f"no run is up to date with these settings; run: {again}")
        if set(self.goals) & PAGE:
            shown = [run for task, paths in runs.items() for run in paths if task.page]
            absent = [run for run in shown if not (run / "metrics.json").is_file()]
            if absent:
                raise UserError(f"not finished: {_join(absent)}; run: {again}")


def inputs(task: Task, values: dict[str, str], fingerprints: Fingerprints) -> str:
    """A digest of what planning a task reads besides its settings: recipes, the code that plans, the environment."""
    digest = stamps.program("plan", task.name, fingerprints)
    own = Path(values["RECIPE"]) if values["RECIPE"] else None
    content = own.read_bytes().decode("utf-8", "replace") if own is not None and own.is_file() else ""
    stamp = installed.read(Path(values["VENV"]))
    packages = {key: stamp.get(key) for key in ("python", "torch_version", "locks")}
    return sha256_of({"program": digest, "recipe": content, "packages": packages})


def sources(task: Task, values: dict[str, str]) -> list[str]:
    """Possible sources of a task's real set that are known without the network: files, and the mirror."""
    mirror, found = values["DATA_MIRROR"], []
    for place in [Path(values["DATA_DIR"]) / task.real_set, *([Path(mirror)] if mirror else [])]:
        with contextlib.suppress(OSError):
            found += [str(path) for path in place.iterdir() if not path.name.startswith(".")]
    return sorted([*found, *([mirror] if mirror else [])])


def may_be_real(plan: dict[str, Any], task: Task, values: dict[str, str]) -> bool:
    """Whether a plan fell back to generated data, and a source that may have the real set was added later."""
    fell_back = values["DATA"] == "auto" and plan["run"].get("generated", False)
    return fell_back and not {*sources(task, values)} <= {*plan.get("asked", [])}


def _escaped(value: str) -> str:
    """A value escaped for make: dollars doubled, no comment, no leading spaces, not joined to the next line."""
    text = re.sub(r"(\\*)#", r"\1\1\\#", re.sub(r"[\r\n]+", " ", value).replace("$", "$$"))
    return text + "$()" if text.endswith("\\") else text


def _join(paths: Iterable[Path]) -> str:
    return " ".join(str(path) for path in paths)


def main(arguments: Sequence[str]) -> None:
    """Print the lines for make; on an error, one line with which make stops.

    ``arguments``: the goals in one word, or --help; --flags=, the one-letter flags of make; --inherited=, the names of
    settings from the environment; --others=, those of other variables on the command line; NAME=value of each given
    setting.
    """
    goals, *words = arguments
    options = dict(word.split("=", 1) for word in words if word.startswith("--"))
    flags, inherited = options.get("--flags", ""), options.get("--inherited", "").split()
    try:
        if goals == "--help":
            print(settings.help_text(Path("Makefile").read_text(encoding="utf-8")))
            return
        if ":" in str(Path.cwd()):
            raise UserError(f"{Path.cwd()} has a colon in its name, which PYTHONPATH does not allow; move this folder")
        for flag, what in REFUSED.items():
            if flag in flags:
                raise UserError(f"make -{flag} {what}; leave it out, also in MAKEFLAGS")
        settings.check_spelling(options.get("--others", "").split())
        given = settings.parse(word for word in words if not word.startswith("--"))
        said = settings.from_environment(given, inherited)
        if said:
            print(said, file=sys.stderr)
        lines = Graph(given, goals.split(), bool({"n", "q"} & {*flags})).lines()
    except (UserError, OSError) as error:
        named = ", ".join(name for name in inherited if f"{name}=" in str(error))
        origin = f" ({named}: from the environment)" if named else ""
        text = one_line(str(error) + origin)
        lines = [f"PROBLEM := {_escaped(text)}", "$(error $(PROBLEM))"]  # a bracket in the text must not end the call
    sys.stdout.buffer.write(os.fsencode(LINE.join(lines) + "\n"))  # the bytes of make's own values, unchanged
