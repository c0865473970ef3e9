"""Claims and their verification: is what the page says what the predictions say?

report/claims.toml holds each claim with the set it speaks of and its bound. ``check`` recomputes the measure from the
run's predictions.npz and from labels or references read anew from digest-checked data, and compares both with the bound
and with metrics.json: a number edited by hand, in either file, fails. ``status`` is the short form for the page, from
metrics alone. A claim about a set the run was not trained on is NOT CHECKED, never PASS.

Standard library at import; numpy, sacrebleu and the data loaders only inside the checks that need them.
"""

import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onepage.errors import UserError
from onepage.files import read_json

if TYPE_CHECKING:
    import numpy as np

GENERATED_SETS = ("toy-images", "toy-translation")
PASS, FAIL, NOT_CHECKED = "PASS", "FAIL", "NOT CHECKED"
MEASURES = {"cls": "accuracy", "mt": "bleu"}
# metrics.json must agree with the recount: exactly for a count of images; for BLEU within the noise of float addition.
TOLERANCE = {"accuracy": 1e-9, "bleu": 1e-6}


@dataclass(frozen=True)
class Claim:
    """One line of claims.toml: on ``set`` (and src-tgt), the number at ``metric`` in metrics.json is >= ``minimum``."""

    id: str
    text: str
    task: str
    set: str
    metric: str
    minimum: float
    measure: str  # "accuracy" (a share, 0 to 1) or "bleu" (0 to 100)
    recomputed_from: str
    src: str = ""
    tgt: str = ""
    test: str = ""  # the test set scored, for BLEU

    def show(self, value: float) -> str:
        """``value`` in the measure's own unit, cut and not rounded: 79.996 % must not read as 80.00 %."""
        digits = f"{value * 100:.6f}" if self.measure == "accuracy" else f"{value:.6f}"
        return digits[:-4] + (" %" if self.measure == "accuracy" else "")


@dataclass(frozen=True)
class Result:
    """What became of a claim: ``measured`` is the recomputed value, None where nothing was measured."""

    claim: Claim
    state: str
    measured: float | None
    reason: str


def load_claims(path: Path, kind: str = "claim") -> list[Claim]:
    """The claims of a claims.toml; raises UserError for a file that is missing, malformed or has unknown keys.

    ``kind`` "stand_in" reads the floors of the generated sets instead, which say nothing of the real ones.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        read = {name: [Claim(**row) for row in tables.get(name, [])] for name in ("claim", "stand_in")}
        claims = read[kind]
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it with: git checkout report/claims.toml") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}; mend the claim or restore the file with git") from None
    if not claims:
        raise UserError(f"{path} holds no [[{kind}]]; restore it with: git checkout report/claims.toml")
    for claim in claims:
        if MEASURES.get(claim.task) != claim.measure:
            raise UserError(f"{path}: claim {claim.id}: no measure {claim.measure!r} for task {claim.task!r}")
        if isinstance(claim.minimum, bool) or not isinstance(claim.minimum, int | float):
            raise UserError(f"{path}: claim {claim.id}: minimum must be a number, not {claim.minimum!r}")
    if len({claim.id for claim in claims}) < len(claims):
        raise UserError(f"{path}: two claims share an id; give each its own")
    return claims


def status(claim: Claim, metrics: Mapping[str, Any] | None) -> Result:
    """The state of a claim from metrics.json alone, without recomputing: what the page shows."""
    if metrics is None:
        return Result(claim, NOT_CHECKED, None, f"not run: make {claim.task}")
    set_name = str(metrics["set"])
    if set_name != claim.set or bool(metrics["generated"]) != (claim.set in GENERATED_SETS):
        what = "generated data" if metrics["generated"] else "another set"
        return Result(claim, NOT_CHECKED, None, f"trained on {what} ({set_name}); the claim speaks of {claim.set}")
    for key in ("src", "tgt"):
        if getattr(claim, key) and metrics.get(key) != getattr(claim, key):
            pair = f"{metrics.get('src')}-{metrics.get('tgt')}"
            return Result(claim, NOT_CHECKED, None, f"trained on {pair}; the claim speaks of {claim.src}-{claim.tgt}")
    value: Any = metrics
    for part in claim.metric.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Result(claim, FAIL, None, f"metrics.json has no number at {claim.metric}")
    return _against_bound(claim, float(value), "as metrics.json has it")


def check(
    claims: Sequence[Claim], out: Path, data_dir: Path, cls_run: Path | None, mt_run: Path | None
) -> list[Result]:
    """Recompute every claim from predictions and digest-checked data; files are named relative to ``out``."""
    runs = {"cls": cls_run, "mt": mt_run}
    return [_check(claim, Path(out), Path(data_dir), runs[claim.task]) for claim in claims]


def stand_ins(path: Path, runs: Sequence[Path | None]) -> list[Claim]:
    """The floors of the generated sets that these runs were trained on; none for runs on real data."""
    present = [run / "metrics.json" for run in runs if run is not None and (run / "metrics.json").is_file()]
    sets = {str(read_json(metrics).get("set")) for metrics in present}
    return [claim for claim in load_claims(path, "stand_in") if claim.set in sets]


def exit_code(results: Sequence[Result], strict: bool = False) -> int:
    """1 if any claim fails (or, when strict, is not checked), else 0."""
    states = {result.state for result in results}
    return int(FAIL in states or (strict and NOT_CHECKED in states))


def print_table(results: Sequence[Result]) -> None:
    """Print the claims to stdout: a rich table on a terminal, one plain line a claim elsewhere."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    rows = []
    for result in results:
        claim = result.claim
        measured = "-" if result.measured is None else claim.show(result.measured)
        rows.append((claim.id, claim.text, ">= " + claim.show(claim.minimum), measured, result.state, result.reason))
    if not console.is_terminal:
        for row in rows:
            print("  ".join(row))
        return
    table = Table(title="Claims")
    for column in ("id", "claim", "bound", "measured", "result", "reason"):
        table.add_column(column, no_wrap=column in ("id", "bound", "measured", "result"))
    style = {PASS: "green", FAIL: "bold red", NOT_CHECKED: "yellow"}
    for row in rows:
        # Text, not str: a reason may hold square brackets, which rich would read as markup.
        table.add_row(*(Text(cell, style=style.get(cell, "")) for cell in row))
    console.print(table)


# --- recomputing -----------------------------------------------------------------------------------------------------


def _check(claim: Claim, out: Path, data_dir: Path, run: Path | None) -> Result:
    if run is None or not (run / "metrics.json").is_file():
        return status(claim, None)
    metrics = read_json(run / "metrics.json")
    try:
        told = status(claim, metrics)
    except (KeyError, TypeError, AttributeError) as error:
        return Result(claim, FAIL, None, f"metrics.json is not one of this program ({type(error).__name__}: {error})")
    if told.state == NOT_CHECKED or told.measured is None:
        return told
    path = run / "predictions.npz"
    where = path.relative_to(out) if path.is_relative_to(out) else path
    if not path.is_file():
        return Result(claim, FAIL, None, f"{where} is missing; delete metrics.json there and run: make {claim.task}")
    try:
        arrays = _arrays(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return Result(claim, FAIL, None, f"{where} cannot be read ({error})")
    try:
        recompute = _accuracy if claim.measure == "accuracy" else _bleu
        digest, value, problem = recompute(claim, data_dir, arrays)
    except UserError as error:  # no data here to check against: say so, and do not pass
        return Result(claim, NOT_CHECKED, None, f"cannot recompute: {error}")
    if problem:
        return Result(claim, FAIL, value, f"{where}: {problem}")
    assert value is not None
    if metrics.get("data_digest") != digest:
        return Result(claim, FAIL, value, f"trained on other data than {data_dir} holds (digests differ)")
    if not abs(value - told.measured) <= TOLERANCE[claim.measure]:  # "not <=": NaN must fail
        return Result(claim, FAIL, value, f"metrics.json says {told.measured!r}, the predictions give {value!r}")
    return _against_bound(claim, value, f"recomputed from {claim.recomputed_from}")


def _against_bound(claim: Claim, value: float, how: str) -> Result:
    if value >= claim.minimum:
        return Result(claim, PASS, value, how)
    return Result(claim, FAIL, value, f"below {claim.show(claim.minimum)}; {how}")


def _arrays(path: Path) -> "dict[str, np.ndarray]":
    """Every array of an .npz, without pickle; raises ValueError for one that needs it."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _accuracy(claim: Claim, data_dir: Path, arrays: "dict[str, np.ndarray]") -> tuple[str, float | None, str]:
    """(data digest, accuracy or None, problem or ""), from logits (N, classes) and the test labels on disk (N,)."""
    from onepage.data.images import load_images

    data = load_images(data_dir, claim.set)
    logits = arrays.get("logits")
    if logits is None or logits.ndim != 2 or len(logits) != len(data.test_labels):
        return data.digest, None, f"not one row of logits for each of {len(data.test_labels)} test images"
    accuracy = float((logits.argmax(1) == data.test_labels).mean())
    stored = arrays.get("labels")
    if stored is None or stored.shape != data.test_labels.shape or (stored != data.test_labels).any():
        return data.digest, accuracy, "its labels are not those of the test set"
    return data.digest, accuracy, ""


def _bleu(claim: Claim, data_dir: Path, arrays: "dict[str, np.ndarray]") -> tuple[str, float | None, str]:
    """(data digest, BLEU or None, problem or ""), from the beam outputs and the references on disk."""
    import sacrebleu

    from onepage.data.translation import load_translation

    data = load_translation(data_dir, claim.set, claim.src, claim.tgt)
    if claim.test not in data.tests:
        return data.digest, None, f"no test set {claim.test} in {claim.set}"
    sources, references = data.splits[claim.test]
    outputs = arrays.get(f"{claim.test}_output")
    if outputs is None or outputs.shape != (len(references),):
        return data.digest, None, f"not one output for each of {len(references)} sentences of {claim.test}"
    bleu = sacrebleu.corpus_bleu([str(text) for text in outputs], [references], tokenize="13a").score
    for name, texts in (("source", sources), ("reference", references)):
        stored = arrays.get(f"{claim.test}_{name}")
        if stored is None or [str(text) for text in stored] != list(texts):
            return data.digest, bleu, f"its {name}s are not those of {claim.test}"
    return data.digest, bleu, ""
