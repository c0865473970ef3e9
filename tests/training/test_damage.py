"""Damaged, half-written or hostile checkpoints: the previous one is used, or one line says what is wrong."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onepage.errors import UserError
from onepage.files import sha256_file
from onepage.mt.batching import Material
from onepage.training import checkpoint, session
from small_training import run, stopped, stopped_once, whole_checkpoints


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


def make_hostile(path):
    """Replace the checkpoint with one that would run code, with a matching digest."""
    pwned = path.with_name("pwned")

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(pwned),))

    torch.save({"loop": Evil()}, path)
    sign(path)


def leave_a_part_out(path):
    """Remove the training time that the run sums over its sessions, with a matching digest."""
    state = torch.load(path, weights_only=True)
    torch.save({name: state[name] for name in state if name != "seconds"}, path)
    sign(path)


def sign(path):
    """Update the digest beside a checkpoint to match it."""
    meta = path.with_suffix(".json")
    values = json.loads(meta.read_text(encoding="utf-8")) | {"sha256": sha256_file(path)}
    meta.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def often_saved(tmp_path_factory):
    """A run that saved after each update and was stopped after the fifth; tests copy it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)
        return stopped_once(tmp_path_factory, lambda task: 5)("mt")


@pytest.mark.fault(
    "the last checkpoint truncated, changed in one bit, gone, hostile, not whole",
    "`... is damaged; ...`, `resuming from the one before`; the same bytes",
)
@pytest.mark.parametrize(
    ("damage", "suffix"),
    [
        *[(truncate, ".pt"), (flip_a_bit, ".pt"), (remove, ".pt"), (truncate, ".json")],
        *[(make_hostile, ".pt"), (leave_a_part_out, ".pt")],
    ],
)
def test_damaged_checkpoint_falls_back_to_the_one_before(
    straight, often_saved, damage, suffix, tmp_path, monkeypatch, capsys
):
    shutil.copytree(often_saved, tmp_path / "stopped")
    before, last = whole_checkpoints(tmp_path / "stopped")
    damage(last.with_suffix(suffix))
    if (damage, suffix) == (truncate, ".pt"):
        stopped(monkeypatch, tmp_path / "stopped", updates=7)
        names = [path.name for path in whole_checkpoints(tmp_path / "stopped")]
        assert names == [before.name, "checkpoint-00000007.pt"]  # the damaged one replaces no whole one
    assert run("mt", tmp_path / "stopped") == straight
    said = capsys.readouterr().out
    assert f"{last.name} is damaged; resuming from the one before" in said and "resuming at update 4 of 8" in said
    assert not (tmp_path / "stopped" / "pwned").exists()


@pytest.mark.fault("every checkpoint damaged", "`none is left, training starts over`")
def test_with_no_whole_checkpoint_left_training_starts_again(straight, tmp_path, monkeypatch, capsys):
    stopped(monkeypatch, tmp_path / "stopped")
    truncate(whole_checkpoints(tmp_path / "stopped")[0])
    assert run("mt", tmp_path / "stopped") == straight
    assert "checkpoint-00000003.pt is damaged; none is left, training starts over" in capsys.readouterr().out


@pytest.mark.fault("half-written files that a kill left", "removed; the run goes on")
def test_half_written_files_go_when_the_run_resumes(tmp_path, monkeypatch):
    stopped(monkeypatch, tmp_path)
    for name in (".checkpoint-00000004.pt.x1.tmp", ".history.jsonl.x2.tmp", "checkpoint-00000004.pt"):
        (tmp_path / name).write_bytes(b"half")
    stopped(monkeypatch, tmp_path, updates=5)
    names = {path.name for path in tmp_path.iterdir()}
    assert not {name for name in names if name.endswith(".tmp")} and "checkpoint-00000004.pt" not in names
    assert len(whole_checkpoints(tmp_path)) == 2


@pytest.mark.fault("a checkpoint that would run code", "`... is damaged (...`; nothing is run")
def test_a_hostile_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"weights": Evil(), "identity": {}}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load_model(tmp_path / "model.pt")
    assert not (tmp_path / "pwned").exists()


IDENTITY = {"hash": "h" * 64, "seed": 0, "program": "p" * 64}
STATE = {"loop": {}, "rows": [], "seconds": 1.0, "sessions": 1, "peak": 1, "energy": {}, "started": "now"}
STATE |= {"processes": [[0, 1]]}
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))
edits = st.lists(st.tuples(st.integers(0, 1700), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4)


def answer(folder):
    """The state from which a run in this folder resumes, or the line that says why there is none."""
    said = []
    try:
        return checkpoint.latest(folder, IDENTITY, said.append) or said[0]
    except UserError as error:
        return str(error)


@pytest.mark.fault(
    "anything beside a checkpoint in place of its digest and recipe (fuzzed)", "`... is damaged; ...`; or refused"
)
@settings(max_examples=100)
@given(
    st.binary(max_size=40)
    | anything.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(["hash", "seed", "program", "more"]).flatmap(
        lambda key: anything.map(lambda value: json.dumps(IDENTITY | {"sha256": "right", key: value}).encode())
    )
    | st.just(b"[" * 5_000)
)
def test_anything_beside_a_checkpoint(content):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "checkpoint-00000001.pt"
        torch.save(STATE, path)
        path.with_suffix(".json").write_bytes(content.replace(b'"right"', json.dumps(sha256_file(path)).encode()))
        found = answer(Path(place))
        if b'"right"' in content:
            assert found == STATE or "was saved with a different recipe" in found
            assert path.exists()  # the checkpoint belongs to this run or to another one
        else:
            assert found == "checkpoint-00000001.pt is damaged; none is left, training starts over"
            assert not path.exists()


@pytest.mark.fault("final weights damaged at any place (fuzzed)", "`... is damaged (...`, or weights by name")
@pytest.mark.filterwarnings("ignore:TypedStorage")  # a damaged file can look like one of an older torch
@settings(max_examples=100)
@given(edits, st.booleans())
def test_final_weights_damaged_at_any_place(changes, cut):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.pt"
        checkpoint.save_model(path, {"a": torch.ones(3)}, IDENTITY)
        content = bytearray(path.read_bytes())
        for at, new in changes:
            content[at : at + len(new)] = new
        path.write_bytes(content[: changes[0][0]] if cut else content)
        try:
            weights, identity = checkpoint.load_model(path)
            assert isinstance(weights, dict) and isinstance(identity, dict)
        except UserError as error:
            assert str(error).startswith(f"{path} is damaged (") and len(str(error)) < 300


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return stopped_once(tmp_path_factory, lambda task: 1)


MISFITS = {
    "no model": lambda loop: loop.pop("model"),
    "other tensors": lambda loop: loop.update(model={"weight": torch.zeros(2)}),
    "no optimisers": lambda loop: loop.update(optimisers=[]),
    "generators": lambda loop: loop.update(generators="none"),
    "sums": lambda loop: loop.update(sums=None),
    "far update": lambda loop: loop.update(update=10**9),
    "text update": lambda loop: loop.update(update="5"),
}


@pytest.mark.fault(
    "the last checkpoint whole, its digest fitting, but the loop's state not that of this training",
    "`... does not hold what this training needs (...)`; nothing is removed",
)
@pytest.mark.parametrize(
    ("task", "misfit"),
    [("mt", misfit) for misfit in MISFITS] + [("cls", misfit) for misfit in ("other tensors", "no optimisers")],
)
def test_a_state_that_does_not_fit_is_refused(task, misfit, saved, tmp_path):
    shutil.copytree(saved(task), tmp_path / "run")
    (last,) = whole_checkpoints(tmp_path / "run")
    state = torch.load(last, weights_only=True)
    MISFITS[misfit](state["loop"])
    torch.save(state, last)
    sign(last)
    with pytest.raises(UserError, match="does not hold what this training needs") as caught:
        run(task, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert last.exists()


def test_a_failure_without_checkpoint_blames_none(tmp_path, monkeypatch):
    def fails(self, epoch):
        raise ValueError("of another kind")

    monkeypatch.setattr(Material, "epoch", fails)
    with pytest.raises(ValueError, match="of another kind"):
        run("mt", tmp_path)
