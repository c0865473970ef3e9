"""doctor: each row is ok or states a remedy, on a machine from which a test removes something."""

import os
import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest

from onepage.commands import doctor
from onepage.errors import UserError
from onepage.planning import recipes
from onepage.runs import settings
from onepage.terminal import environment

ESCAPE = "\x1b["


def status(state: str, where: str = "https://host.example/file", name: str = "host.example") -> SimpleNamespace:
    return SimpleNamespace(name=name, where=where, state=state, detail="told by the test")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """A complete machine: sources answer, an engine is there. Tests change ``states`` and ``engine``.

    ``run`` returns (exit status, output).
    """
    made = SimpleNamespace(states=["reachable"], engine="latex", asked=[])
    fetch, pdf = ModuleType("onepage.data.fetch"), ModuleType("onepage.report.pdf")

    def source_status(
        name: str, data_dir: Path, mirror: str | None, src: str, tgt: str, timeout: float
    ) -> list[SimpleNamespace]:
        made.asked.append((name, data_dir, mirror, src, tgt, timeout))
        return [status(state) for state in made.states]

    def resolve_engine(wanted: str) -> str:
        if isinstance(made.engine, Exception):
            raise made.engine
        return str(made.engine)

    fetch.source_status = source_status  # type: ignore[attr-defined]
    pdf.resolve_engine = resolve_engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onepage.data.fetch", fetch)
    monkeypatch.setitem(sys.modules, "onepage.report.pdf", pdf)
    fake_torch(monkeypatch)
    plenty = SimpleNamespace(free=100 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: plenty)
    monkeypatch.setattr(doctor, "total_memory", lambda: 16 * 10**9)
    monkeypatch.setattr(doctor, "_nvidia_gpu_is_here", lambda: False)

    def run(folder: Path = tmp_path) -> tuple[int, str]:
        given = {"DATA_DIR": str(folder / "data"), "OUT": str(folder), "DATA_MIRROR": "https://mirror.example"}
        found = doctor.run(settings.resolve({"TGT": "fr"}) | given)
        return found, capsys.readouterr().out

    made.run = run
    return made


def fake_torch(monkeypatch: pytest.MonkeyPatch, cuda_build: str | None = None, usable: bool = False) -> None:
    torch = ModuleType("torch")
    torch.__version__ = "2.13.0+test"  # type: ignore[attr-defined]
    torch.version = SimpleNamespace(cuda=cuda_build)  # type: ignore[attr-defined]
    cuda = SimpleNamespace(is_available=lambda: usable, get_device_name=lambda index: "Test GPU")
    torch.cuda = cuda  # type: ignore[attr-defined]
    torch.ones = MagicMock()  # type: ignore[attr-defined]
    torch.OutOfMemoryError = MemoryError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_complete_machine_passes_and_names_every_row(machine: SimpleNamespace, tmp_path: Path) -> None:
    status, text = machine.run()
    assert status == 0
    for what in ("Python", "torch", "cores", "arithmetic", "memory", "disk", "PDF", "CIFAR-10", "Multi30k en-fr"):
        assert what in text
    assert "remedy" not in text.split("found, and the remedy")[1]
    expected = (tmp_path / "data", "https://mirror.example", "en", "fr", doctor.PROBE_SECONDS)
    assert machine.asked == [("cifar10", *expected), ("multi30k", *expected)]


def test_variables_that_do_not_count_are_rows(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(environment, "overridden", environment.settle({"MPLBACKEND": "qt", "MKL_CBWR": "[red]"}))
    status, text = machine.run()
    assert status == 0 and "MKL_CBWR=[red] removed: it can change how" in text and "MPLBACKEND=qt now agg: " in text


def test_missing_torch_is_a_row_with_its_remedy(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # makes "import torch" raise ImportError
    status, text = machine.run()
    assert status == 1 and "remedy: make setup" in text and "CIFAR-10" in text
    assert "cannot run yet: torch" in text


def test_no_network_is_a_note(machine: SimpleNamespace, tmp_path: Path) -> None:
    machine.states = ["not reachable", "not reachable"]
    status, text = machine.run()
    assert status == 0 and text.count(" note ") == 2 and "DATA_MIRROR=" in text and "generated" in text
    row = doctor.data_row("cifar10", tmp_path, None, "en", "de")
    assert row.state == "note" and "told by the test" in row.found


@pytest.mark.parametrize("state", ["cached", "mirror", "reachable"])
def test_one_source_is_enough(machine: SimpleNamespace, tmp_path: Path, state: str) -> None:
    machine.states = ["not reachable", state]
    row = doctor.data_row("multi30k", tmp_path, None, "en", "de")
    assert row.state == "ok" and f"host.example: {state}" in row.found


def test_unknown_language_is_a_row(machine: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("SRC=xx is no language of Multi30k")

    monkeypatch.setattr(sys.modules["onepage.data.fetch"], "source_status", refuse)
    row = doctor.data_row("multi30k", tmp_path, None, "xx", "de")
    assert row.state == "missing" and "SRC=xx" in row.found and row.remedy


@pytest.mark.fault("neither LaTeX nor typst", "make doctor: missing, with the remedy")
def test_no_pdf_engine(machine: SimpleNamespace) -> None:
    machine.engine = UserError("neither LaTeX nor typst works")
    status, text = machine.run()
    assert status == 1 and "neither LaTeX nor typst works" in text


@pytest.mark.parametrize(
    ("device", "build", "state", "found", "remedy"),
    [
        ("auto", (None, False), "ok", "device cpu", ""),
        ("auto", ("13.0", True), "ok", "Test GPU", ""),
        ("cpu", ("13.0", True), "ok", "device cpu", ""),
        ("cuda", (None, False), "missing", "without CUDA", "TORCH=cuda"),
        ("cuda", ("13.0", False), "missing", "no GPU", "DEVICE=cpu"),
    ],
)
def test_device(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch,
    device: str, build: tuple[str | None, bool], state: str, found: str, remedy: str,
) -> None:  # fmt: skip
    fake_torch(monkeypatch, *build)
    row = doctor.torch_row(device)
    assert row.state == state and found in row.found
    assert remedy in row.remedy and bool(remedy) == bool(row.remedy)


def test_unused_gpu_is_noted(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_nvidia_gpu_is_here", lambda: True)
    row = doctor.torch_row("auto")
    assert row.state == "note" and row.remedy == "make setup TORCH=cuda"


OLD_DRIVER = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update"
NO_CODE = "CUDA error: no kernel image is available for execution on the device\nSearch for `cudaErrorNoKernelImage'"


@pytest.mark.fault("a GPU that torch cannot use: old driver, no code for it", "make doctor: a note, with its remedy")
@pytest.mark.parametrize("why", [OLD_DRIVER, NO_CODE, "hidden"])
def test_a_gpu_that_cannot_be_used_is_noted(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """This applies to a CUDA build. DEVICE=cpu needs no GPU, and DEVICE=cuda cannot run."""
    fake_torch(monkeypatch, "13.0", usable=why == NO_CODE)
    torch = sys.modules["torch"]

    def is_available() -> bool:
        warnings.warn(OLD_DRIVER, stacklevel=1)
        return False

    if why == NO_CODE:
        monkeypatch.setattr(torch, "ones", MagicMock(side_effect=RuntimeError(NO_CODE)))
    elif why == OLD_DRIVER:
        monkeypatch.setattr(torch.cuda, "is_available", is_available)
    else:
        monkeypatch.setattr(doctor, "_nvidia_gpu_is_here", lambda: True)
    rows = {device: doctor.torch_row(device) for device in ("auto", "cuda", "cpu")}
    assert {device: row.state for device, row in rows.items()} == {"auto": "note", "cuda": "missing", "cpu": "ok"}
    for row in (rows["auto"], rows["cuda"]):
        assert "driver" in row.remedy and "TORCH=cpu" in row.remedy and "\n" not in row.found
    told = {
        OLD_DRIVER: "driver on your system is too old (found version 11040)",
        NO_CODE: "no kernel image",
        "hidden": "",
    }
    assert told[why] in rows["auto"].found and rows["auto"].found.startswith("2.13.0+test, device cpu, ")


def test_full_disk_and_little_memory(machine: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10**8))
    (disk,) = doctor.disk_rows(tmp_path / "data", tmp_path)
    assert disk.state == "missing" and "0.1 GB" in disk.found and disk.remedy
    monkeypatch.setattr(doctor, "total_memory", lambda: 2 * 10**9)
    memory = doctor.memory_row()
    assert memory.state == "note" and "2.0 GB" in memory.found and memory.remedy


def test_arithmetic_is_that_which_trains_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, said in (("bf16", "faster than fp32 here"), ("bf16-half", "half the rate"), ("fp32", "shorter recipes")):
        precision = kind.partition("-")[0]
        monkeypatch.setattr(recipes, "auto_precision", lambda device, precision=precision: precision)
        monkeypatch.setattr(recipes, "hardware", lambda device, kind=kind: kind)
        row = doctor.arithmetic_row()
        assert row.state == "ok" and row.found.startswith(precision) and said in row.found
        assert (f"shorter recipes ([on.{kind}] in quick.toml)" in row.found) == (kind != "bf16")


def test_total_memory_is_that_of_this_machine() -> None:
    assert 10**8 < doctor.total_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("columns", ["36", "80"])
def test_narrow_and_without_a_terminal(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    machine.states = ["not reachable"]
    _, text = machine.run()
    assert ESCAPE not in text
    assert max(map(len, text.splitlines())) <= int(columns)
    assert "DATA_MIRROR" in text.replace("\n", "")


def test_no_color_is_kept(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    machine.states = ["not reachable"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[33m" in machine.run()[1]  # yellow, so that the next line can fail
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in machine.run()[1]


def test_brackets_in_a_path_are_shown(
    machine: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    folder = tmp_path / "[red]odd"
    folder.mkdir()
    assert "[red]odd" in machine.run(folder)[1]
