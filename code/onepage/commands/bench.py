"""``python -m onepage bench``: the commands behind `make bench-cls`, `bench-mt` and `bench-scale`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from onepage.terminal.options import data_dir_option, out_option

run_argument = click.argument("run", type=click.Path(path_type=Path))
seed_option = click.option("--seed", default=0, show_default=True, help="Seed of weights, order and augmentation.")
document_option = click.option(
    "--readme", "--document", "document", type=click.Path(path_type=Path, exists=True), help="Document with its table."
)


@click.group()
def bench() -> None:
    """Measure this program beside a plain one, on this machine.

    Leave the machine alone meanwhile: whatever else runs makes the figures low and the ratios unsafe. Each command
    writes OUT/report/bench/KIND-HARDWARE.json, with every repeat, and the table of --document. If it is stopped, it
    writes nothing.
    """


def keep(kind: str, measure: Callable[[], dict[str, Any]], out: Path, document: Path | None) -> None:
    """Measure, write the JSON and, from all results of its kind, the table between the marks of ``document``."""
    from onepage.benchmarks import results, tables

    if document is not None:
        results.section_of(document, kind)
    result, show = measure(), tables.MARKDOWN[kind]
    click.echo(show(result).replace("**", ""))
    path = results.write(out, results.name_of(kind, result), result)
    if document is not None:
        results.put_section(document, kind, results.section(results.read_all(out, kind), show, kind))
    click.echo(f"result in {path}" + (f", table in {document}" if document is not None else ""))


@bench.command("cls")
@run_argument
@data_dir_option
@out_option
@seed_option
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Training of the plain loop towards 80 %; a time that it does not reach is projected.",
)
@click.option("--run", "from_run", type=click.Path(path_type=Path), help="Finished run that has our time to 80 %.")
@document_option
def bench_cls(
    run: Path, data_dir: Path, out: Path, seed: int, minutes: float, from_run: Path | None, document: Path | None
) -> None:
    """ResNet-18 by a plain loop, as a tutorial writes it, and by ours: rates, memory, time to 80 %.

    RUN is planned: its recipe and data are used.
    """
    from onepage.benchmarks import cls, ours

    keep("cls", lambda: cls.run(ours.plan(run, data_dir, "cls", seed), out, minutes, from_run), out, document)


@bench.command("mt")
@run_argument
@data_dir_option
@out_option
@document_option
def bench_mt(run: Path, data_dir: Path, out: Path, document: Path | None) -> None:
    """Translation by our search, by ours without cache, by JoeyNMT and CTranslate2; training by a plain loop and ours.

    RUN is trained: its model translates. JoeyNMT and CTranslate2 are installed by `make setup-compare`.
    """
    from onepage.benchmarks import mt

    keep("mt", lambda: mt.run(run, data_dir, out), out, document)


@bench.command("scale")
@run_argument
@data_dir_option
@out_option
@seed_option
@document_option
def bench_scale(run: Path, data_dir: Path, out: Path, seed: int, document: Path | None) -> None:
    """Training of ResNet-18 by 1, 2, 4 ... processes: rate, parallel efficiency, share of the gradients' exchange.

    RUN is planned: its recipe and data are used.
    """
    from onepage.benchmarks import ours, scale

    keep("scale", lambda: scale.run(ours.plan(run, data_dir, "cls", seed), out), out, document)
