"""The digests of a run: equal for equal results, changed by any bit, and a difference is named."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from edits import edit, edit_arrays
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors
from onepage.verification import bitwise
from synthetic_run import write_cls_run, write_mt_run

WEIGHTS = {"a.weight": torch.tensor([[1.0, 0.0], [2.0, 3.0]]), "a.steps": torch.tensor(7)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for task, write in (("cls", write_cls_run), ("mt", write_mt_run)):
        write(folder / task)
        checkpoint.save_model(folder / task / "model.pt", WEIGHTS, {"hash": "h"})
    return folder


@pytest.fixture
def pair(made, tmp_path):
    """A run, and a copy that the test may change."""
    shutil.copytree(made / "cls", tmp_path / "again")
    return made / "cls", tmp_path / "again"


def change_weights(run, change):
    weights = {name: value.clone() for name, value in WEIGHTS.items()}
    change(weights)
    checkpoint.save_model(run / "model.pt", weights, {"hash": "other"})


def compare(*runs):
    result = CliRunner().invoke(main, ["digest", *map(str, runs)])
    return result.exit_code, result.output


@pytest.mark.parametrize("task", ["cls", "mt"])
def test_each_part_of_a_run_gets_a_digest(made, task):
    status, said = compare(made / task)
    rows = [line.split() for line in said.splitlines()]
    assert status == 0 and [row[1] for row in rows] == ["weights", "history", "predictions", "explanations", "metrics"]
    assert len({row[0] for row in rows}) == 5 and all(len(row[0]) == 64 for row in rows)
    assert rows[0][0] == digest_tensors(WEIGHTS)


def test_commit_times_and_files_do_not_count(pair):
    _, again = pair
    edit(again / "metrics.json", lambda metrics: metrics.update(commit="f" * 40, commit_time=1, dirty=True))
    rows = [json.loads(line) for line in (again / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps({**row, "seconds": 1e9}) + "\n" for row in rows)
    (again / "history.jsonl").write_text(text, encoding="utf-8")
    edit_arrays(again / "predictions.npz", lambda arrays: None)  # another file with the same arrays
    change_weights(again, lambda weights: None)
    status, said = compare(*pair)
    assert status == 0 and said.count("  equal") == 5 and said.endswith("are bit-identical\n")
    digests = [line.split()[0] for line in said.splitlines()[:-1]]
    assert len(digests) == 10 and digests[::2] == digests[1::2]


CHANGES = {
    "weights": [
        (lambda run: change_weights(run, lambda w: w["a.weight"][1].add_(0.5)), "a.weight in 2 of 4, by 0.5 at most"),
        (lambda run: change_weights(run, lambda w: w["a.weight"][0, 1].neg_()), "a.weight in 1 of 4, by 0 at most"),
        (lambda run: change_weights(run, lambda w: w.update(b=torch.ones(1))), "b only in the second"),
        (lambda run: change_weights(run, lambda w: w.update({"a.steps": torch.tensor(7.0)})), "int64 () | float32 ()"),
    ],
    "history": [
        (lambda run: (run / "history.jsonl").write_text('{"epoch": 2}\n', encoding="utf-8"), "0.epoch 1 | 2"),
    ],
    "predictions": [
        (
            lambda run: edit_arrays(run / "predictions.npz", lambda a: a["logits"][3].__iadd__(np.float32(1))),
            "logits in 10 of 20,000, by 1 at most",
        ),
        (lambda run: edit_arrays(run / "predictions.npz", lambda a: a.pop("labels")), "labels only in the first"),
        (
            lambda run: edit_arrays(run / "predictions.npz", lambda a: a.update(labels=a["labels"][:, None])),
            "int64 (2000,) | int64 (2000, 1)",
        ),
    ],
    "explanations": [
        (lambda run: edit_arrays(run / "explain.npz", lambda a: a["layers"].__setitem__(0, "layerX")), "layers in 1"),
    ],
    "metrics": [
        (lambda run: edit(run / "metrics.json", lambda m: m["test"].update(nll=9.5)), "test.nll 0."),
        (lambda run: edit(run / "metrics.json", lambda m: m.update(seed=1)), "seed 0 | 1"),
        (lambda run: edit(run / "metrics.json", lambda m: m.update(dict.fromkeys("abcd"))), "d only in the second\n"),
        (lambda run: edit(run / "metrics.json", lambda m: m.update(dict.fromkeys("abcdef"))), "second; and 2 more\n"),
    ],
}


@pytest.mark.fault("any change in a repeated run", "named")
@pytest.mark.parametrize(
    ("part", "change", "says"), [(part, *rest) for part, cases in CHANGES.items() for rest in cases]
)
def test_any_change_differs_and_is_named(part, change, says, pair):
    run, again = pair
    change(again)
    status, said = compare(run, again)
    assert status == 1 and says in said
    assert said.count("  DIFFERS") == 1 and said.endswith(f"differ in {part}\n")


def test_results_of_another_program_are_refused(pair):
    (pair[1] / "metrics.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="is not from this program"):
        bitwise.results(pair[1])


def test_incomplete_run_is_refused(pair):
    run, again = pair
    (again / "predictions.npz").write_bytes(b"PK damaged")
    status, said = compare(run, again)
    assert status == 1 and f"{again}/predictions.npz cannot be read" in said and said.count("\n") == 1
    (again / "model.pt").unlink()
    with pytest.raises(UserError, match=r"model\.pt is missing"):
        bitwise.results(again)
