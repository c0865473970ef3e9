"""The commands behind the make targets: plan, train, evaluate, draw, render. Their order is in the Makefile."""

import contextlib
import os
from pathlib import Path

import click

from onepage.errors import UserError
from onepage.terminal.options import (
    PATH,
    begins,
    out_option,
    own_gpu_option,
    run_argument,
    runs_argument,
    settings_argument,
)

ENGINES = click.Choice(["auto", "latex", "typst"])


@click.command()
@click.argument("task")
@settings_argument
@click.option("--again", is_flag=True, help="Fetch and decide again, whatever was decided before.")
def plan(task: str, words: tuple[str, ...], again: bool) -> None:
    """Fetch and verify the data of TASK, or generate its stand-in, and decide what its runs will be.

    SETTING is NAME=value, as for make (see make help). Data come from the data folder, then the mirror, then the public
    sources. Writes the plan, and plan/train.json and plan/evaluate.json in the folder of each run.
    """
    from onepage.planning.decide import decide
    from onepage.runs import graph, settings

    values = settings.resolve(settings.parse(words))
    made = decide(task, values, again=again, say=click.echo, begins=lambda: begins("Data", task))
    graph.Graph(settings.parse(words), ["plan", task], dry_run=False).lines()  # writes the plans of the runs
    run = made["run"]
    what = f"{run['profile']} on {run['set']}" + (" (generated stand-in data)" if run["generated"] else "")
    click.echo(f"{task:<4} plan: {what}, {run['device']}, {run['precision']}, {run['threads']} threads")


@click.command()
@run_argument
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    envvar="ONEPAGE_SAVE_EVERY",
    show_envvar=True,
    help="Seconds between checkpoints; one is also saved after an epoch of more than a few seconds.",
)
@own_gpu_option
def train(run: Path, save_every: float, own_gpu: bool) -> None:
    """Train RUN, a planned run folder, to RUN/model.pt; resumes from a checkpoint if there is one.

    After Ctrl-C or SIGTERM it saves and stops; the same command resumes, to the same result. If the plan says so,
    several processes share each batch, as with `torchrun ... -m onepage train RUN`.
    """
    from onepage import data, tasks
    from onepage.runs import plan as run_plan
    from onepage.training import distributed, launch, locking, session
    from onepage.training.recipe import from_values

    session.SAVE_EVERY_SECONDS = save_every
    planned = run_plan.read(run)
    task, device, program = tasks.get(planned["task"]), planned["device"], planned.get("program", "")
    recipe = from_values(task.module("recipe").Recipe, planned["recipe"], str(run_plan.path_of(run, "train")))
    identity = run_plan.identity(planned)
    processes, torchrun = planned.get("processes", 1), planned.get("torchrun", "")
    joined = launch.launched()
    if (processes > 1 or torchrun.strip()) and not joined:
        world = launch.world(processes, torchrun)
        if session.Session(run, recipe, identity, program, world=world).finished():
            return
        begins("Training", task.name)
        words = ["train", str(run), "--save-every", str(save_every)]
        with locking.cpu_training_lock(device, click.echo):
            launch.launch(run, processes, torchrun, recipe.threads, words)
        return
    # a launcher has printed the heading, and holds the lock for all its processes
    if not joined:
        begins("Training", task.name)
    lock = contextlib.nullcontext() if joined else locking.cpu_training_lock(device, click.echo)
    if own_gpu:
        lock = locking.own_gpu(device, click.echo)
    with lock, distributed.join(device) as ranks:
        task.module("train").train(recipe, data.of_plan(planned), run, identity, program, ranks)


@click.command()
@run_argument
@own_gpu_option
def evaluate(run: Path, own_gpu: bool) -> None:
    """Score RUN/model.pt on the test data: metrics.json, predictions.npz, explain.npz."""
    from onepage import data, tasks
    from onepage.files import read_json
    from onepage.runs import plan as run_plan
    from onepage.training import checkpoint, locking

    trained = read_json(run / "run.json")
    planned = run_plan.read(run, "evaluate")
    task = tasks.get(trained["task"])
    if own_gpu:
        click.get_current_context().with_resource(locking.own_gpu(trained["device"], click.echo))
    begins("Evaluation", task.name)
    if (run / "model.pt").exists():  # written last: training has finished, and its other files can go
        checkpoint.remove_all(run)
    trained |= {"data_dir": planned["data_dir"]}
    loaded = data.of_plan(trained, "the training run", "restore it, or move the run away")
    task.module("evaluate").evaluate(loaded, run, planned, click.echo)


@click.command()
@run_argument
@click.option("--figures", type=PATH, required=True, help="Folder for the pictures.")
def draw(run: Path, figures: Path) -> None:
    """Draw the figures of an evaluated RUN as PNG and PDF, and write explore.json, the data of report.html.

    Needs neither model nor data set.
    """
    from onepage import tasks
    from onepage.figures import explore
    from onepage.files import read_json, remove_temporaries

    task = tasks.get(read_json(run / "metrics.json")["task"])
    begins("Pictures", task.name)
    if task.has("explore"):
        explore.write(run, figures, task.module("explore").parts(run))
    manifest = figures / "figures.json"
    before = manifest.stat() if manifest.is_file() else None
    task.module("draw").draw(run, figures)
    if not manifest.is_file() or (before and os.path.samestat(before, manifest.stat())):
        raise UserError(f"the drawing did not write {manifest}; code/onepage/{task.name}/draw.py must close its Book")
    remove_temporaries(figures)
    click.echo(f"{task.name:<4} figures in {figures}/")


@click.command()
@runs_argument
@out_option
@click.option("--engine", type=ENGINES, default="auto", show_default=True, help="auto: LaTeX if installed, else typst.")
@click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True)
def render(runs: tuple[Path, ...], out: Path, engine: str, paper: str) -> None:
    """Write the page of evaluated, drawn runs, one of each task: report.md, report.html and report.pdf."""
    from onepage.files import remove_temporaries
    from onepage.report.pdf import resolve_engine
    from onepage.report.render import render as render_page
    from onepage.report.render import set_by

    chosen = resolve_engine(engine)
    page = render_page(out, runs, chosen, paper)
    remove_temporaries(out / "report")
    begins("Page")
    click.echo(f"page {page} ({set_by(chosen, paper)}), {page.with_suffix('.md')}, {page.with_suffix('.html')}")


@click.command()
@click.option("--wanted", type=ENGINES, default="auto", show_default=True)
@click.option("--write", "target", type=PATH, required=True, help="Makefile fragment to write.")
def engine(wanted: str, target: Path) -> None:
    """Choose the PDF engine, LaTeX or typst, and print it; fails if neither is installed."""
    from onepage.files import write_text
    from onepage.report.pdf import resolve_engine

    chosen = resolve_engine(wanted)
    write_text(target, f"ENGINE := {chosen}\n")
    typst = "typst" if wanted == "typst" else "typst (no LaTeX here)"
    click.echo(f"page will be made by {'LaTeX' if chosen == 'latex' else typst}")


@click.command()
@run_argument
@out_option
def ablate(run: Path, out: Path) -> None:
    """Train the task of RUN unchanged, and with one part changed at a time; score each on the validation split."""
    from onepage import data, tasks
    from onepage.planning import ablation
    from onepage.runs import plan as run_plan

    planned = run_plan.read(run)
    task = tasks.get(planned["task"])
    begins("Ablation", task.name)
    loaded, settings = data.of_plan(planned), run_plan.read(run, "evaluate")
    click.echo(f"{task.name:<4} {ablation.measure(planned, loaded, out, settings, click.echo)}")


COMMANDS = (plan, train, evaluate, draw, render, engine, ablate)
