"""env/bundle.py: which wheels it requests, when it does nothing, and what a failure leaves. Most tests fake pip."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def bundler(
    load: Callable[[str], ModuleType],
    locks: Path,
    put_python: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> SimpleNamespace:
    """bundle.py with an environment that looks complete; ``fail`` makes pip fail after its first wheel."""
    setup, module = load("setup"), load("bundle")
    venv = tmp_path / "venv"
    put_python(venv, "echo 3.11")
    (venv / "stamp.json").write_text(json.dumps({"torch": "cpu", "python": "3.11.7"}), encoding="utf-8")
    state = SimpleNamespace(module=module, setup=setup, locks=locks, venv=venv, folder=tmp_path / "wheels")
    state.asked, state.fail = [], None

    def pip_download(venv: Path, folder: Path, arguments: list[str], what: str) -> None:
        (folder / f"{Path(what).stem}-1-py3-none-any.whl").touch()
        if state.fail:
            raise state.fail
        state.asked.append(what)

    monkeypatch.setattr(module, "pip_download", pip_download)
    monkeypatch.setattr(module, "pip_environment", lambda venv: {})
    state.download = lambda asked="auto": module.download(venv, state.folder, asked, locks)  # type: ignore[attr-defined]
    return state


def wheels(bundler: SimpleNamespace) -> set[str]:
    return {path.name.split("-1-")[0] for path in bundler.folder.glob("*.whl")}


def test_wheels_of_the_installed_build_are_taken_once(
    bundler: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    bundler.download()
    assert bundler.asked == ["env/torch-cpu.txt", "env/requirements.txt"]
    about = json.loads((bundler.folder / "wheels.json").read_text(encoding="utf-8"))
    assert (about["torch"], about["python"]) == ("cpu", "3.11") and len(about["locks"]) == 2
    bundler.download()
    assert len(bundler.asked) == 2 and "up to date" in capsys.readouterr().out


def test_stale_wheels_are_removed_first(bundler: SimpleNamespace) -> None:
    bundler.download()
    bundler.download("cuda")
    assert bundler.asked[2:] == ["env/torch-cuda.txt", "env/requirements.txt"]
    assert wheels(bundler) == {"torch-cuda", "requirements"}
    (bundler.locks / "requirements.txt").write_text("# changed\n", encoding="utf-8")
    bundler.download("cuda")
    assert len(bundler.asked) == 6


@pytest.mark.fault("no network in make bundle", "`... could not be downloaded ...`; `BUNDLE=` refuses what is there")
def test_an_unfinished_download_is_no_bundle(bundler: SimpleNamespace) -> None:
    bundler.download()
    bundler.fail = bundler.setup.Problem("no network")
    with pytest.raises(bundler.setup.Problem):
        bundler.download("cuda")
    assert wheels(bundler) == {"torch-cuda"} and not (bundler.folder / "wheels.json").exists()
    bundler.fail = None
    bundler.download()
    assert wheels(bundler) == {"torch-cpu", "requirements"}


def test_without_an_environment_or_room_nothing_is_done(
    bundler: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=5 * 10**6))
    words = ["--folder", str(bundler.folder), "--venv"]
    assert bundler.module.main([*words, str(bundler.venv)]) == 1
    assert "5 MB free" in capsys.readouterr().err
    assert bundler.module.main([*words, str(bundler.folder / "none")]) == 1
    assert "make setup" in capsys.readouterr().err
    assert not bundler.asked


@pytest.mark.slow
def test_the_real_pip_shows_its_own_message(
    load: Callable[[str], ModuleType], lock_of_nothing: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """pip is told to find a package that does not exist, without an index."""
    setup, module = load("setup"), load("bundle")
    folder = lock_of_nothing.parent
    with pytest.raises(setup.Problem, match="could not be downloaded"):
        module.pip_download(folder, folder / "wheels", ["-r", str(lock_of_nothing)], "the lock")
    assert "onepage-no-such-package" in capfd.readouterr().err
