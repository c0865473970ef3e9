"""The commands that check: digests of a run, its claims recomputed, provenance of a file, results kept in git."""

import os
import sys
from pathlib import Path

import click

from onepage.terminal.options import PATH, begins, data_dir_option, out_option, runs_argument

# each command imports what it needs, so that --help stays quick
claims_option = click.option("--claims", type=PATH, default=Path("report/claims.toml"), show_default=True)


@click.command()
@click.argument("run", type=PATH)
@click.argument("again", type=PATH, required=False)
def digest(run: Path, again: Path | None) -> None:
    """Print the SHA-256 of the results of RUN: weights, history, predictions, explanations, metrics.

    With AGAIN, a second run: print both, and whether they are bit-identical; if not, name what differs and exit 1.
    """
    from onepage.verification import bitwise

    sys.exit(bitwise.show(run, again, click.echo))


@click.command()
@click.argument("runs", metavar="[RUN...]", nargs=-1, type=PATH)
@out_option
@data_dir_option
@claims_option
@click.option("--ref", type=PATH, help="Reference result (a folder of report/reference) to compare with.")
@click.option("--mirror", help="Folder or URL to try first for data, if --ref is given and there are no runs.")
@click.option("--runs-only", is_flag=True, help="Leave out pictures and page, which may be of other runs.")
@click.option("--strict", is_flag=True, default=lambda: os.environ.get("STRICT") == "1", help="NOT CHECKED fails too.")
def verify(
    runs: tuple[Path, ...],
    out: Path,
    data_dir: Path,
    claims: Path,
    ref: Path | None,
    mirror: str | None,
    runs_only: bool,
    strict: bool,
) -> None:
    """Recompute every claim from the predictions of the runs and from data: PASS, FAIL or NOT CHECKED; exits 1 on FAIL.

    Give one RUN of each task; a missing run is NOT CHECKED. All scores of metrics.json are recomputed, claimed or not.
    Pictures and page must come from the runs that they name. With --ref, each score is compared with that of a
    reference result. With --ref and no RUN, the reference result itself is verified, after its data are fetched.
    """
    from onepage.data import fetch
    from onepage.files import read_json
    from onepage.runs import lookup
    from onepage.tasks import TASKS
    from onepage.verification import comparison, reference
    from onepage.verification import verify as verification

    if ref is not None:
        reference.load(ref)
    elif not runs:
        raise click.UsageError("give a RUN of each task, or --ref")
    alone = None if runs else ref  # the reference result that is itself verified
    if alone is not None:
        runs = tuple(reference.kept_runs(alone))
        for run in runs:
            metrics = read_json(run / "metrics.json")
            languages = metrics.get("src", "en"), metrics.get("tgt", "de")
            fetch.ensure(metrics["set"], data_dir, "real", mirror, *languages)
    results, checks = verification.verify_all(claims, out, data_dir, runs, files=not (runs_only or alone))
    checks += [reference.traced(alone)] if alone is not None else []
    begins("Claims")
    verification.print_table([*results, *checks])
    rows = []
    if ref is not None and alone is None:
        given = lookup.by_task(runs)
        compared = [task for task in TASKS if task in given or (ref / task).is_dir()]
        rows = [row for task in compared for row in comparison.compare(task, given.get(task), ref)]
        verification.print_table(rows, comparison.COLUMNS, f"Beside {ref}")
    sys.exit(verification.exit_code([*results, *checks, *rows], strict))


@click.command()
@click.argument("file", type=PATH)
@out_option
def provenance(file: Path, out: Path) -> None:
    """Print the provenance of FILE, a picture or page as PNG or PDF; exits 1 if its run on disk has changed or is gone.

    FILE matches if its bytes are unchanged, and the metrics of its run have the digest in its metadata.
    """
    from onepage.verification import provenance as checked

    click.echo("\n".join(checked.explain(file, out)))


@click.command()
@click.argument("name")
@runs_argument
@out_option
@data_dir_option
@claims_option
def reference(name: str, runs: tuple[Path, ...], out: Path, data_dir: Path, claims: Path) -> None:
    """Keep verified runs, one RUN of each task, and their page as a reference result: report/reference/NAME, for git.

    Name it after the hardware. The command verifies first. It writes nothing if a check fails, or if the result would
    exceed 3 MB.
    """
    from onepage.verification import reference as references
    from onepage.verification import verify as verification
    from onepage.verification.claims import PASS

    references.place(name, out)  # a bad name is refused before anything is recounted
    results, checks = verification.verify_all(claims, out, data_dir, runs)
    verification.print_table([*results, *checks])
    folder, remarks = references.write(name, out, runs, results, checks)
    lines = [f"  {r.claim.id}: {references.toml(r.claim, folder)}" for r in results if r.state == PASS]
    named = "; for the references in report/claims.toml:" if lines else ""
    click.echo("\n".join([*remarks, f"reference result in {folder}/{named}", *lines]))


COMMANDS = (verify, reference, provenance, digest)
