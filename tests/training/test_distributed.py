"""Two processes joined by gloo train like one: same losses, same bits when repeated, resumed by either.

One start of torchrun (ranks_training.py) runs all trainings by two processes; the tests read their results.
"""

import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from onepage.cls.recipe import Stage
from onepage.errors import Interrupted, UserError
from onepage.files import read_json
from onepage.runs import history
from onepage.training import checkpoint, distributed, session
from onepage.training.distributed import ALONE, Ranks
from onepage.training.recipe import as_dict, from_values
from small_training import CLS, MT, run, stop_after

HERE = Path(__file__).resolve().parents[1] / "support"
CODE = HERE.parents[1] / "code"
STEPS = {"validations": 8}  # one row of the history per update
PLAIN = {"dropout": 0.0, **STEPS}
IMAGES = {"stages": [[3.0, 8]], "validations": 6, "muon_learning_rate": 0.01, "average_decay": 0.0}
JOBS = {
    "plain": ("mt", PLAIN),
    "single-pairs": ("mt", {**PLAIN, "batch_tokens": 9, "adamw_learning_rate": 1e-4}),
    "r-drop": ("mt", {"r_drop": 3.0}),
    "first": ("mt", STEPS),
    "second": ("mt", STEPS),
    "images": ("cls", IMAGES),
    "images-again": ("cls", IMAGES),
    "synchronised": ("cls", {"batch_norm": "synchronised"}),
    "tiny-batch": ("cls", {"batch_size": 3}),
    "grown": ("mt", PLAIN),  # begun by one process
}


def two_processes(place: Path, jobs: list[dict], device: str = "cpu") -> None:
    (place / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    paths = os.pathsep.join(map(str, (CODE, HERE, HERE.parent)))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--module", "ranks_training"]
    done = subprocess.run(
        [*command, str(place / "jobs.json"), device], env=environment, capture_output=True, text=True, timeout=900
    )
    (place / "said").write_text(done.stdout + done.stderr, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


def job(place: Path, name: str, task: str, changes: dict, **more: object) -> dict:
    return {"task": task, "folder": str(place / name), "changes": changes, **more}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted):
            run("mt", place / "grown", **PLAIN)
    jobs = [job(place, name, *what) for name, what in JOBS.items()]
    for name, changes in (("stopped", STEPS), ("shrunk", PLAIN)):  # only the second process gets the signal
        jobs.append(job(place, name, "mt", changes, signalled=1, signal="SIGTERM", after=3))
    jobs.append(job(place, "stopped", "mt", STEPS))
    two_processes(place, jobs)
    return place


def said(place: Path, name: str) -> list[dict]:
    return [read_json(place / f"{name}.rank{rank}.json") for rank in (0, 1)]


def losses(folder: Path) -> list[float]:
    return [row["train_loss"] for row in history.read(folder / "history.jsonl")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "single-pairs"])
def test_two_processes_have_the_loss_of_one(trained: Path, tmp_path: Path, name: str) -> None:
    run("mt", tmp_path / "one", **JOBS[name][1])
    one, two = losses(tmp_path / "one"), losses(trained / name)
    assert len(one) == len(two) == 8 and max(one) - min(one) > 0.01
    assert two == pytest.approx(one, abs=1e-5, rel=0)


class Halves(nn.Module):
    """Runs a network on each half of a batch, with separate BatchNorm statistics."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.model(half) for half in x.split(len(x) // 2)])


class OnHalves(Ranks):
    """One process that computes as two would."""

    def averaging(self, model: nn.Module) -> nn.Module:
        return Halves(model)


@pytest.mark.slow
def test_batch_norm_reads_each_process_s_half_alone(trained: Path, tmp_path: Path) -> None:
    changes = IMAGES | {"stages": (Stage(3.0, 8),)}
    run("cls", tmp_path / "halves", ranks=OnHalves(), **changes)
    halves, two = losses(tmp_path / "halves"), losses(trained / "images")
    assert len(two) == 6 and two == pytest.approx(halves, abs=1e-5, rel=0)
    run("cls", tmp_path / "whole", **changes)
    assert losses(tmp_path / "whole") != pytest.approx(two, abs=1e-3)  # the whole batch has other statistics


@pytest.mark.slow
@pytest.mark.parametrize(("name", "again"), [("first", "second"), ("images", "images-again"), ("first", "stopped")])
def test_repeated_and_resumed_runs_are_equal(trained: Path, name: str, again: str) -> None:
    digests = {here["digest"] for part in (name, again) for here in said(trained, part)}
    assert len(digests) == 1  # on both processes, in both runs
    rows = [[{**row, "seconds": 0} for row in history.read(trained / part / "history.jsonl")] for part in (name, again)]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_dropout_of_two_processes_differs_from_that_of_one(trained: Path, tmp_path: Path) -> None:
    """With dropout, two processes have other losses than one process. R-Drop also trains on two processes."""
    run("mt", tmp_path / "one", **STEPS)
    assert losses(tmp_path / "one") != pytest.approx(losses(trained / "first"), abs=1e-4)
    assert losses(trained / "r-drop") != pytest.approx(losses(trained / "first"), abs=1e-4)


@pytest.mark.slow
@pytest.mark.fault(
    "SIGTERM to one process of several", "all stop after the same update, saved; the same command goes on"
)
def test_a_signal_to_one_process_stops_both(trained: Path) -> None:
    stopped = said(trained, "shrunk")
    assert [here["stopped"] for here in stopped] == [
        "SIGTERM: stopped after update 4, saved; run the same command to go on"
    ] * 2


@pytest.mark.slow
@pytest.mark.fault(
    "another number of processes than before",
    "`resuming with a different number of processes (...)`; run.json and metrics.json tell both",
)
def test_another_number_of_processes_resumes_a_checkpoint(trained: Path, tmp_path: Path, capsys) -> None:
    run("mt", tmp_path / "one", **PLAIN)
    assert not (trained / "shrunk" / "model.pt").exists()
    run("mt", trained / "shrunk", **PLAIN)
    assert "resuming with a different number of processes (2 -> 1)" in capsys.readouterr().out
    assert "resuming with a different number of processes (1 -> 2)" in (trained / "said").read_text(encoding="utf-8")
    for name, parts in (("shrunk", [[0, 2], [4, 1]]), ("grown", [[0, 1], [4, 2]])):
        assert losses(trained / name) == pytest.approx(losses(tmp_path / "one"), abs=1e-5, rel=0), name
        told = read_json(trained / name / "run.json")
        assert told["processes_from_update"] == parts
        assert told.get("processes", 1) == parts[-1][1]


@pytest.mark.slow
def test_rank_0_alone_writes_and_records_both_processes(trained: Path) -> None:
    _, identity = checkpoint.load_model(trained / "plain" / "model.pt")
    assert identity["processes"] == 2 == read_json(trained / "plain" / "run.json")["processes"]
    lines = (trained / "plain" / "train.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 10 and "2 processes" in lines[0]
    assert sorted(path.name for path in (trained / "plain").iterdir()) == [
        "history.jsonl", "model.pt", "provenance.json", "run.json", "train.log",
    ]  # fmt: skip
    assert read_json(trained / "plain" / "provenance.json")["train"]["energy_joules"] == {}


@pytest.mark.slow
@pytest.mark.fault("synchronised BatchNorm on a CPU", '`batch_norm = "synchronised" needs CUDA GPUs; ...`')
def test_every_process_refuses_what_cannot_be_shared(trained: Path) -> None:
    assert all("needs CUDA GPUs" in here["error"] for here in said(trained, "synchronised"))
    assert all("gives each of 2 processes under two images" in here["error"] for here in said(trained, "tiny-batch"))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_parts_of_a_batch_cover_it_once(world: int) -> None:
    for n in (1, 2, 32, 33):
        ranks = [Ranks(rank, world) for rank in range(world)]
        rows = [list(range(n))[part.rows(n)] for part in ranks]
        assert [*itertools.chain(*rows)] == list(range(n)) and max(map(len, rows)) - min(map(len, rows)) <= 1
        shares = [list(part.share(range(n))) for part in ranks]
        assert sorted(itertools.chain(*shares)) == list(range(n)) and max(map(len, shares)) - min(map(len, shares)) <= 1
        pairs = zip(ranks, shares, strict=True)
        means = [part.weight(len(share), n) * sum(share) / max(1, len(share)) for part, share in pairs]
        assert sum(means) / world == pytest.approx((n - 1) / 2)


def drawn(ranks: Ranks, seed: int, update: int) -> list[float]:
    ranks.reseed(seed, update)
    return torch.rand(4).tolist()


def test_draws_are_keyed_by_seed_update_and_rank() -> None:
    first = drawn(Ranks(0, 2), 0, 5)
    others = [drawn(Ranks(1, 2), 0, 5), drawn(Ranks(0, 2), 1, 5), drawn(Ranks(0, 2), 0, 6)]
    assert drawn(Ranks(0, 2), 0, 5) == first and len({tuple(draws) for draws in (first, *others)}) == 4
    torch.manual_seed(3)
    goes_on = torch.rand(4).tolist()
    torch.manual_seed(3)
    assert drawn(ALONE, 0, 5) == goes_on  # a single process continues its random stream


def test_rank_0_writes_and_several_are_counted() -> None:
    assert [Ranks(rank, 2).is_main for rank in (0, 1)] == [True, False]
    assert (ALONE.words(), Ranks(0, 2).words()) == ("", ", 2 processes")


def test_synchronised_statistics_are_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    model, two = nn.BatchNorm2d(3), Ranks(0, 2)
    assert two.normalising(model, "local") is model is ALONE.normalising(model, "synchronised")
    with pytest.raises(UserError, match="needs CUDA GPUs"):
        two.normalising(model, "synchronised")
    on_gpu = Mock(parameters=lambda: iter([Mock(device=torch.device("cuda"))]))
    monkeypatch.setattr(nn.SyncBatchNorm, "convert_sync_batchnorm", lambda model: (model, "converted"))
    assert two.normalising(on_gpu, "synchronised") == (on_gpu, "converted")


@pytest.mark.parametrize(
    ("platform", "variables", "calls"),
    [("linux", {"TORCHELASTIC_RUN_ID": "x"}, [(1, signal.SIGTERM)]), ("linux", {}, []),
     ("darwin", {"TORCHELASTIC_RUN_ID": "x"}, [])],
)  # fmt: skip
def test_workers_of_torchrun_on_linux_end_with_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], calls: list[tuple[int, int]]
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Mock(prctl=lambda *given: asked.append(given)))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "environ", variables)
    distributed._end_with_parent()
    assert asked == calls


def test_values_and_sums_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake second process adds 2 and 3, and a fake main process sends "main"."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: sums.add_(torch.tensor([2.0, 3.0])))
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "gloo")

    def broadcast(held: list[str], src: int, device: torch.device) -> None:
        assert (src, device) == (0, torch.device("cpu"))
        held[0] = "main"

    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)
    for ranks, expected, value in ((ALONE, [1.0, 1.0], "mine"), (Ranks(1, 2), [3.0, 4.0], "main")):
        sums = torch.ones(2)
        ranks.add(sums)
        assert sums.tolist() == expected and ranks.from_main("mine") == value
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "nccl")
    assert distributed._device() == torch.device("cuda")


@pytest.mark.fault("processes whose weights have drifted apart", "`... the processes hold different weights; ...`")
@pytest.mark.parametrize("apart", [-1e-9, 0.0, 1e-9])
def test_weights_that_differ_are_noticed(monkeypatch: pytest.MonkeyPatch, apart: float) -> None:
    model = nn.Linear(3, 2)
    other = sum(parameter.double().sum() for parameter in model.parameters()) + apart

    def all_reduce(ends: torch.Tensor, how: object) -> None:
        assert how == torch.distributed.ReduceOp.MAX
        ends.copy_(torch.maximum(ends, torch.stack([other, -other]).detach()))

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    ALONE.check_alike(model, 7)
    if apart:
        with pytest.raises(UserError, match="after update 7 the processes hold different weights"):
            Ranks(0, 2).check_alike(model, 7)
    else:
        Ranks(0, 2).check_alike(model, 7)


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Makes this process the second of two on this machine; returns the recorded calls to torch."""
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    monkeypatch.setattr(os, "environ", variables)
    joined: list[object] = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda kind, timeout: joined.append(kind))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: joined.append("left"))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", joined.append)
    monkeypatch.setattr(distributed, "LINGER", 0.0)
    return joined


@pytest.mark.parametrize(("device", "calls"), [("cpu", ["gloo", "left"]), ("cuda", [1, "nccl", "left"])])
def test_a_process_joins_and_leaves(second: list[object], device: str, calls: list[object]) -> None:
    with distributed.join(device) as ranks:
        assert ranks == Ranks(1, 2)
    assert second == calls
    assert ("GLOO_SOCKET_IFNAME" in os.environ) == (device == "cpu")


def test_on_several_machines_gloo_finds_its_own_way(second: list[object]) -> None:
    os.environ["LOCAL_WORLD_SIZE"] = "1"
    with distributed.join("cpu"):
        assert "GLOO_SOCKET_IFNAME" not in os.environ


@pytest.mark.parametrize(("text", "lost"), [("[..] Connection closed by peer", True), ("size mismatch", False)])
def test_only_a_lost_peer_is_called_one(second: list[object], text: str, lost: bool) -> None:
    expected = (UserError, "another process of this training has ended") if lost else (RuntimeError, text)
    with pytest.raises(expected[0], match=expected[1]), distributed.join("cpu"):
        raise RuntimeError(text)


@pytest.mark.parametrize(
    ("variables", "several"),
    [
        ({}, False), ({"RANK": "0"}, False), ({"WORLD_SIZE": "2"}, False), ({"RANK": "0", "WORLD_SIZE": "1"}, False),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
    ],
)  # fmt: skip
def test_a_job_is_several_processes(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], several: bool) -> None:
    monkeypatch.setattr(os, "environ", variables)
    assert distributed.in_job() == several


def test_alone_nothing_is_computed_or_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    model, value = nn.Linear(2, 2), object()
    assert ALONE.averaging(model) is model is ALONE.normalising(model, "synchronised")
    assert ALONE.from_main(value) is value and ALONE.weight(3, 5) == 1.0
    monkeypatch.delenv("RANK", raising=False)
    with distributed.join("cuda") as ranks:  # it looks for no GPU either
        assert ranks is ALONE and not torch.distributed.is_initialized()


def test_other_recipes_are_refused_with_other_processes_too(tmp_path: Path) -> None:
    plan = {"task": "mt", "device": "cpu", "seed": 0}
    two, other = Ranks(0, 2), {**plan, "seed": 1}
    mine = session.Session(tmp_path, MT, plan).identity
    assert checkpoint.of_other_processes(mine, session.Session(tmp_path, MT, plan, ranks=two).identity)
    for changed in (
        session.Session(tmp_path, MT, other, ranks=two),
        session.Session(tmp_path, replace(MT, dropout=0.1), plan, ranks=two),
        session.Session(tmp_path, MT, plan, program="b", ranks=two),
    ):
        assert not checkpoint.of_other_processes(mine, changed.identity)
    assert mine["hash"] != session.Session(tmp_path, MT, plan, ranks=two).identity["hash"]
    with pytest.raises(UserError, match="batch_norm: expected 'local' or 'synchronised', got 'x'"):
        from_values(type(CLS), as_dict(CLS) | {"batch_norm": "x"}, "here")


@pytest.mark.fault(
    "a process for which there is no GPU", "`process ... of this machine has no CUDA GPU: ...; set NPROC=...`"
)
def test_more_processes_than_gpus_get_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(UserError, match=r"process 4 of this machine has no CUDA GPU: torch sees 2; set NPROC=2"),
        distributed.join("cuda"),
    ):
        pass


@pytest.mark.parametrize("option", ["forward_sync_buffers", "broadcast_buffers"])
def test_no_statistics_are_exchanged_by_any_torch(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """torch 2.13 renamed the option that turns this off, and rejects the old name or warns about it."""
    seen: dict[str, object] = {}
    signatures = {
        "forward_sync_buffers": lambda module, broadcast_buffers=None, forward_sync_buffers=None: seen.update(
            broadcast_buffers=broadcast_buffers, forward_sync_buffers=forward_sync_buffers
        ),
        "broadcast_buffers": lambda module, broadcast_buffers=True: seen.update(broadcast_buffers=broadcast_buffers),
    }
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", signatures[option])
    Ranks(0, 2).averaging(nn.Linear(1, 1))
    assert seen.pop(option) is False and not any(seen.values())
