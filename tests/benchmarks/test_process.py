"""A measurement in a separate process: its answer, its failure, and signals."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench_cases import cls_result
from onepage.benchmarks import process, results
from onepage.benchmarks.process import Measurement
from onepage.errors import UserError

CHILD = """
import os, time
from pathlib import Path
from onepage.errors import UserError
def answer(x, run):
    Path(run).mkdir()
    return {"answer": x + 1}
def wait_long(path):
    Path(path).write_text("here")
    time.sleep(600)
def look(pid):
    status = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {"sessions": [os.getsid(int(child)) for child in status], "mine": os.getsid(0)}
def refuse():
    raise UserError("no; do this")
def die():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of measurements that child processes can import; ``folder`` is its location."""
    (tmp_path / "bench_child.py").write_text(CHILD, encoding="utf-8")
    code = Path(process.__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{code}{os.pathsep}{tmp_path}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bench_child", raising=False)
    import bench_child

    return SimpleNamespace(**vars(bench_child), folder=tmp_path)


def test_a_child_answers_or_is_stopped(child: Any) -> None:
    """A function with a parameter ``run`` gets a subfolder of the measurement's folder."""
    assert Measurement(child.answer, {"x": 41}).measure(child.folder / "s") == {"answer": 42}
    assert (child.folder / "s" / "run").is_dir()
    mark = child.folder / "mark"
    assert Measurement(child.wait_long, {"path": str(mark)}).measure(child.folder / "s", mark.exists) == {}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are listed in /proc of Linux")
def test_a_busy_process_runs_beside_a_measurement_and_ends_with_it(child: Any) -> None:
    found = Measurement(child.look, {"pid": os.getpid()}, beside_busy=True).measure(child.folder / "s")
    assert len(found["sessions"]) == 2 and len({os.getsid(0), *found["sessions"]}) == 3
    alone = Measurement(child.look, {"pid": os.getpid()}).measure(child.folder / "s")
    assert alone["sessions"] == [alone["mine"]]


def test_a_failing_child_gets_one_line(child: Any) -> None:
    with pytest.raises(UserError, match=r"^measuring \(refuse\) failed: no; do this$"):
        Measurement(child.refuse, {}).measure(child.folder / "s")
    with pytest.raises(UserError, match="because memory ran out"):
        Measurement(child.die, {}).measure(child.folder / "s")


@pytest.mark.fault("Ctrl-C, or SIGTERM, in a benchmark", "`stopped, nothing is written; ...`")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_ends_the_child_and_leaves_nothing(child: Any, number: int) -> None:
    program = (
        "import sys; import bench_child\n"
        "from onepage.benchmarks import process\n"
        "from onepage.errors import Interrupted\n"
        "try:\n"
        "    with process.scratch() as scratch:\n"
        "        process.Measurement(bench_child.wait_long, {'path': sys.argv[1]}).measure(scratch)\n"
        "except Interrupted as error:\n"
        "    print(error, error.number, scratch.exists(), flush=True)\n"
    )
    mark = child.folder / "mark"
    parent = subprocess.Popen([sys.executable, "-c", program, str(mark)], stdout=subprocess.PIPE, text=True)
    while not mark.exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    said, _ = parent.communicate(timeout=120)
    why = f"{signal.Signals(number).name}: stopped, nothing is written; run the same command again"
    assert said == f"{why} {number:d} False\n"


@pytest.mark.parametrize(
    ("loads", "waits", "busy"),
    [([3.0, 0.8, 0.31], 2, False), ([3.0], 120, True), ([0.1], 0, False)],
)
def test_a_session_waits_for_the_load_of_an_earlier_program_to_fall(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loads: list[float], waits: int, busy: bool
) -> None:
    """Otherwise a benchmark after a training run would count as disturbed."""
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(process, "SETTLE", 120.0)
    monkeypatch.setattr(process, "cpu_training_lock", lambda device, say: contextlib.nullcontext())
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(process, "time", clock)
    load = iter(loads)
    monkeypatch.setattr(process.os, "getloadavg", lambda: (next(load, loads[-1]), 0.0, 0.0))
    result = cls_result()
    with process.session("cls", result, tmp_path):
        pass
    assert (len(slept), results.busy(result)) == (waits, busy) and result["load_before"] == loads[-1]
    (log,) = (tmp_path / "runs/bench").glob("*.log")
    assert log.read_text(encoding="utf-8").count("waiting up to 2 minutes") == min(1, waits)
