"""A training-time budget: the recipe that fits it, measured once, written as a recipe that reads back equal."""

import contextlib
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from onepage.cls import budget as cls_budget
from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.cls.recipe import Stage
from onepage.cls.train import lay_out
from onepage.data.images import ImageSet
from onepage.errors import UserError
from onepage.mt import budget as mt_budget
from onepage.mt.decoding import Decoding
from onepage.mt.recipe import Recipe as MtRecipe
from onepage.planning import budget, plan
from onepage.runs import history, provenance
from onepage.training import recipe as recipes

KINDS = {"cls": ClsRecipe, "mt": MtRecipe}
RATES = {"16": 700.0, "24": 350.0, "32": 190.0}
CIFAR = SimpleNamespace(train_images=range(50_000))
FULL = recipes.load(ClsRecipe, recipes.built_in("cls", "full", False))


@pytest.fixture(autouse=True)
def no_wait_for_another_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "cpu_training_lock", lambda device, say: contextlib.nullcontext())


def minutes_of(recipe: ClsRecipe) -> float:
    """Training minutes at RATES, validations (forward only) included."""
    n = 50_000 - recipe.validation_size
    training = sum(stage.epochs * n / RATES[str(stage.image_size)] for stage in recipe.stages)
    return (
        training + recipe.validations * recipe.validation_size / (3 * RATES[str(recipe.stages[-1].image_size)])
    ) / 60


@pytest.mark.parametrize("minutes", [30, 60, 240])
def test_a_budget_is_used_and_kept_at_the_measured_rates(minutes: int) -> None:
    fitted = cls_budget.fit(FULL, CIFAR, RATES, minutes)
    assert 0.96 * minutes < minutes_of(fitted) <= minutes
    shares = [stage.epochs / before.epochs for stage, before in zip(fitted.stages, FULL.stages, strict=True)]
    assert max(shares) - min(shares) < 0.01 * max(shares)  # one factor for all
    assert dataclasses.replace(fitted, stages=FULL.stages) == FULL  # nothing but the epochs


def test_a_short_budget_leaves_out_the_largest_size_rather_than_see_it_for_less_than_an_epoch() -> None:
    sizes = {m: [s.image_size for s in cls_budget.fit(FULL, CIFAR, RATES, m).stages] for m in (60, 5, 1)}
    assert sizes == {60: [16, 24, 32], 5: [16, 24], 1: [16]}
    assert 4.5 < minutes_of(cls_budget.fit(FULL, CIFAR, RATES, 5)) <= 5


def test_no_budget_is_too_short_for_an_update() -> None:
    fitted = cls_budget.fit(FULL, CIFAR, RATES, 0.001)
    assert lay_out(fitted, 49_000).updates == 1
    translation = recipes.load(MtRecipe, recipes.built_in("mt", "quick", False), plan.TABLES["mt"])
    assert mt_budget.fit(translation, None, {"update": 0.3, "validation": 1.0}, 0.001).updates == 10


def test_the_transformer_gets_the_updates_that_remain_after_validation() -> None:
    translation = recipes.load(MtRecipe, recipes.built_in("mt", "quick", False), plan.TABLES["mt"])
    fitted = mt_budget.fit(translation, None, {"update": 0.25, "validation": 2.0}, 10)
    seconds = fitted.updates * 0.25 + translation.validations * 2.0
    assert 575 < seconds <= 600 and dataclasses.replace(fitted, updates=translation.updates) == translation


@pytest.mark.parametrize(
    "path", sorted(recipes.PACKAGE.glob("*/recipes/*.toml")), ids=lambda path: f"{path.parents[1].name}-{path.stem}"
)
def test_a_recipe_written_reads_back_equal(path: Path, tmp_path: Path) -> None:
    task, made = path.parents[1].name, tmp_path / "made.toml"
    kind, tables = KINDS[task], plan.TABLES.get(task, {})
    before = recipes.load(kind, path, tables)
    budget.write_recipe(made, before, "a comment", plan.tables_of(task, path))
    assert recipes.load(kind, made, tables) == before and plan.tables_of(task, made) == plan.tables_of(task, path)


def test_rates_are_measured_by_the_training_loop_at_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = ImageSet(
        name="toy-images", generated=True, digest="d", class_names=tuple("abcdefghij"),
        train_images=rng.integers(0, 256, (200, 3, 32, 32), dtype=np.uint8), train_labels=np.arange(200) % 10,
        test_images=np.zeros((0, 3, 32, 32), np.uint8), test_labels=np.zeros(0, np.int64),
    )  # fmt: skip
    smoke = recipes.load(ClsRecipe, recipes.built_in("cls", "smoke", True))
    smoke = dataclasses.replace(
        smoke, batch_size=16, validation_size=20, train_images=0, threads=1, stages=(Stage(1.0, 8), Stage(1.0, 12))
    )
    block = {"task": "cls", "seed": 0, "device": "cpu", "precision": "fp32", "threads": 1}
    monkeypatch.setattr(cls_budget, "UPDATES", {"cpu": 5})
    lines: list[str] = []
    fitted, rates = budget.lay_out("cls", smoke, images, block, 0.5, lines.append)
    assert sorted(rates) == ["12", "8"] and all(rate > 0 for rate in rates.values())
    assert fitted == cls_budget.fit(smoke, images, rates, 0.5)
    assert len(lines) >= 2 and "plan for 0.5 minutes" in lines[-1]  # and nothing of the short trainings


@pytest.mark.parametrize(("r_drop", "third"), [(0.0, 3), (1.0, 6)])
def test_an_update_and_a_validation_are_told_apart_by_the_work_they_are(
    monkeypatch: pytest.MonkeyPatch, r_drop: float, third: int
) -> None:
    lines = (["a"] * 29_000, ["b"] * 29_000)
    data = SimpleNamespace(splits={"train": lines, "val": (["a"] * 2_900, ["b"] * 2_900)})
    an_epoch, update = 300, 0.25
    validation = an_epoch / 10 / third * update

    def train(recipe: MtRecipe, data: object, run: Path, block: dict) -> None:
        assert (recipe.updates, recipe.validations) == (120, 3)
        steps = (40, 80, 120)  # warming up took 7 s
        rows = [(n, 7 + n * update + (k + 1) * validation) for k, n in enumerate(steps)]
        history.write(run / "history.jsonl", [{"step": n, "epoch": n / an_epoch, "seconds": s} for n, s in rows])

    monkeypatch.setattr(mt_budget, "train", train)
    recipe = dataclasses.replace(
        recipes.load(MtRecipe, recipes.built_in("mt", "smoke", True), plan.TABLES["mt"]), r_drop=r_drop
    )
    rates = mt_budget.measure(recipe, data, {"device": "cpu"})  # type: ignore[arg-type]
    assert rates == pytest.approx({"update": update, "validation": validation})


@pytest.fixture
def decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that decides a plan with a budget; ``calls`` holds the measurements made."""
    calls: list[str] = []

    def measure(recipe: ClsRecipe, data: object, block: dict) -> dict[str, float]:
        calls.append(block["device"])
        return {str(stage.image_size): 100.0 * len(calls) for stage in recipe.stages}

    monkeypatch.setattr(cls_budget, "measure", measure)
    monkeypatch.setattr(plan.fetch, "ensure", lambda *arguments: "toy-images")
    loaded = SimpleNamespace(digest="d", train_images=range(10_000))
    monkeypatch.setattr(budget, "load_data", lambda *arguments: loaded)

    def decide(**changes: object) -> dict:
        settings = {
            "data_dir": tmp_path, "data": "generated", "mirror": "", "src": "en", "tgt": "de", "profile": "quick",
            "device": "cpu", "threads": 0, "recipe_file": "", "budget": 3.0, "say": lambda line: None,
        } | changes  # fmt: skip
        return plan.decide("cls", tmp_path / "plan.mk", **settings)

    return SimpleNamespace(decide=decide, calls=calls, folder=tmp_path)


def test_the_machine_is_measured_once_and_the_recipe_made_is_the_run_s_from_then_on(decided: SimpleNamespace) -> None:
    first = decided.decide()
    assert (
        first["profile"] == "quick-budget3"
        and "CLS_PROFILE := quick-budget3" in (decided.folder / "plan.mk").read_text()
    )
    recipe, block = plan.settings_of(plan.read(decided.folder / "plan.mk"), seed=4)
    assert block["budget_minutes"] == 3.0 and block["profile"] == "quick-budget3"
    assert recipe == recipes.load(ClsRecipe, decided.folder / "plan.toml")
    assert decided.decide() == first and decided.decide(keep=True) == first and decided.calls == ["cpu"]
    assert plan.settings_of(plan.read(decided.folder / "plan.mk"), seed=4)[0] == recipe


def test_another_budget_or_setting_or_a_deleted_recipe_is_measured_anew(decided: SimpleNamespace) -> None:
    decided.decide()
    assert decided.decide(budget=4.0)["profile"] == "quick-budget4" and len(decided.calls) == 2
    decided.decide(budget=4.0, threads=1)
    assert len(decided.calls) == 3
    (decided.folder / "plan.toml").unlink()
    decided.decide(budget=4.0, threads=1)
    assert len(decided.calls) == 4


def test_another_search_of_the_recipe_reaches_the_one_that_was_measured_and_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(mt_budget, "measure", lambda *rest: calls.append("") or {"update": 0.1, "validation": 1.0})
    monkeypatch.setattr(plan.fetch, "ensure", lambda *arguments: "multi30k")
    monkeypatch.setattr(budget, "load_data", lambda *arguments: SimpleNamespace(digest="d"))
    mine = tmp_path / "mine.toml"
    training = recipes.built_in("mt", "quick", False).read_text(encoding="utf-8").partition("\n[decoding]")[0]

    def decided(search: str) -> tuple[MtRecipe, Decoding]:
        mine.write_text(training + search, encoding="utf-8")
        made = plan.decide(
            "mt", tmp_path / "plan.mk", data_dir=tmp_path, data="real", mirror="", src="en", tgt="de", profile="quick",
            device="cpu", threads=0, recipe_file=str(mine), budget=3.0, say=lambda line: None,
        )  # fmt: skip
        return plan.settings_of(made, 0)[0], plan.decoding(made)

    first = decided("")
    again = decided("[decoding]\nbeam_size = 9\n")
    assert first[1] == Decoding() and again == (first[0], Decoding(beam_size=9)) and calls == [""]


def test_no_budget_leaves_the_recipe_and_the_run_s_identity_alone(decided: SimpleNamespace) -> None:
    made = decided.decide(budget=0.0)
    assert made["profile"] == "quick" and not decided.calls and "budget_minutes" not in plan.settings_of(made, 0)[1]


def test_a_gpu_takes_its_own_recipe_where_the_profile_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "gains_from_bf16", lambda device: True)
    monkeypatch.setattr(provenance, "cpu_fields", lambda: {"vendor_id": "AuthenticAMD", "cpu family": "26"})
    for profile in ("quick", "full"):
        on_cpu, on_gpu = (plan.load_recipe("cls", profile, False, "", 0, device)[1].stem for device in ("cpu", "cuda"))
        assert (on_cpu, on_gpu) == (profile, f"{profile}-cuda")
    assert plan.load_recipe("cls", "long", False, "", 0, "cuda")[1].stem == "long"
    assert plan.load_recipe("cls", "quick", True, "", 0, "cuda")[1].stem == "quick-generated"
    with pytest.raises(UserError, match="no recipe"):
        plan.load_recipe("cls", "none", False, "", 0, "cuda")


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "precision", "recipe"),
    [
        ("AuthenticAMD", "26", "avx2 avx512f avx512_bf16", "bf16", "quick"),
        ("AuthenticAMD", "25", "avx2 avx512f avx512_bf16", "bf16", "quick-bf16-half"),
        ("AuthenticAMD", "25", "avx2", "fp32", "quick-fp32"),
        ("GenuineIntel", "6", "avx512f avx512_bf16 amx_bf16 amx_tile", "bf16", "quick"),
        ("GenuineIntel", "6", "avx512f avx512_bf16", "fp32", "quick-fp32"),
    ],
)
def test_a_cpu_takes_the_faster_arithmetic_and_the_profile_s_own_recipe(
    monkeypatch: pytest.MonkeyPatch, vendor: str, family: str, flags: str, precision: str, recipe: str
) -> None:
    fields = {"vendor_id": vendor, "cpu family": family, "flags": flags}
    monkeypatch.setattr(provenance, "cpu_fields", lambda: fields)
    assert plan.auto_precision("cpu") == precision
    for task in ("cls", "mt"):
        assert plan.load_recipe(task, "quick", False, "", 0)[1].stem == recipe
        assert plan.load_recipe(task, "full", False, "", 0)[1].stem == "full"
        assert plan.load_recipe(task, "quick", True, "", 0)[1].stem == "quick-generated"
    monkeypatch.setattr(provenance, "cpu_fields", dict)  # a system that does not say
    assert plan.auto_precision("cpu") == "fp32"
    assert plan.load_recipe("cls", "quick", False, "", 0)[1].stem == "quick-fp32"
