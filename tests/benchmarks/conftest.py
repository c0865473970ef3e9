"""A worker process of a benchmark sets the checkpoint intervals for good; in a test they must come back."""

import pytest

from onepage.training import session


@pytest.fixture(autouse=True)
def checkpoint_intervals_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAVE_EVERY_SECONDS", "EPOCH_SECONDS"):
        monkeypatch.setattr(session, name, getattr(session, name))
