"""The training loop of the Transformer: how often it reads the loss does not change its numbers."""

from pathlib import Path

import pytest

from onepage.runs import history
from onepage.terminal.progress import Reporter
from onepage.training import state
from small_training import run


def test_reading_the_loss_less_changes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rare readings, as on a GPU, keep weights and history the same; the progress line shows the last reading."""
    notes: list[str] = []
    real = Reporter.advance
    monkeypatch.setattr(Reporter, "advance", lambda self, units, note: (notes.append(note), real(self, units, note))[1])

    def trained(name: str) -> tuple[str, list[dict]]:
        notes.clear()
        digest = run("mt", tmp_path / name)
        rows = history.read(tmp_path / name / "history.jsonl")
        return digest, [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    each = trained("each")
    assert len(notes) == 8 and "" not in notes
    monkeypatch.setattr(state, "READ_EVERY", {"cpu": 3})
    assert trained("third") == each
    assert notes == ["", "", notes[2], notes[3], notes[3], notes[5], notes[5], notes[7]] and all(notes[2:])
