"""Plans: a run is decided once for the same settings, before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import small_training
from onepage import tasks
from onepage.cls import budget as cls_budget
from onepage.errors import UserError
from onepage.mt import budget as mt_budget
from onepage.planning import decide as planner
from onepage.planning import recipes
from onepage.runs import provenance, settings
from onepage.training.recipe import as_dict
from onepage.training.session import Session

OwnRecipe = Callable[..., Path]
BUDGETS = {"cls": cls_budget, "mt": mt_budget}
MEASURE = {name: module.measure for name, module in BUDGETS.items()}


class Decisions:
    """Makes plans as make does, without real data; ``real`` says whether the sources answer."""

    def __init__(self, folder: Path):
        self.folder, self.real = folder, False
        self.measured: list[str] = []  # the device of each measurement
        self.asked: list[str] = []  # the value of DATA at each search for the data
        self.said: list[str] = []

    def __call__(self, task: str = "cls", *, again: bool = False, **changes: str) -> dict[str, Any]:
        given = {"OUT": str(self.folder), "DATA_DIR": str(self.folder / "data"), "DEVICE": "cpu"} | changes
        begins = lambda: self.said.append("begins")  # noqa: E731
        return planner.decide(task, settings.resolve(given), again=again, say=self.said.append, begins=begins)

    def ensure(self, name: str, data_dir: Path, mode: str, *rest: object) -> str:
        self.asked.append(mode)
        real = mode == "real" or (mode == "auto" and self.real)
        generated = {task.real_set: task.generated_set for task in tasks.every()}
        return name if real else generated[name]

    def load(self, data_dir: Path, name: str, src: str, tgt: str) -> SimpleNamespace:
        generated = name.startswith("toy")
        languages = ("en", "de") if generated else (src, tgt)
        return SimpleNamespace(
            digest=f"of {name}", train_images=range(10_000), generated=generated, src=languages[0], tgt=languages[1]
        )

    def measuring(self, rates: Callable[[Any], dict[str, float]]) -> Callable[..., dict[str, float]]:
        def measure(recipe: Any, data: Any, run: dict[str, Any]) -> dict[str, float]:
            self.measured.append(run["device"])
            Session(self.folder / "measured", recipe, run)  # the loop to measure begins with it
            return rates(recipe)

        return measure


@pytest.fixture
def decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decisions:
    made = Decisions(tmp_path)
    by_size = made.measuring(lambda recipe: {str(s.image_size): 100.0 * len(made.measured) for s in recipe.stages})
    monkeypatch.setattr(cls_budget, "measure", by_size)
    monkeypatch.setattr(mt_budget, "measure", made.measuring(lambda recipe: {"update": 0.1, "validation": 1.0}))
    monkeypatch.setattr(planner, "cpu_training_lock", planner.own_gpu)  # no wait for another training
    monkeypatch.setattr(planner.fetch, "ensure", made.ensure)
    monkeypatch.setattr(planner.data, "load", made.load)
    return made


def test_a_plan_holds_all_that_a_run_is(decide: Decisions) -> None:
    made = decide("mt", PROFILE="smoke", SRC="fr", TGT="en", DATA="real")
    run = made["run"]
    assert made["place"] == "multi30k-fr-en/smoke" and (run["src"], run["tgt"]) == ("fr", "en")
    assert (run["task"], run["set"], run["generated"], run["profile"]) == ("mt", "multi30k", False, "smoke")
    assert (run["device"], run["data_digest"], run["threads"]) == ("cpu", "of multi30k", run["recipe"]["threads"])
    assert run["precision"] == recipes.auto_precision("cpu") and run["libraries"].keys() == set(planner.LIBRARIES)
    assert run["evaluation"] == {"decoding": {"beam_size": 2, "length_penalty": 1.0}}
    (path,) = decide.folder.glob("runs/.plan/mt-*.json")
    assert planner.read_json(path) == made and path.with_suffix(".mk").is_file()
    assert decide.said == ["begins"]


def test_generated_data_have_languages_of_their_own(decide: Decisions) -> None:
    made = decide("mt", SRC="fr", TGT="en")
    assert made["place"] == "toy-translation-en-de/quick" and made["run"]["src"] == "en"


@pytest.mark.parametrize(("first", "then"), [(False, "generated"), (True, "real")])
def test_an_earlier_plan_keeps_its_kind_of_data(decide: Decisions, first: bool, then: str) -> None:
    """Sources that come or go must not change the data of a run, unless it is planned again."""
    decide.real = first
    before = decide()
    assert before["run"]["generated"] is (not first)
    decide.real = not first
    assert decide() == before and decide.asked == ["auto", then]
    assert decide(again=True)["run"]["generated"] is first and decide.asked[2:] == ["auto"]


def test_a_plan_that_fell_back_asks_new_sources(decide: Decisions, tmp_path: Path) -> None:
    """A new mirror, or one with new files, is asked. A mirror without the data is not asked again."""
    mirror = tmp_path / "mirror"
    assert decide()["asked"] == [] and decide.asked == ["auto"]
    assert decide(DATA_MIRROR=str(mirror))["asked"] == [str(mirror)] and decide.asked.pop() == "auto"
    assert decide(DATA_MIRROR=str(mirror))["asked"] == [str(mirror)] and decide.asked.pop() == "generated"
    mirror.mkdir()
    (mirror / "archive").touch()
    decide.real = True
    made = decide(DATA_MIRROR=str(mirror))
    assert decide.asked.pop() == "auto" and made["place"] == "cifar10/quick" and "asked" not in made
    assert decide()["run"]["generated"] is False and decide.asked.pop() == "real"


@pytest.mark.parametrize("text", ["not toml", "batch_size = 0", "[on.cuda]\nbatch_size = 2"])
def test_a_bad_recipe_is_refused_before_any_download(decide: Decisions, text: str) -> None:
    path = decide.folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.toml"):
        decide(RECIPE=str(path))
    with pytest.raises(UserError, match="no recipe 'fast' for cls"):
        decide(PROFILE="fast")
    assert not decide.asked and not decide.said and not (decide.folder / "runs").exists()


def test_threads_and_an_own_recipe_reach_the_plan(decide: Decisions, own_recipe: OwnRecipe) -> None:
    path = own_recipe("mt", "[decoding]\nbeam_size = 9\n")
    run = decide("mt", RECIPE=str(path), THREADS="3")["run"]
    assert run["threads"] == run["recipe"]["threads"] == 3
    assert run["profile"] == recipes.own_profile(path) and run["evaluation"]["decoding"]["beam_size"] == 9
    built_in = decide("mt", DATA="real")["run"]
    assert run["recipe"] != built_in["recipe"] and built_in["threads"] == provenance.physical_cores()


@pytest.mark.fault("CUDA asked for and absent, in planning", "`DEVICE=cuda, but ...; use DEVICE=cpu...`")
def test_the_device_is_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [planner.resolve_device(wanted) for wanted in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UserError, match="DEVICE=cuda, but torch sees no CUDA GPU here"):
        planner.resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *size, device: torch.zeros(*size))
    assert [planner.resolve_device(wanted) for wanted in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


@pytest.mark.fault("a GPU that torch cannot use, DEVICE=auto", "`...; the CPU is used: see make doctor`")
def test_an_unusable_gpu_leaves_the_cpu(decide: Decisions, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, a GPU that is too old for this torch."""

    def refuse(*size: int, device: str) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nSearch for ...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", refuse)
    why = "torch cannot use the GPU (CUDA error: no kernel image is available for execution on the device)"
    assert decide(DEVICE="auto")["run"]["device"] == "cpu"
    assert decide.said == ["begins", f"{why}; the CPU is used: see make doctor"]
    with pytest.raises(UserError) as caught:
        decide(DEVICE="cuda")
    assert str(caught.value) == f"DEVICE=cuda, but {why}; use DEVICE=cpu, or see: make doctor"


def test_the_machine_is_measured_once(decide: Decisions) -> None:
    """The plan keeps the rates, so the same settings need no second measurement."""
    first = decide(BUDGET_MIN="3")
    assert first["run"]["profile"] == "quick-budget3" and first["run"]["budget_minutes"] == 3.0
    assert first["run"]["recipe"]["stages"] == [{"epochs": pytest.approx(1.792, abs=1e-3), "image_size": 16}]
    assert decide(BUDGET_MIN="3") == first and decide.measured == ["cpu"]


def test_other_code_of_the_budget_measures_again(decide: Decisions, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(BUDGET_MIN="3")
    monkeypatch.setattr(cls_budget, "__file__", mt_budget.__file__)
    decide(BUDGET_MIN="3")
    assert decide.measured == ["cpu", "cpu"]


def test_another_budget_or_setting_is_measured_again(decide: Decisions) -> None:
    decide(BUDGET_MIN="3")
    assert decide(BUDGET_MIN="4")["run"]["profile"] == "quick-budget4" and len(decide.measured) == 2
    decide(BUDGET_MIN="4", THREADS="1")
    assert len(decide.measured) == 3
    decide(BUDGET_MIN="4", THREADS="1", again=True)
    assert len(decide.measured) == 4
    for path in decide.folder.rglob("*.json"):
        path.unlink()
    decide(BUDGET_MIN="4", THREADS="1")
    assert len(decide.measured) == 5


@pytest.mark.parametrize("name", BUDGETS)
def test_the_training_loop_takes_what_a_plan_has(
    decide: Decisions, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measurement is real here: a training loop with the plan of a run."""
    _, recipe, load = small_training.TASKS[name]
    lines = (f"{key} = {json.dumps(value)}".replace('": ', '" = ') for key, value in as_dict(recipe).items())
    own = tmp_path / "small.toml"
    own.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(BUDGETS[name], "measure", MEASURE[name])
    monkeypatch.setattr(BUDGETS[name], "UPDATES", {"cpu": 6})
    monkeypatch.setattr(planner.data, "load", lambda *place: load())
    with small_training.narrow():
        made = decide(name, RECIPE=str(own), BUDGET_MIN="1", DATA="generated")
    assert made["run"]["budget_minutes"] == 1 and made["run"]["recipe"] != as_dict(recipe)
    assert all(rate > 0 for rate in made["budget"]["rates"].values())


def test_another_search_measures_nothing(decide: Decisions, own_recipe: OwnRecipe) -> None:
    """Recipe keys that only evaluation reads reach the plan without a measurement."""
    found = []
    for search in ("", "[decoding]\nbeam_size = 9\n"):
        path = own_recipe("mt", search)
        found.append(decide("mt", RECIPE=str(path), BUDGET_MIN="3")["run"])
    assert [one["evaluation"]["decoding"]["beam_size"] for one in found] == [5, 9] and decide.measured == ["cpu"]
    assert found[0]["recipe"] == found[1]["recipe"]


def test_no_budget_leaves_the_recipe_alone(decide: Decisions) -> None:
    made = decide()["run"]
    assert made["profile"] == "quick" and not decide.measured and "budget_minutes" not in made
