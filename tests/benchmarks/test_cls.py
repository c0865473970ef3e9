"""make bench-cls on small generated pictures: workers, turns, curves, and how it ends when it cannot go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench_cases import curve
from onepage.benchmarks import cls, cls_worker, machine, plain_cls, process, results
from onepage.cls.recipe import Recipe, Stage
from onepage.cls.train import lay_out
from onepage.commands.main import main
from onepage.data import images, ready
from onepage.data.sources import ready_name
from onepage.errors import UserError
from onepage.files import read_json, sha256_file, write_json
from onepage.planning import plan as plans
from onepage.runs import history, provenance

RECIPE = """stages = [{ epochs = 1.0, image_size = 8 }]
batch_size = 8
optimiser = "sgd"
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-4
validation_size = 16
validations = 2
threads = 1
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated set of 80 pictures, in the form of the real one."""
    folder = tmp_path_factory.mktemp("data") / "toy-images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (80, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(80, dtype=np.int64) % 10
    names = np.array(list("abcdefghij"))
    arrays = {"train_images": pixels, "train_labels": labels, "test_images": pixels[:4], "test_labels": labels[:4]}
    np.savez(folder / "small.npz", class_names=names, **arrays)
    digests = {"small.npz": sha256_file(folder / "small.npz")}
    ready.write(folder / ready_name("toy-images"), "toy-images", "made for a test", digests, version=1)
    return folder.parent


@pytest.fixture
def plan(data_dir: Path, tmp_path: Path) -> Path:
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    values = {"task": "cls", "set": "toy-images", "generated": True, "src": "en", "tgt": "de", "folder": "toy-images",
              "profile": "own-small", "recipe": str(recipe), "device": "cpu", "auto_precision": "fp32", "threads": 1,
              "data_digest": images.load_images(data_dir, "toy-images").digest, "versions": {}}  # fmt: skip
    write_json(tmp_path / "plan.json", values)
    return tmp_path / "plan.json"


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small matrices and batches, one core, and a lock of this test's own."""
    monkeypatch.setattr(machine, "SIZES", {"cpu": (16,)})
    monkeypatch.setattr(plain_cls, "BATCH_SIZE", 8)
    monkeypatch.setattr(machine, "COPIED_BYTES", {"cpu": 1 << 12})
    monkeypatch.setattr(provenance, "cores", lambda: 1)
    locks = tmp_path / "locks"
    locks.mkdir()
    monkeypatch.setattr("onepage.training.locking.tempfile.gettempdir", lambda: str(locks))


def here(module: str, job: str, arguments: dict, scratch: Path, watch=lambda: False) -> dict:
    """``process.call`` without a process."""
    found = cls_worker.JOBS[job](**arguments)
    watch()
    return found


def test_everything_is_measured_in_turns(
    data_dir: Path, plan: Path, tmp_path: Path, one_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    monkeypatch.setattr(process, "call", lambda *given: (order.append(given[1]), here(*given))[1])
    settings = cls.Settings(
        repeats=2, images=16, minutes=0.002, target=0.05, plain_readings=2, our_readings=2, workers=0
    )
    result = cls.run(plan, data_dir, 3, tmp_path / "out", settings, None)
    assert order == ["machine", "plain loop", "ours", "ours"] * 2 + ["our curve", "plain curve"]
    assert {name: len(taken) for name, taken in result["samples"].items()} == dict.fromkeys(
        ("machine", "plain", "ours-32", "ours-8"), 2
    )
    assert result["samples"]["ours-8"][0]["image_size"] == 8 and result["settings"]["seed"] == 3
    for name in ("plain", "ours-32", "ours-8"):
        assert all(sample["training"] > 0 and sample["forward"] > 0 for sample in result["samples"][name])
        assert all(sample["peak_memory_bytes"] > 10**8 for sample in result["samples"][name])
    assert result["training_images"] == 64 and result["validation_images"] == 16
    found = cls.summarise(result)
    assert found["ratios"]["training"] > 0 and found["time_to"]["plain"]["how"] in ("reached", "unknown")
    log = (tmp_path / "out/runs/bench" / f"{results.name_of('cls', result)}.log").read_text(encoding="utf-8")
    assert "turn 2/2  ours-8: 8 px" in log and "left, then the curves" in log and "plain loop: " in log
    write_json(tmp_path / "x.json", result)  # plain values alone


def test_a_worker_is_a_process_of_its_own(tmp_path: Path, data_dir: Path) -> None:
    """Its failure is one line, its result a file."""
    given = {"data": {"dir": str(data_dir), "set": "cifar10"}, "seed": 0, "device": "cpu", "workers": 0, "images": 1}
    with pytest.raises(UserError, match=r"^measuring \(plain loop\) failed: the data set in .* run: make data$"):
        process.call(cls.WORKER, "plain loop", given, tmp_path / "w")


CHILD = """
import sys, time
from pathlib import Path
from onepage.benchmarks.process import serve
def wait(path):
    Path(path).write_text("here")
    time.sleep(600)
def die():
    import os
    os.kill(os.getpid(), 9)
if __name__ == "__main__":
    serve({"answer": lambda x: {"answer": x + 1}, "wait": wait, "die": die})
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bench_child.py").write_text(CHILD, encoding="utf-8")
    code = Path(cls.__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{code}{os.pathsep}{tmp_path}")
    return tmp_path


def test_a_child_answers_is_stopped_or_dies(child: Path) -> None:
    assert process.call("bench_child", "answer", {"x": 41}, child / "s") == {"answer": 42}
    mark = child / "mark"
    assert process.call("bench_child", "wait", {"path": str(mark)}, child / "s", mark.exists) == {}
    with pytest.raises(UserError, match="when memory runs out"):
        process.call("bench_child", "die", {}, child / "s")


@pytest.mark.fault("Ctrl-C, or SIGTERM, in a benchmark", "`stopped, nothing is written; ...`")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_child_and_leaves_nothing(child: Path, number: int) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from onepage.benchmarks import process, turns\n"
        "try:\n"
        "    with turns.scratch_folder() as scratch, process.stoppable():\n"
        "        process.call('bench_child', 'wait', {'path': sys.argv[1]}, scratch)\n"
        "except process.Stopped as error:\n"
        "    print(error, error.number, scratch.exists(), flush=True)\n"
    )
    mark = child / "mark"
    parent = subprocess.Popen([sys.executable, "-c", program, str(mark)], stdout=subprocess.PIPE, text=True)
    while not mark.exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    said, _ = parent.communicate(timeout=120)
    assert (
        said
        == f"{signal.Signals(number).name}: stopped, nothing is written; run the same command again {number:d} False\n"
    )


@pytest.mark.parametrize(("batch", "images_a_turn"), [(8, 100), (256, 2048), (64, 40_960)])
def test_a_shortened_recipe_measures_that_many_images(batch: int, images_a_turn: int) -> None:
    recipe = Recipe((Stage(2, 16),), batch, "sgd", 0.1, 0.9, 0.0, validations=6)
    short = cls_worker.shortened(recipe, 50_000, 32, images_a_turn)
    laid = lay_out(short, 50_000 - short.validation_size)
    marks = sorted(laid.validate_after)
    assert len(marks) == cls_worker.PARTS and laid.sizes == ((0, 32),)
    assert (marks[-1] - marks[0]) * batch == pytest.approx(images_a_turn, abs=batch)
    assert short.check() is None and short.optimiser == recipe.optimiser


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    block = {"task": "cls", "data_digest": "d", "profile": "quick", "seed": 0, "commit": None, "dirty": None}
    write_json(run / "run.json", block | {"recipe": {}, "threads": 2, "precision": "bf16"})
    write_json(run / "provenance.json", {"host": provenance.host(), "train": {"peak_memory_bytes": 5}})
    history.write(run / "history.jsonl", curve([10, 20], [0.5, 0.1], 1.0))
    return run


def test_a_finished_run_of_this_machine_serves(finished: Path) -> None:
    found = cls.run_of_this_machine(finished, "d")
    assert [row["seconds"] for row in found["rows"]] == [10, 20] and found["peak_memory_bytes"] == 5
    assert found["from_run"]["profile"] == "quick"


@pytest.mark.fault(
    "a benchmark that is given a run of other data or of another machine", "`was trained on another machine ...`"
)
def test_a_run_of_other_data_or_another_machine_does_not(finished: Path) -> None:
    with pytest.raises(UserError, match="not trained on these images"):
        cls.run_of_this_machine(finished, "e")
    content = read_json(finished / "provenance.json")
    write_json(finished / "provenance.json", content | {"host": content["host"] | {"cpu": "another"}})
    with pytest.raises(UserError, match=r"another machine \(another\)"):
        cls.run_of_this_machine(finished, "d")
    with pytest.raises(UserError, match="is missing"):
        cls.run_of_this_machine(finished / "none", "d")


@pytest.mark.fault("a benchmark without its data", "`the data set in ... is missing or incomplete ...`")
def test_missing_data_get_one_line_and_leave_nothing(plan: Path, tmp_path: Path) -> None:
    arguments = [
        "bench",
        "cls",
        "--plan",
        str(plan),
        "--data-dir",
        str(tmp_path / "none"),
        "--out",
        str(tmp_path / "o"),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1 and "is missing or incomplete" in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_other_data_than_planned_get_one_line(plan: Path, data_dir: Path, tmp_path: Path) -> None:
    write_json(plan, plans.read(plan) | {"data_digest": "another"})
    with pytest.raises(UserError, match="not what was planned"):
        cls.run(plan, data_dir, 0, tmp_path / "o", cls.Settings(), None)
