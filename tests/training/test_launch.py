"""`onepage train` with two processes: killed, restarted by torchrun, stopped by a signal; and torchrun's options."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from onepage import tasks
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.files import read_json
from onepage.planning.decide import decide
from onepage.runs import plan, settings, stamps
from onepage.runs.fingerprint import Fingerprints
from onepage.training import distributed, launch
from onepage.training.checkpoint import load_model
from onepage.training.weights import digest_tensors

CODE = Path(__file__).resolve().parents[2] / "code"
PATIENCE = 240  # seconds, also on a busy machine
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes through /proc")
RECIPE = """updates = {updates}
batch_tokens = 200
adamw_learning_rate = 3e-3
vocabulary = 300
d_model = 16
d_ff = 32
heads = 2
encoder_layers = 1
decoder_layers = 1
validations = 3
threads = 1
precision = "fp32"
"""


class Training:
    """Trains a small Transformer with two processes from the command line, in a separate folder."""

    def __init__(self, place: Path, updates: int = 3000):
        self.place, self.data = place, place / "data"
        (place / "recipe.toml").write_text(RECIPE.format(updates=updates), encoding="utf-8")
        given = {"OUT": str(place), "DATA_DIR": str(self.data), "DATA": "generated", "DEVICE": "cpu"}
        values = settings.resolve(given | {"RECIPE": str(place / "recipe.toml")})
        self.planned = decide("mt", values, again=False, say=str, begins=lambda: None)["run"]

    def plan(self, name: str, processes: int = 2, torchrun: str = "") -> Path:
        """A run folder with its plan, as make would write it."""
        run = self.place / name
        whole = self.planned | {"seed": 0, "data_dir": str(self.data), "processes": processes, "torchrun": torchrun}
        for stage, values in stamps.of_run(whole, tasks.get("mt"), Fingerprints()).items():
            plan.write(run, stage, values)
        return run

    def start(self, name: str, torchrun: str = "", save_every: float = 0.0) -> subprocess.Popen:
        command = [sys.executable, "-m", "onepage", "train", str(self.plan(name, torchrun=torchrun))]
        environment = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
        environment |= {"PYTHONPATH": str(CODE), "ONEPAGE_SAVE_EVERY": str(save_every)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def saved(self, name: str) -> int:
        """The update of the newest checkpoint, or 0."""
        found = [int(path.stem.rpartition("-")[2]) for path in (self.place / name).glob("checkpoint-*.json")]
        return max(found, default=0)

    def wait_for(self, process: subprocess.Popen, name: str, update: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.saved(name) < update:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def digest(self, name: str) -> str:
        return digest_tensors(load_model(self.place / name / "model.pt")[0])


def process_of_rank(parent: int, rank: int) -> int:
    """The id of the process that ``parent`` started for a rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if mine and f"RANK={rank}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"no process of rank {rank}")


def ended(process: subprocess.Popen) -> tuple[int, list[str], str]:
    """(status, lines on stderr, stdout)."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err.splitlines(), out


@pytest.mark.slow
@needs_proc
@pytest.mark.fault(
    "a process of several is killed",
    "`process ... of the training was killed (...); ...`: after which update it goes on; torchrun can do so by itself",
)
def test_a_killed_process_ends_or_restarts_the_job(tmp_path: Path) -> None:
    """The job ends with one line. With --max-restarts, torchrun resumes it, and it ends with the same bytes."""
    training = Training(tmp_path, updates=240)
    status, err, _ = ended(training.start("straight", save_every=60.0))
    assert (status, err) == (0, [])

    process = training.start("killed")
    training.wait_for(process, "killed", 10)
    os.kill(process_of_rank(process.pid, 1), signal.SIGKILL)
    status, err, _ = ended(process)
    saved = training.saved("killed")
    assert saved >= 10 and status == 1
    assert err == [
        f"onepage: process 1 of the training was killed (SIGKILL); saved after update {saved}; "
        "run the same command to go on"
    ]

    process = training.start("killed", "--max-restarts 2")
    for rank in (0, 1):  # each process once
        training.wait_for(process, "killed", training.saved("killed") + 10)
        os.kill(process_of_rank(process.pid, rank), signal.SIGKILL)
        killed_at = training.saved("killed")
        training.wait_for(process, "killed", killed_at + 2)
    status, err, out = ended(process)
    assert (status, err) == (0, []) and out.count("resuming at update") == 3
    assert training.digest("killed") == training.digest("straight")
    assert read_json(tmp_path / "killed" / "run.json")["processes"] == 2


@pytest.mark.slow
@needs_proc
@pytest.mark.fault(
    "SIGTERM or Ctrl-C to a training of several processes",
    "`stopped, ...`: saved after which update; the same command goes on",
)
def test_a_signalled_or_killed_launcher_leaves_no_process(tmp_path: Path) -> None:
    training = Training(tmp_path)
    process = training.start("run")
    training.wait_for(process, "run", 5)
    ranks = [process_of_rank(process.pid, rank) for rank in (0, 1)]
    process.send_signal(signal.SIGTERM)
    status, err, _ = ended(process)
    saved = training.saved("run")
    assert status == 128 + signal.SIGTERM
    assert err == [f"onepage: SIGTERM: stopped, saved after update {saved}; run the same command to go on"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)

    process = training.start("run")
    training.wait_for(process, "run", saved + 5)
    ranks = [process_of_rank(process.pid, rank) for rank in (0, 1)]
    process.kill()
    ended(process)
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_finished_runs_start_none_and_refusals_are_short(tmp_path: Path) -> None:
    training = Training(tmp_path, updates=4)
    assert ended(training.start("run"))[:2] == (0, [])
    before = (tmp_path / "run/train.log").read_bytes()
    assert ended(training.start("run")) == (0, [], "") and (tmp_path / "run/train.log").read_bytes() == before
    environment = os.environ | {"PYTHONPATH": str(CODE), "OMP_NUM_THREADS": "1"}
    command = ["torch.distributed.run", "--nproc-per-node", "2", "-m", "onepage", "--", "train"]
    command.append(str(training.plan("torchrun", processes=1)))
    subprocess.run([sys.executable, "-m", *command], env=environment, check=True, capture_output=True, timeout=PATIENCE)
    assert training.digest("torchrun") == training.digest("run")
    one = training.plan("alone", processes=1, torchrun="--max-restarts 1")  # it does not start another torchrun
    command = [sys.executable, "-m", "onepage", "train", str(one)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PATIENCE)
    assert training.digest("alone")

    shutil.rmtree(tmp_path / "data" / "toy-translation")
    status, err, _ = ended(training.start("other"))
    assert status == 1 and len(err) == 1 and err[0].startswith("onepage: ") and "toy-translation" in err[0]


@pytest.mark.fault("options that torchrun does not know", "`TORCHRUN=...: ...; see: torchrun --help`")
@pytest.mark.parametrize(
    ("options", "says"),
    [("--nodes 2", "--nodes"), ("x.py", "x.py is not an option of torchrun"), ("--rdzv-id '1", "No closing quotation")],
)
def test_options_that_torchrun_refuses_get_one_line(options: str, says: str, capsys) -> None:
    with pytest.raises(UserError, match=says) as caught:
        launch.parse(2, options)
    assert "\n" not in str(caught.value) and capsys.readouterr().err == ""


@pytest.mark.parametrize(("options", "world"), [("", 4), ("--nnodes 2", 8), ("--nnodes=1:3 --max-restarts 1", 12)])
def test_processes_are_counted_over_all_nodes(options: str, world: int) -> None:
    assert launch.world(4, options) == world


@pytest.mark.fault("NPROC=2 on a host whose name does not resolve", "the processes meet by the loopback address")
@pytest.mark.parametrize("options", ["", "--standalone", "--max-restarts 3", "--nnodes 1", "--nnodes=1:1"])
def test_one_machine_needs_no_name(options: str) -> None:
    """Neither the host's name nor ``localhost`` is looked up."""
    found = launch.parse(2, options)
    assert (found.local_addr, found.rdzv_backend, found.rdzv_endpoint) == ("127.0.0.1", "c10d", "127.0.0.1:0")
    assert not found.standalone and len(found.rdzv_id) == 36


@pytest.mark.parametrize(
    ("options", "local", "endpoint"),
    [
        ("--nnodes 2 --rdzv-backend c10d --rdzv-endpoint head:29500", None, "head:29500"),
        ("--nnodes 1:4 --rdzv-backend c10d --rdzv-endpoint head:29500", None, "head:29500"),
        ("--nnodes 2 --node-rank 1 --master-addr head", None, ""),
        ("--nnodes 2 --local-addr 10.0.0.2", "10.0.0.2", ""),
        ("--rdzv-backend c10d --rdzv-endpoint 10.0.0.2:0 --local-addr 10.0.0.2", "10.0.0.2", "10.0.0.2:0"),
        ("--master-port 29511", "127.0.0.1", ""),
    ],
)
def test_a_rendezvous_of_the_user_is_kept(options: str, local: str | None, endpoint: str) -> None:
    found = launch.parse(2, options)
    assert (found.local_addr, found.rdzv_endpoint) == (local, endpoint)


@pytest.mark.parametrize(("options", "kept"), [("", False), ("--nnodes 2", True)])
def test_interfaces_named_are_for_several_machines(
    options: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine uses its loopback interface and ignores the interfaces that the caller names for a cluster."""
    seen: dict[str, str] = {}
    monkeypatch.setattr("torch.distributed.run.run", lambda arguments: seen.update(os.environ))
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "ib7")
    for name in ("OMP_NUM_THREADS", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"):
        monkeypatch.setenv(name, "1")  # the launcher sets these if they are missing
    launch.launch(tmp_path, 2, options, 1, ["train"])
    assert seen[launch.LAUNCHED] == "1"
    assert [name in seen for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")] == [kept] * 2


@pytest.mark.fault(
    "RANK, WORLD_SIZE, PET_NNODES of the caller's job", "`RANK and WORLD_SIZE are ignored: ...`; a training by itself"
)
def test_variables_of_the_callers_job_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only variables that torchrun set for this process make it one of several."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    job = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "head", "PET_NNODES": "2"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(main, ["train", str(tmp_path)]).stderr.splitlines()[0] == (
        "onepage: RANK and WORLD_SIZE are ignored: torchrun did not start this process"
    )
    assert not distributed.in_job() and launch.world(2, "") == 2
    for name, value in ({"RANK": "3", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "x"}).items():
        monkeypatch.setenv(name, value)
    assert not launch.leave_other_jobs() and distributed.in_job()


def failure(exitcode: int, timestamp: int, message: str = "<NONE>") -> SimpleNamespace:
    told = {"message": message}
    return SimpleNamespace(exitcode=exitcode, timestamp=timestamp, message=message, error_file_data=told)


def test_the_process_that_failed_first_gives_the_reason(tmp_path: Path) -> None:
    failures = {0: failure(1, 12, "another process of this training has ended"), 3: failure(1, 11, "disk full")}
    assert launch.reason(failures, tmp_path) == "disk full"
    assert launch.reason({2: failure(1, 5)}, tmp_path).startswith("process 2 of the training failed (its error is")
    (tmp_path / "checkpoint-00000120.json").touch()
    killed = launch.reason(failures | {1: failure(-9, 10)}, tmp_path)
    assert killed.startswith("process 1 of the training was killed (SIGKILL); saved after update 120; ")


def test_an_error_is_left_for_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    path = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
    assert not launch.told("plain torchrun shows what is on stderr") and not path.exists()
    monkeypatch.setenv(launch.LAUNCHED, "1")
    assert launch.told("no space")
    read = ProcessFailure(0, 1, 1, str(path))
    assert launch.reason({0: read}, tmp_path) == "no space"
