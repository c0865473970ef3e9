"""The commands that check: digests of a run, its claims recomputed, where a file comes from, results kept in git."""

import os
import sys
from pathlib import Path

import click

from onepage.terminal.options import begins, data_dir_option, out_option

# each command imports what it needs, so that --help stays quick


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("again", type=click.Path(path_type=Path), required=False)
def digest(run: Path, again: Path | None) -> None:
    """Print the SHA-256 of what RUN gave: weights, history, predictions, explanations, metrics.

    With AGAIN, a second run: print both, and whether they are equal to the bit; exits 1, naming what differs, when not.
    """
    from onepage.verification import digests

    sys.exit(digests.show(run, again, click.echo))


@click.command()
@out_option
@data_dir_option
@click.option("--cls-run", type=click.Path(path_type=Path))
@click.option("--mt-run", type=click.Path(path_type=Path))
@click.option("--claims", type=click.Path(path_type=Path, exists=True), default=Path("report/claims.toml"))
@click.option(
    "--ref", type=click.Path(path_type=Path), help="Reference result (a folder of report/reference) to compare with."
)
@click.option("--runs-only", is_flag=True, help="Leave out pictures and page, which may be of other runs.")
@click.option("--strict", is_flag=True, default=lambda: os.environ.get("STRICT") == "1", help="NOT CHECKED fails too.")
def verify(
    out: Path,
    data_dir: Path,
    cls_run: Path | None,
    mt_run: Path | None,
    claims: Path,
    ref: Path | None,
    runs_only: bool,
    strict: bool,
) -> None:
    """Recompute every claim from predictions and data: PASS, FAIL or NOT CHECKED; exits 1 on FAIL.

    Also: accuracy, confusion, calibration and BLEU of metrics.json are recounted; pictures and page must come from the
    runs they name; with --ref, each score is set beside that of a reference result.
    """
    from onepage.verification import comparison, reference
    from onepage.verification import verify as verification

    if ref is not None:
        reference.load(ref)
    runs = {"cls": cls_run, "mt": mt_run}
    results, checks = verification.verify_all(claims, out, data_dir, cls_run, mt_run, files=not runs_only)
    begins("Claims")
    verification.print_table([*results, *checks])
    rows = [row for task, run in runs.items() for row in comparison.compare(task, run, ref)] if ref is not None else []
    if rows:
        columns = ("measure", "reference", "here", "band", "result", "verdict")
        verification.print_rows(f"Beside {ref}", columns, [row.cells() for row in rows])
    sys.exit(verification.exit_code([*results, *checks, *rows], strict))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@out_option
def provenance(file: Path, out: Path) -> None:
    """Print where FILE, a picture or page as PNG or PDF, comes from; exits 1 if its run on disk has changed or is gone.

    It matches when the metrics of the run it names have the digest that it carries, and its bytes are those written.
    """
    from onepage.verification import provenance as tracing

    click.echo("\n".join(tracing.explain(file, out)))


@click.command()
@click.argument("name")
@out_option
@data_dir_option
@click.option("--cls-run", type=click.Path(path_type=Path), required=True)
@click.option("--mt-run", type=click.Path(path_type=Path), required=True)
@click.option("--claims", type=click.Path(path_type=Path, exists=True), default=Path("report/claims.toml"))
def reference(name: str, out: Path, data_dir: Path, cls_run: Path, mt_run: Path, claims: Path) -> None:
    """Keep two verified runs and their page as a reference result: report/reference/NAME, under 3 MB, for git.

    Name it for the hardware. Verifies first, and writes nothing when anything fails.
    """
    from onepage.verification import reference as references
    from onepage.verification import verify as verification

    results, checks = verification.verify_all(claims, out, data_dir, cls_run, mt_run)
    verification.print_table([*results, *checks])
    folder, remarks = references.write(name, out, {"cls": cls_run, "mt": mt_run}, results, checks)
    click.echo("\n".join([*remarks, f"reference result in {folder}/; report/claims.toml may name it:"]))
    for result in results:
        if result.state == verification.PASS:
            click.echo(f"  {result.claim.id}: {references.toml(result.claim, folder)}")
