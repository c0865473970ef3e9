"""Small measurements in the test process. Settings that a measurement changes are restored after each test."""

from pathlib import Path

import pytest

from onepage.benchmarks import machine, plain_cls, process
from onepage.benchmarks.process import Measurement
from onepage.cls.recipe import Recipe, Stage
from onepage.data import fetch, toy_images
from onepage.data.images import load_images
from onepage.runs import provenance
from onepage.training import session
from onepage.training.recipe import as_dict

CLS = Recipe((Stage(1.0, 8),), 8, "sgd", 0.05, 5e-4, validations=2, validation_size=16, threads=1)


@pytest.fixture(autouse=True)
def settings_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAVE_EVERY_SECONDS", "EPOCH_SECONDS"):
        monkeypatch.setattr(session, name, getattr(session, name))
    monkeypatch.setattr(process, "SETTLE", 0.0)  # other tests keep the machine busy


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small matrices and batches, one core, and a separate folder for locks."""
    monkeypatch.setattr(machine, "SIZES", {"cpu": (16,)})
    monkeypatch.setattr(plain_cls, "BATCH_SIZE", 8)
    monkeypatch.setattr(provenance, "cores", lambda: 1)
    locks = tmp_path / "locks"
    locks.mkdir()
    monkeypatch.setattr("onepage.training.locking.tempfile.gettempdir", lambda: str(locks))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs measurements in this process; returns the names of the measured functions in order."""
    order: list[str] = []

    def measure(self: Measurement, folder: Path, watch=lambda: False) -> dict:
        order.append(self.function.__name__)
        found = self.function(**self.given(folder))
        watch()
        return found

    monkeypatch.setattr(Measurement, "measure", measure)
    return order


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The plan of a run on a generated set of 80 images."""
    data_dir = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_images, "TRAIN", 80)
        patch.setattr(toy_images, "TEST", 4)
        fetch.ensure("toy-images", data_dir)
    digest = load_images(data_dir, "toy-images").digest
    plan = {"task": "cls", "set": "toy-images", "generated": True, "profile": "small", "seed": 0, "data_digest": digest}
    plan |= {"device": "cpu", "precision": "fp32", "threads": 1, "recipe": as_dict(CLS)}
    return plan | {"data_dir": str(data_dir)}
