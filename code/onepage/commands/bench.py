"""``python -m onepage bench``: the commands behind `make bench-cls`, `bench-mt`, `bench-scale` and `bench-conv`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from onepage.terminal.options import data_dir_option, out_option


@click.group()
def bench() -> None:
    """Measure this program beside a plain one, on this machine.

    Leave the machine alone meanwhile: whatever else runs makes the figures low and the ratios unsafe.
    """


def keep(
    kind: str, result: Mapping[str, Any], out: Path, document: Path | None, markdown: Callable[[Mapping[str, Any]], str]
) -> None:
    """Write the JSON of a result and, made of all results of its kind, the table between the marks of ``document``."""
    from onepage.benchmarks import results

    path = results.write(out, results.name_of(kind, result), result)
    if document is not None:
        results.put_section(document, kind, results.section(results.read_all(out, kind), markdown, kind))
    click.echo(f"result in {path}" + (f", table in {document}" if document is not None else ""))


@bench.command("cls")
@click.option("--plan", type=click.Path(path_type=Path), required=True, help="Plan written by `data`.")
@data_dir_option
@out_option
@click.option("--seed", default=0, show_default=True, help="Seed of weights, order and augmentation.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each contender.")
@click.option(
    "--images", type=click.IntRange(min=0), default=0, help="Images a turn; 0: 2,048 on a CPU, 40,960 on a GPU."
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Training of the plain loop towards the target; what it does not reach is projected.",
)
@click.option(
    "--target", type=click.FloatRange(0, 1, True, True), default=0.8, show_default=True, help="Accuracy timed."
)
@click.option("--workers", type=click.IntRange(min=0), default=2, show_default=True, help="Of the plain DataLoader.")
@click.option("--run", "from_run", type=click.Path(path_type=Path), help="Read our time to the target off this run.")
@click.option("--readme", type=click.Path(path_type=Path, exists=True), help="README whose table is written anew.")
def bench_cls(
    plan: Path, data_dir: Path, out: Path, seed: int, from_run: Path | None, readme: Path | None, **settings: Any
) -> None:
    """ResNet-18 by a plain loop, as a tutorial writes it, and by ours: rates, memory, time to 80 %.

    Writes OUT/report/bench/cls-HARDWARE.json, every repeat in it, and the table of --readme. Stopped midway it writes
    nothing.
    """
    from onepage.benchmarks import cls, cls_table, results

    if readme is not None:
        results.section_of(readme.read_text(encoding="utf-8"), "cls")
    result = cls.run(plan, data_dir, seed, out, cls.Settings(**settings), from_run)
    cls_table.show(result)
    keep("cls", result, out, readme, cls_table.markdown)


@bench.command("mt")
@click.option("--run", "trained", type=click.Path(path_type=Path), required=True, help="Run whose model translates.")
@data_dir_option
@out_option
@click.option("--seed", default=0, show_default=True, help="Seed of the training measured.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each contender.")
@click.option("--sentences", type=click.IntRange(min=0), default=0, help="Validation sentences translated; 0: all.")
@click.option("--beam", "beam_size", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--length-penalty", type=click.FloatRange(0, 10), default=1.0, show_default=True)
@click.option(
    "--batch-tokens", type=click.IntRange(min=1), default=8000, show_default=True, help="Of a batch, times beam."
)
@click.option("--updates", type=click.IntRange(min=2), default=60, show_default=True, help="Of training, in a turn.")
@click.option("--vocabulary", default=8000, show_default=True, help="Pieces of the model trained; and its sizes:")
@click.option("--d-model", default=128, show_default=True)
@click.option("--d-ff", default=256, show_default=True)
@click.option("--heads", default=4, show_default=True)
@click.option("--layers", default=4, show_default=True, help="Of the encoder, and of the decoder.")
@click.option("--train-tokens", default=1536, show_default=True, help="Target positions of an update.")
@click.option("--readme", type=click.Path(path_type=Path, exists=True), help="README whose table is written anew.")
def bench_mt(trained: Path, data_dir: Path, out: Path, seed: int, readme: Path | None, **settings: Any) -> None:
    """Translation by our search, by ours without cache, by JoeyNMT and CTranslate2; training by a plain loop and ours.

    Writes OUT/report/bench/mt-HARDWARE.json, every repeat in it, and the table of --readme. Stopped midway it writes
    nothing. JoeyNMT and CTranslate2 come by `make setup-compare`.
    """
    from onepage.benchmarks import mt, mt_table, results

    if readme is not None:
        results.section_of(readme.read_text(encoding="utf-8"), "mt")
    result = mt.run(trained, data_dir, out, mt.Settings(**settings), seed)
    mt_table.show(result)
    keep("mt", result, out, readme, mt_table.markdown)


@bench.command("scale")
@click.option("--plan", type=click.Path(path_type=Path), required=True, help="Plan written by `data`.")
@data_dir_option
@out_option
@click.option("--seed", default=0, show_default=True, help="Seed of weights, order and augmentation.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each number.")
@click.option(
    "--updates", type=click.IntRange(min=2), help="Measured each time; 8 on a CPU, 100 on GPUs where it is not given."
)
@click.option("--most", type=click.IntRange(min=0), default=0, help="Most processes; 0: one a GPU, or one a CPU core.")
@click.option(
    "--document", type=click.Path(path_type=Path, exists=True), help="Document whose tables are written anew."
)
def bench_scale(plan: Path, data_dir: Path, out: Path, seed: int, document: Path | None, **settings: Any) -> None:
    """Training of ResNet-18 by 1, 2, 4 ... processes: rate, parallel efficiency, share of the gradients' exchange.

    Writes OUT/report/bench/scale-HARDWARE.json, every repeat in it, and the tables of --document.
    """
    from onepage.benchmarks import results, scale, scale_estimate

    result = scale.run(plan, data_dir, seed, out, **settings)
    click.echo(scale.markdown(result))
    if document is not None:
        results.put_section(document, "scale-estimate", scale_estimate.markdown() + "\n")
    keep("scale", result, out, document, scale.markdown)


@bench.command("conv")
@out_option
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each contender.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0 takes all cores.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--size", "sizes", type=click.Choice(["16", "20", "24", "32"]), multiple=True, help="Only this image size."
)
@click.option("--precision", "precisions", type=click.Choice(["bf16", "fp32"]), multiple=True, help="Only this one.")
def bench_conv(
    out: Path, repeats: int, threads: int, device: str, sizes: tuple[str, ...], precisions: tuple[str, ...]
) -> None:
    """Our convolution against nn.Conv2d: each layer of ResNet-18, forward and both gradients.

    Writes OUT/report/bench/conv-HARDWARE.json, if all sizes and precisions are measured.
    """
    from onepage.benchmarks import convolution, results
    from onepage.planning import plan
    from onepage.runs import provenance

    where = plan.resolve_device(device)
    image_sizes = [int(size) for size in sizes] or convolution.IMAGE_SIZES
    result = convolution.run(
        repeats, threads or provenance.cores(), where, out, image_sizes, precisions or ("bf16", "fp32")
    )
    convolution.show(result)
    if sizes or precisions:
        click.echo("only a part: not kept")
    else:
        click.echo(f"result in {results.write(out, results.name_of('conv', result), result)}")
