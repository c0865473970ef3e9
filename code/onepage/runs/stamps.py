"""Stamps: files whose content is a digest of what a stage reads, rewritten only when that changes.

A fresh clone scrambles modification times, so what decides whether a stage runs again is content. Make runs this once
at its start (standard library alone, tens of milliseconds); each stage's target depends on its stamp. The table says
what each stage reads besides the output of the stage before it. What only shows progress or records provenance is left
out: it cannot change a number, and touching it must not retrain anything.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parents[1]

# What each stage reads, as patterns below code/onepage/ (or below the repository, with a leading slash).
SHARED = ["training/seeding.py", "training/schedules.py", "training/averaging.py", "training/weights.py"]
SHARED += ["training/recipe.py", "training/muon.py", "training/distributed.py"]
DRAWN = ["/figures/onepage.mplstyle", "/figures/fonts/*.ttf", "/env/requirements.txt", "runs/lineage.py"]
DRAWN += [f"figures/{name}.py" for name in ("style", "sheet", "text", "curves")]
STAGES: dict[str, list[str]] = {
    "train-cls": [
        *[*SHARED, "data/images.py"],
        *[f"cls/{name}.py" for name in ("convolution", "resnet", "augment", "recipe", "train")],
    ],
    "train-mt": [
        *SHARED,
        "data/translation.py",
        *[f"mt/{name}.py" for name in ("tokenizer", "bpe_dropout", "batching")],
        *[f"mt/{name}.py" for name in ("transformer", "losses", "output_loss", "recipe", "train")],
    ],
    "evaluate-cls": ["/env/requirements.txt", "cls/evaluate.py", "cls/scores.py", "cls/tta.py", "cls/gradcam.py"],
    "evaluate-mt": [
        "/env/requirements.txt",
        *[f"mt/{name}.py" for name in ("evaluate", "decoding", "scores", "explain", "rows", "search", "incremental")],
    ],
    "seeds": ["runs/seeds.py"],
    "draw-cls": [
        *[*DRAWN, "training/schedules.py"],
        "cls/draw.py",
        *[f"cls/figures/{name}.py" for name in ("confusion", "gradcam", "reliability")],
    ],
    "draw-mt": [
        *[*DRAWN, "mt/rows.py"],
        "mt/draw.py",
        *[f"mt/figures/{name}.py" for name in ("bleu", "forest", "decodes", "attention", "masks")],
    ],
    "render": [
        *["report/*.py", "verification/claims.py", "runs/lineage.py", "runs/seeds.py"],
        *["/report/templates/*", "/report/*.toml"],
        *["/figures/fonts/*.ttf", "/figures/fonts/onepage*", "/env/requirements.txt"],
    ],
}
# Tables of a recipe that evaluation reads and training does not: another beam decodes anew, and trains nothing.
EVALUATION = ("decoding",)
# What `make ablate` writes, below the folder of a task's data set: runs/<task>/<set>/
ABLATION = Path("ablation/ablation.json")
# Imported by training or evaluation without deciding any number; a test holds this list against the imports.
WITHOUT_EFFECT = {
    "__init__.py",
    "runs/__init__.py",
    "terminal/__init__.py",
    "cls/figures/__init__.py",
    "mt/figures/__init__.py",
    "errors.py",
    "files.py",
    "runs/stamps.py",
    "cls/__init__.py",
    "mt/__init__.py",
    "data/__init__.py",
    "training/__init__.py",
    "verification/__init__.py",
    "figures/__init__.py",
    "report/__init__.py",
    "training/checkpoint.py",
    "training/energy.py",
    "runs/history.py",
    "terminal/progress.py",
    "runs/provenance.py",
    "training/session.py",
    "data/ready.py",  # the data digest, which the plan carries, says what was loaded
    "data/sources.py",
}


def files_of(stage: str) -> list[Path]:
    """The files a stage reads, sorted."""
    found: set[Path] = set()
    for pattern in STAGES[stage]:
        root, local = (REPOSITORY, pattern[1:]) if pattern.startswith("/") else (PACKAGE, pattern)
        found.update(path for path in root.glob(local) if path.is_file())
    return sorted(found)


def digest_files(paths: list[Path]) -> str:
    """SHA-256 over names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def other_directions(profile: Path) -> dict[str, str]:
    """The runs of the same profile in other folders of the task, which the page tables: place to content's SHA-256."""
    paths = sorted(profile.parents[1].glob(f"*/{profile.name}/seed*/metrics.json"))
    return {
        "/".join(path.parts[-4:-1]): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.parents[2] != profile.parent
    }


def ablation(profile: Path) -> str:
    """SHA-256 of what `make ablate` found of the run's task and data, which the page shows; "" where there is none."""
    path = profile.parent / ABLATION
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def refresh(target: Path, values: dict[str, Any]) -> None:
    """Write ``values`` to ``target`` if it does not hold them already."""
    text = json.dumps(values, indent=1, sort_keys=True) + "\n"
    try:
        if target.read_text(encoding="utf-8") == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)


def main(arguments: list[str]) -> int:
    """Refresh the stamps of the plans given; one line and exit 1 when a plan cannot be read."""
    parser = argparse.ArgumentParser(description="Refresh the stamps that decide which stage runs.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plan", type=Path, action="append", default=[], help="plan of a task (its .mk or .json)")
    parser.add_argument("--seed", action="append", help="a seed to train, or several; the first is shown (default: 0)")
    parser.add_argument("--draws", action="store_true", help="the goals draw: refresh the stamps of pictures too")
    parser.add_argument("--engine", default="", help="the goals make the page, with this engine")
    parser.add_argument("--paper", default="", help="of the page")
    parser.add_argument("--processes", type=int, default=1, help="processes of a training on each machine")
    parser.add_argument("--torchrun", default="", help="options of torchrun; of these the number of nodes counts")
    given = parser.parse_args(arguments)
    runs, seeds, directions, ablations = {}, given.seed or ["0"], {}, {}
    for path in given.plan:
        try:
            plan = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            path_of_recipe = REPOSITORY / plan["recipe"]  # an absolute path stays as it is
            recipe = tomllib.loads(path_of_recipe.read_text(encoding="utf-8"))
            later = {name: recipe.pop(name) for name in EVALUATION if name in recipe}
            task = plan["task"]
            beside = given.out / "runs" / task / plan["folder"] / plan["profile"]
            run = beside / f"seed{seeds[0]}"
            runs[task] = str(run)
            ablations[task] = ablation(beside)
            if task == "mt" and given.engine:
                directions = other_directions(beside)
            decided = {
                key: plan[key] for key in ("set", "src", "tgt", "device", "auto_precision", "threads", "data_digest")
            }
            decided |= {"versions": plan["versions"], "recipe": recipe}
            decided["program"] = digest_files(files_of(f"train-{task}"))
            nodes = re.search(r"--nnodes[= ]([\d:]+)", given.torchrun)
            if given.processes > 1 or nodes:
                decided["processes"] = [given.processes, nodes[1] if nodes else "1"]
            evaluates = {"program": digest_files(files_of(f"evaluate-{task}")), **later}
            for seed in seeds:
                refresh(beside / f"seed{seed}" / ".stamp" / "train", {**decided, "seed": seed})
                refresh(beside / f"seed{seed}" / ".stamp" / "evaluate", evaluates)
            if given.draws:
                figures = {"program": digest_files(files_of(f"draw-{task}")), "run": str(run)}
                refresh(given.out / "figures" / task / ".stamp", figures)
                there = {path.parent.name for path in beside.glob("seed*/metrics.json")} | {run.name}
                several = {"program": digest_files(files_of("seeds")), "shown": run.name, "there": sorted(there)}
                refresh(beside / ".stamp" / "seeds", several)
        except (OSError, ValueError, KeyError) as error:
            print(f"{path} cannot be used ({error!r}); delete it and run make again", file=sys.stderr)
            return 1
    if len(runs) == 2 and given.engine:
        page = {"program": digest_files(files_of("render")), "runs": runs, "engine": given.engine}
        page |= {"paper": given.paper, "directions": directions, "ablations": ablations}
        refresh(given.out / "report" / ".stamp", page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
