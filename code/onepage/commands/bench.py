"""``python -m onepage bench``: the commands behind `make bench-cls`, `bench-mt`, `bench-gpu` and `bench-scale`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from onepage.terminal.options import PATH, out_option, run_argument, runs_argument


@click.group()
def bench() -> None:
    """Compare this program with others on this machine.

    RUN is a planned run folder. Leave the machine idle meanwhile: other programs lower the rates and make the ratios
    unreliable. If the load average is high, each command first waits up to two minutes for it to fall. It writes
    OUT/report/bench/KIND-HARDWARE.json, with every repeat, and prints its table. If it is stopped, it writes nothing.
    """


def keep(kind: str, measure: Callable[[], dict[str, Any]], out: Path) -> None:
    """Measure, write the JSON, and print the table."""
    from onepage.benchmarks import results, tables

    result = measure()
    path = results.write(out, kind, result)  # first: a console that is gone must not cost the result
    click.echo(tables.MARKDOWN[kind](result).replace("**", ""))
    click.echo(f"result in {path}")


@bench.command("cls")
@run_argument
@out_option
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Minutes of training for the plain loop; it stops earlier at 80 %.",
)
@click.option("--run", "finished", type=PATH, help="Finished run that our time to 80 % is read from.")
def bench_cls(run: Path, out: Path, minutes: float, finished: Path | None) -> None:
    """Train ResNet-18 with a plain loop, as in a tutorial, and with ours: rates, memory, time to 80 %."""
    from onepage.benchmarks import cls, ours

    keep("cls", lambda: cls.run(ours.plan(run, "cls"), out, minutes, finished), out)


@bench.command("mt")
@run_argument
@out_option
@click.option("--run", "trained", type=PATH, help="Run whose model translates, if not RUN.")
def bench_mt(run: Path, out: Path, trained: Path | None) -> None:
    """Translate with our search, with and without its cache, JoeyNMT and CTranslate2; train with a plain loop and ours.

    JoeyNMT and CTranslate2 are installed by `make setup-compare`.
    """
    from onepage.benchmarks import mt, ours

    keep("mt", lambda: mt.run(ours.plan(run, "mt"), trained or run, out), out)


@bench.command("gpu")
@runs_argument
@out_option
def bench_gpu(runs: tuple[Path, ...], out: Path) -> None:
    """Measure an update of each task's recipe: time, kernels, share of the peak; on a GPU, the cost of determinism.

    On a CPU, the rows about CUDA graphs and the time to 94 % are missing.
    """
    from onepage.benchmarks import gpu, ours
    from onepage.runs import plan

    tasks = [(str(plan.read(run)["task"]), run) for run in runs]
    plans = {task: ours.plan(run, task) for task, run in tasks if task in gpu.UNITS}
    keep("gpu", lambda: gpu.run(plans, out), out)


@bench.command("scale")
@run_argument
@out_option
def bench_scale(run: Path, out: Path) -> None:
    """Train ResNet-18 with 1, 2, 4 ... processes: rate, parallel efficiency, share of the gradient exchange."""
    from onepage.benchmarks import ours, scale

    keep("scale", lambda: scale.run(ours.plan(run, "cls"), out), out)


COMMANDS = (bench,)
