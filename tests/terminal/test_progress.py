"""The progress of a training: the recent rate, and the time left estimated from the remaining work."""

import os
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from onepage.cls.train import Timetable
from onepage.terminal import progress
from onepage.terminal.progress import Reporter, clock

TABLE = Timetable(10, 5, ((0, 16), (4, 32)))


class Clock:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, form: str) -> str:
        return "then"


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def test_work_counts_pixels_over_the_stages() -> None:
    assert [TABLE.work(updates) for updates in (0, 3, 4, 6, 10)] == [0, 3 * 256, 1024, 1024 + 2048, 1024 + 6 * 1024]


def test_time_left_goes_by_the_work_left(tmp_path: Path, hands: Clock) -> None:
    report = Reporter("cls", 10, "images", tmp_path / "log", done=1, work=TABLE.work)
    for _ in range(3):  # up to update 4: three updates of 16 px in three seconds
        hands.now += 1.0
        report.advance(256, "")
    assert report.seconds_left(hands.now) == pytest.approx(6 * 4)  # six of 32 px, each four times the work


def test_without_it_every_update_is_alike(tmp_path: Path, hands: Clock) -> None:
    report = Reporter("mt", 10, "tokens", tmp_path / "log")
    for _ in range(4):
        hands.now += 2.0
        report.advance(5, "")
    assert report.seconds_left(hands.now) == pytest.approx(12)


def test_lines_tell_recent_rate_and_time_left(tmp_path: Path, hands: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    report = Reporter("mt", 100, "tokens", tmp_path / "log")
    for seconds in (1.0, *[4.0] * 5):  # one fast update, then slow ones
        hands.now += seconds
        report.advance(40, "loss 1.000")
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"mt  update 6/100  loss 1.000  10 tokens/s  {clock(21 / 6 * 94)} left"
    assert (tmp_path / "log").read_text().splitlines() == [f"then  {line}"]


def test_a_heading_is_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress.heading("Training: [cls]")
    assert capsys.readouterr().out == "== Training: [cls]\n"


def test_a_heading_on_a_terminal_has_no_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "console", Console(force_terminal=True, width=60))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    progress.heading("Claims")
    out = capsys.readouterr().out
    assert "Claims" in out and "─" * 40 in out and not re.search(r"\x1b\[[0-9;]*(3|4|9)[0-7]m", out)


@pytest.mark.parametrize(
    ("used", "waited", "cores", "crowded"),
    [
        (13.3, 6.7, 2, True),  # two threads that spin beside one busy process
        (9.0, 4.0, 2, True),  # threads that sleep while they wait for each other
        (15.0, 5.0, 64, True),  # on a large machine whose cores are all in use
        (19.5, 0.3, 2, False),  # alone
        (8.0, 0.3, 2, False),  # alone, and waiting for the disk
        (19.8, 20.0, 2, False),  # four threads of its own on two cores
        (10.0, 10.0, 1, False),  # two on the one core that its container may use
        (0.1, 0.1, 2, False),  # idle
    ],
)
def test_other_programs_are_told_by_waiting(
    used: float, waited: float, cores: int, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured over ten seconds. Load or core time alone would mislead, since threads at a barrier may spin."""
    seen = iter([(5.0, 1.0), (5.0 + used, 1.0 + waited), (5.0 + used, 1.0 + waited)])
    monkeypatch.setattr(progress, "used_and_waited", lambda: next(seen))
    monkeypatch.setattr(progress, "cores", lambda: cores)
    found = progress.Cores()
    assert found.crowded(10.0) is crowded
    assert not found.crowded(10.0)  # the other program has ended


@pytest.mark.fault("a busy program beside a training", "its lines say `(other programs use the cores)`")
def test_a_line_says_who_takes_the_cores(
    tmp_path: Path, hands: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.Cores, "crowded", lambda cores, seconds: hands.now > 130)
    report = Reporter("mt", 100, "tokens", tmp_path / "log")
    for _ in range(6):
        hands.now += 10.0
        report.advance(40, "loss 1.000")
    before, beside, _ = capsys.readouterr().out.splitlines()
    assert before.endswith(" left") and beside.endswith(" left  (other programs use the cores)")


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux counts how long a thread waits")
def test_time_on_and_for_a_core_is_counted() -> None:
    used, waited = progress.used_and_waited()
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    after = progress.used_and_waited()
    assert after[0] - used >= 0.04 and after[1] >= waited >= 0
    assert 0 < progress.cores() <= (os.cpu_count() or 1)
