"""The command line behind the make targets: one command a stage, files in, files out. Make alone knows the order."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from onepage.cls.command import classify
from onepage.commands.bench import bench
from onepage.commands.bundle import pack
from onepage.commands.check import digest, provenance, reference, verify
from onepage.commands.program import Program
from onepage.errors import UserError
from onepage.mt.command import translate
from onepage.terminal.options import begins, data_dir_option, out_option, own_gpu_option

TASK = click.Choice(["cls", "mt"])
# torch takes a second to import: each command imports what it needs, so that --help and the drawing stages stay quick


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Two architectures from primitives, trained from a seed and reported on one page.

    Each command is one stage: it reads files and writes files, the last of them when all is complete. `make help`
    lists the targets that run them in order.
    """


def same_data(here: str, expected: str, role: str, remedy: str) -> None:
    """Raise UserError when the data on disk is not what the run was planned for or trained on."""
    if here != expected:
        raise UserError(f"the data (digest {here[:12]}) is not what was {role} (digest {expected[:12]}); {remedy}")


@main.command()
@click.argument("task", type=TASK)
@click.option("--plan", "target", type=click.Path(path_type=Path), required=True, help="Makefile fragment to write.")
@data_dir_option
@click.option("--data", default="auto", show_default=True, help="auto, real or generated.")
@click.option("--mirror", default="", help="Folder or URL prefix to take the data from first (DATA_MIRROR).")
@click.option("--src", default="en", show_default=True, help="Source language: en, de or fr.")
@click.option("--tgt", default="de", show_default=True, help="Target language: en, de or fr.")
@click.option(
    "--profile", default="auto", show_default=True, help="quick, full, long, smoke; auto: full on a GPU, else quick."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", default=0, help="CPU threads; 0 takes the recipe's.")
@click.option("--recipe", "recipe_file", default="", help="A recipe of your own instead of the profile's (RECIPE).")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, max=100_000),
    default=0.0,
    help="Minutes of training to lay the recipe out for, from a rate measured once; 0 for as long as it says.",
)
@click.option("--keep", is_flag=True, help="Stay with the kind of data, real or generated, of a plan that is there.")
def data(task: str, target: Path, **settings: Any) -> None:
    """Fetch and verify the data of TASK, or generate its stand-in, and decide what the run will be.

    Takes what is in the data folder, then the mirror, then the public sources. Writes the plan: data set, profile,
    device, precision, threads.
    """
    from onepage.planning import plan

    made = plan.decide(task, target, **settings, say=click.echo, begins=lambda: begins("Data", task))
    what = f"{made['profile']} on {made['set']}" + (" (generated stand-in data)" if made["generated"] else "")
    _, block = plan.settings_of(made, 0)
    click.echo(f"{task:<4} plan: {what}, {block['device']}, {block['precision']}, {block['threads']} threads")


@main.command()
@click.argument("task", type=TASK)
@click.option("--plan", "target", type=click.Path(path_type=Path), required=True, help="Plan written by `data`.")
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Run folder to train into.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights, order and augmentation.")
@data_dir_option
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    envvar="ONEPAGE_SAVE_EVERY",
    show_envvar=True,
    help="Seconds between checkpoints; the ends of epochs are saved besides.",
)
@click.option(
    "--processes", type=click.IntRange(1, 1024), default=1, show_default=True, help="On this machine, by torchrun."
)
@click.option("--torchrun", default="", help="Options of torchrun, as one text: several nodes, restarts.")
@own_gpu_option
def train(
    task: str,
    target: Path,
    run: Path,
    seed: int,
    data_dir: Path,
    save_every: float,
    processes: int,
    torchrun: str,
    own_gpu: bool,
) -> None:
    """Train TASK as its plan says, to RUN/model.pt; goes on from a checkpoint where there is one.

    Interrupt it with Ctrl-C or SIGTERM: it saves and stops, and the same command goes on to the same result. With
    --processes or --torchrun several processes share each batch; `torchrun ... -m onepage train ...` does so too.
    """
    from onepage.planning import plan
    from onepage.runs import stamps
    from onepage.training import distributed, launch, locking, session

    session.SAVE_EVERY_SECONDS = save_every
    made = plan.read(target)
    settings, block = plan.settings_of(made, seed)
    program = stamps.digest_files(stamps.files_of(f"train-{task}"))
    joined = distributed.in_job()
    if (processes > 1 or torchrun.strip()) and not joined:
        world = launch.world(processes, torchrun)
        if session.Session(run, settings, block, program, world=world).finished():
            return
        begins("Training", task)
        words = ["train", task, "--plan", str(target), "--run", str(run), "--seed", str(seed)]
        words += ["--data-dir", str(data_dir), "--save-every", str(save_every)]
        with locking.cpu_training_lock(made["device"], click.echo):
            launch.launch(run, processes, torchrun, settings.threads, words)
        return
    # what started several processes has said the heading, and holds the lock, for all
    if not joined:
        begins("Training", task)
    lock = contextlib.nullcontext() if joined else locking.cpu_training_lock(made["device"], click.echo)
    if own_gpu:
        lock = locking.own_gpu(made["device"], click.echo)
    with lock, distributed.join(made["device"]) as ranks:
        if task == "cls":
            from onepage.cls.train import train as train_cls
            from onepage.data.images import load_images

            images = load_images(data_dir, made["set"])
            same_data(images.digest, made["data_digest"], "planned", f"delete {target} and run make again")
            train_cls(settings, images, run, block, program, ranks)
        else:
            from onepage.data.translation import load_translation
            from onepage.mt.train import train as train_mt

            pairs = load_translation(data_dir, made["set"], made["src"], made["tgt"])
            same_data(pairs.digest, made["data_digest"], "planned", f"delete {target} and run make again")
            train_mt(settings, pairs, run, block, program, ranks)


@main.command()
@click.argument("task", type=TASK)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Trained run folder.")
@click.option("--plan", "target", type=click.Path(path_type=Path), help="With mt: its recipe says how to decode.")
@data_dir_option
@own_gpu_option
def evaluate(task: str, run: Path, target: Path | None, data_dir: Path, own_gpu: bool) -> None:
    """Score RUN/model.pt on the test data: metrics.json, predictions.npz, explain.npz."""
    from onepage.files import read_json
    from onepage.training import checkpoint, locking

    block = read_json(run / "run.json")
    if own_gpu:
        click.get_current_context().with_resource(locking.own_gpu(block["device"], click.echo))
    begins("Evaluation", task)
    if (run / "model.pt").exists():  # written last: what else training left there is of no more use
        checkpoint.remove_all(run)
    if task == "cls":
        from onepage.cls.evaluate import evaluate as evaluate_cls
        from onepage.data.images import load_images

        images = load_images(data_dir, block["set"])
        same_data(images.digest, block["data_digest"], "trained on", "put that data back, or move the run away")
        evaluate_cls(images, run, click.echo)
    else:
        from onepage.data.translation import load_translation
        from onepage.mt.evaluate import evaluate as evaluate_mt
        from onepage.planning import plan

        if target is None:
            raise click.UsageError("evaluate mt needs --plan: its recipe says how to decode")
        pairs = load_translation(data_dir, block["set"], block["src"], block["tgt"])
        same_data(pairs.digest, block["data_digest"], "trained on", "put that data back, or move the run away")
        evaluate_mt(pairs, run, plan.decoding(plan.read(target)), click.echo)


@main.command()
@click.argument("task", type=TASK)
@click.option("--plan", "target", type=click.Path(path_type=Path), required=True, help="Plan written by `data`.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights, order and augmentation.")
@data_dir_option
@out_option
def ablate(task: str, target: Path, seed: int, data_dir: Path, out: Path) -> None:
    """Train TASK whole and with one part changed, as its plan says, and score each on the validation split."""
    from onepage.planning import ablation, budget, plan

    made = plan.read(target)
    begins("Ablation", task)
    data = budget.load_data(task, data_dir, made["set"], made["src"], made["tgt"])
    same_data(data.digest, made["data_digest"], "planned", f"delete {target} and run make again")
    click.echo(f"{task:<4} {ablation.measure(task, made, data, out, seed, click.echo)}")


@main.command()
@click.argument("task", type=TASK)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Evaluated run folder whose page is made.")
def seeds(task: str, run: Path) -> None:
    """Write seeds.json beside RUN: scores and curves of each seed of its recipe that lies there, mean, sd and n.

    What lies there with another recipe, data, code or machine settings is left out, and named.
    """
    from onepage.files import read_json
    from onepage.runs import seeds as several

    content, left_out = several.write(run)
    if len(content["seeds"]) > 1:
        click.echo(f"{task:<4} {several.words(content, read_json(run / 'metrics.json'))}")
    if left_out:
        click.echo(f"{task:<4} not among the seeds: {', '.join(left_out)}")


@main.command()
@click.argument("task", type=TASK)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Evaluated run folder.")
@click.option("--figures", type=click.Path(path_type=Path), required=True, help="Folder for the pictures.")
def draw(task: str, run: Path, figures: Path) -> None:
    """Draw the figures of an evaluated RUN as PNG and PDF; needs neither model nor data set."""
    import importlib

    from onepage.files import remove_temporaries

    begins("Pictures", task)
    importlib.import_module(f"onepage.{task}.draw").draw(run, figures)
    remove_temporaries(figures)
    click.echo(f"{task:<4} figures in {figures}/")


@main.command()
@out_option
@click.option("--cls-run", type=click.Path(path_type=Path), required=True)
@click.option("--mt-run", type=click.Path(path_type=Path), required=True)
@click.option("--engine", default="auto", show_default=True, help="latex, typst; auto: LaTeX where it is, else typst.")
@click.option("--paper", default="a4", show_default=True, help="a4 or letter.")
def render(out: Path, cls_run: Path, mt_run: Path, engine: str, paper: str) -> None:
    """Write the page of two evaluated, drawn runs: report.md and report.pdf."""
    from onepage.files import remove_temporaries
    from onepage.report.pdf import resolve_engine
    from onepage.report.render import render as render_page
    from onepage.report.render import set_by

    chosen = resolve_engine(engine)
    page = render_page(out, cls_run, mt_run, chosen, paper)
    remove_temporaries(out / "report")
    begins("Page")
    click.echo(f"page {page} ({set_by(chosen, paper)}), {page.with_suffix('.md')}")


@main.command()
@click.option("--run", type=click.Path(path_type=Path), help="Evaluated run folder. [of each task, the last evaluated]")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Folder to write into. [OUT/export]")
@out_option
def export(run: Path | None, folder: Path | None, out: Path) -> None:
    """Write the weights of evaluated runs for use without this program, to TO/cls and TO/mt.

    weights.pt holds plain tensors by name, tokenizer.model the pieces of the Transformer, and model.json what one must
    know to use them.
    """
    from onepage.commands.export import export as export_run
    from onepage.files import read_json
    from onepage.runs import lookup as trained

    chosen = {str(read_json(run / "run.json").get("task")): run} if run else trained.last_evaluated(out)
    for task, which in chosen.items():
        target = (folder or out / "export") / task
        export_run(which, task, target)
        click.echo(f"{task:<4} {which} in {target}")


@main.command()
@click.option("--wanted", default="auto", show_default=True, help="auto, latex or typst.")
@click.option("--write", "target", type=click.Path(path_type=Path), required=True, help="Makefile fragment to write.")
def engine(wanted: str, target: Path) -> None:
    """Decide what makes the PDF, LaTeX or typst, and say so; fails if neither is there."""
    from onepage.files import write_text
    from onepage.report.pdf import resolve_engine

    chosen = resolve_engine(wanted)
    write_text(target, f"ENGINE := {chosen}\n")
    click.echo("page will be made by " + {"latex": "LaTeX", "typst": "typst (no LaTeX here)"}.get(chosen, chosen))


@main.command()
@out_option
@data_dir_option
@click.option("--mirror", default="")
@click.option("--device", default="auto")
@click.option("--pdf-engine", default="auto")
@click.option("--src", default="en")
@click.option("--tgt", default="de")
def doctor(out: Path, data_dir: Path, mirror: str, device: str, pdf_engine: str, src: str, tgt: str) -> None:
    """Check this machine: Python, torch, cores, arithmetic, memory, disk, TeX, data sources; ok, or its remedy."""
    from onepage.commands.doctor import run

    sys.exit(run(data_dir, out, mirror or None, device, pdf_engine, src, tgt))


for command in (bench, pack, translate, classify, digest, verify, provenance, reference):
    main.add_command(command)
