"""The progress of a training: rate of the last seconds, time left by the work that is left."""

import re
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
