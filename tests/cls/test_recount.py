"""ResNet-18's scores, recounted from its logits: a line names every score that was changed by hand."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import synthetic_data
import synthetic_run
from edits import edit
from onepage.cls.recount import recount
from onepage.commands.main import main
from onepage.data import images
from onepage.tasks import Recount
from onepage.verification import verify
from onepage.verification.claims import FAIL, Check

CLAIMS_FILE = Path(__file__).resolve().parents[2] / "report" / "claims.toml"


# Two classes, four images: probabilities 3/4 and 1/4, three images right. All confidences are in one bin.
LOGITS = np.log(np.array([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0], [3.0, 1.0]]))
LABELS = np.array([0, 0, 1, 1])


def counted(monkeypatch: pytest.MonkeyPatch, test: dict[str, Any], **arrays: np.ndarray | None) -> Recount:
    none = np.zeros((0, 3, 32, 32), np.uint8)
    made = images.ImageSet("made-up", False, "digest", ("a", "b"), none, LABELS[:0], none, LABELS)
    monkeypatch.setattr(images, "load_images", lambda *given: {(Path("data"), "made-up"): made}[given])
    given = {"logits": LOGITS, "labels": LABELS} | arrays
    test = {"calibrated": {"temperature": 1}} | test
    return recount({"set": "made-up", "test": test}, Path("data"), {k: v for k, v in given.items() if v is not None})


def test_every_score_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wilson's limits solve (p - 3/4)^2 = z^2 p (1 - p) / 4; temperature 1/2 turns 3/4 and 1/4 into 9/10 and 1/10."""
    found = counted(monkeypatch, {"calibrated": {"temperature": 0.5}})
    values = dict(found.values)
    for end in (values.pop("test.accuracy_interval.0"), values.pop("test.accuracy_interval.1")):
        assert (end - 0.75) ** 2 == pytest.approx(1.959963984540054**2 * end * (1 - end) / 4)
    expected = {
        "test.accuracy": 0.75, "test.n": 4, "test.correct": 3,
        "test.per_class.0.recall": 1.0, "test.per_class.0.precision": 2 / 3,
        "test.per_class.1.recall": 0.5, "test.per_class.1.precision": 1.0,
        "test.confusion.0.0": 2, "test.confusion.0.1": 0, "test.confusion.1.0": 1, "test.confusion.1.1": 1,
        "test.nll": -math.log(3 / 4 * 3 / 4 * 3 / 4 * 1 / 4) / 4, "test.brier": (3 * 2 / 16 + 18 / 16) / 4,
        "test.ece": 0.0, "test.calibrated.nll": -math.log(0.9**3 * 0.1) / 4,
        "test.calibrated.brier": (3 * 2 / 100 + 162 / 100) / 4, "test.calibrated.ece": 0.15,
    }  # fmt: skip
    assert values == pytest.approx(expected) and (found.problems, found.data_digest) == ({}, "digest")
    assert found.values["test.accuracy_interval.0"] < 0.75 < found.values["test.accuracy_interval.1"]


def test_large_logits_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    found, moved = counted(monkeypatch, {}), counted(monkeypatch, {}, logits=LOGITS + 800)
    assert moved.values == pytest.approx(found.values)


@pytest.mark.parametrize(
    ("right", "wrong", "gaps"),
    [(0.61, 0.65, 0.26), (0.61, 0.68, 0.39 + 0.68), (0.61, 1.0, 0.39 + 1.0)],
    ids=["one bin, from 9/15 to 10/15, where gaps cancel", "two bins", "the last bin holds 1"],
)
def test_bins_of_confidence_are_fifteen(
    monkeypatch: pytest.MonkeyPatch, right: float, wrong: float, gaps: float
) -> None:
    """Two other images, one right and one wrong, share a separate bin at confidence 3/4."""
    sure = [np.log([share, max(1 - share, 1e-300)]) for share in (right, wrong)]
    found = counted(monkeypatch, {}, logits=np.stack([sure[0], LOGITS[2], LOGITS[2], sure[1]]))
    assert found.values["test.ece"] == pytest.approx((0.5 + gaps) / 4)


@pytest.mark.parametrize(
    ("arrays", "problems"),
    [
        ({"logits": None}, {"test.accuracy": "not one row of logits for each of 4 test images"}),
        ({"logits": LOGITS[:3]}, {"test.accuracy": "not one row of logits for each of 4 test images"}),
        ({"logits": LOGITS[:, :1]}, {"test.accuracy": "not one row of logits for each of 4 test images"}),
        ({"labels": None}, {"test.accuracy": "its labels are not those of the test set"}),
        ({"labels": LABELS[:3]}, {"test.accuracy": "its labels are not those of the test set"}),
        ({"labels": np.array([0, 0, 1, 0])}, {"test.accuracy": "its labels are not those of the test set"}),
    ],
)
def test_arrays_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch, arrays: dict, problems: dict) -> None:
    found = counted(monkeypatch, {}, **arrays)
    assert found.problems == problems and ("test.accuracy" in found.values) == ("labels" in arrays)


@pytest.mark.parametrize("temperature", [0, -1.0, None, True, "warm", 1e300, math.nan, 10**400])
def test_only_a_positive_number_is_a_temperature(monkeypatch: pytest.MonkeyPatch, temperature: object) -> None:
    found = counted(monkeypatch, {"calibrated": {"temperature": temperature}})
    assert list(found.problems) == ["test.calibrated.nll"] and "test.calibrated.nll" not in found.values
    assert not counted(monkeypatch, {"calibrated": {"temperature": 1}}).problems


@pytest.fixture
def cls_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that passes verification, with data that fit it."""
    cls_run, mt_run = synthetic_run.write_cls_run(tmp_path / "cls"), synthetic_run.write_mt_run(tmp_path / "mt")
    synthetic_data.pretend(monkeypatch, cls_run, mt_run)
    return cls_run


def verified(cls_run: Path) -> Result:
    """The command, with the run of the Transformer too."""
    places = [cls_run, cls_run.parent / "mt", "--out", cls_run.parent, "--claims", CLAIMS_FILE]
    return CliRunner().invoke(main, ["verify", *map(str, places), "--runs-only"])


def recounted(cls_run: Path) -> Check:
    """What the command prints of the scores of this run."""
    _, (check,) = verify.verify_all(CLAIMS_FILE, cls_run.parent, Path("data"), [cls_run], files=False)
    return check


@pytest.mark.parametrize(
    "path",
    ["nll", "brier", "ece", "calibrated.nll", "calibrated.brier", "calibrated.ece"]
    + ["confusion.3.5", "per_class.3.recall", "per_class.9.precision", "accuracy_interval.1", "correct"],
)
def test_any_score_changed_by_hand_is_found(path: str, cls_run: Path) -> None:
    def change(metrics: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        values: Any = metrics["test"]
        for part in parents:
            values = values[part]
        values[last] += 1 if isinstance(values[last], int) else 1e-6

    edit(cls_run / "metrics.json", change)
    check = recounted(cls_run)
    assert check.state == FAIL and f"for test.{path}, the predictions give" in check.reason
    if path == "nll":
        result = verified(cls_run)
        assert result.exit_code == 1 and check.reason in " ".join(result.output.split())


@pytest.mark.fault("metrics.json of another shape", "FAIL in one line, and no traceback")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "change",
    [
        lambda metrics: metrics["test"].pop("nll"),
        lambda metrics: metrics["test"].pop("per_class"),
        lambda metrics: metrics["test"].update(confusion=[[1, 2]]),
        lambda metrics: metrics["test"].update(nll=10**400),
        lambda metrics: metrics["test"].pop("calibrated"),
        lambda metrics: metrics["test"].update(calibrated={}),
        lambda metrics: metrics["test"]["calibrated"].update(temperature=0),
        lambda metrics: metrics["test"]["calibrated"].update(temperature=[0.7]),
        lambda metrics: metrics["test"]["calibrated"].update(temperature="warm"),
        lambda metrics: metrics.update(test=[]),
        lambda metrics: metrics.update(test=None),
    ],
)
def test_metrics_of_another_shape_fail(change: Callable[[Any], object], cls_run: Path) -> None:
    edit(cls_run / "metrics.json", change)
    check = recounted(cls_run)
    assert check.state == FAIL and "\n" not in check.reason


def test_empty_metrics_fail_in_a_line(cls_run: Path) -> None:
    (cls_run / "metrics.json").write_text("{}", encoding="utf-8")
    assert recounted(cls_run).state == FAIL
    result = verified(cls_run)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert re.search(r"cls-recount  .*  FAIL  ", result.output) and "Warning" not in result.output
