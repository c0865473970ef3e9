"""Recipes: every built-in one loads, and a wrong one is refused by name."""

import pytest

from onepage.cls.train import Recipe as ClsRecipe
from onepage.cls.train import lay_out
from onepage.errors import UserError
from onepage.mt.train import Recipe as MtRecipe
from onepage.training.recipe import CONFIGS, built_in, load, recipe_hash

GOOD = (CONFIGS / "cls" / "quick.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_built_in_recipe_loads(path):
    load({"cls": ClsRecipe, "mt": MtRecipe}[path.parent.name], path)


@pytest.mark.parametrize("task", ["cls", "mt"])
@pytest.mark.parametrize("profile", ["quick", "full", "smoke"])
@pytest.mark.parametrize("generated", [False, True])
def test_every_profile_has_a_recipe(task, profile, generated):
    assert built_in(task, profile, generated).is_file()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("momentum", "momentun", 1), "unknown key 'momentun'; did you mean 'momentum'"),
        (GOOD.replace("batch_size = 256", 'batch_size = "512"'), "batch_size: expected int, got '512'"),
        (GOOD.replace("batch_size = 256", "batch_size = true"), "batch_size: expected int, got True"),
        (GOOD.replace("batch_size = 256", "batch_size = 0"), "at least 1"),
        (GOOD.replace("batch_size = 256", ""), "missing key 'batch_size'"),
        (GOOD.replace('"muon"', '"adam"'), "optimiser"),
        (GOOD.replace("image_size = 16", "image_size = 17"), "multiple of 4"),
        (GOOD.replace("{ epochs = 3.0, image_size = 16 }", "1"), "stages[0]: expected a table"),
        ("not toml", "not a readable recipe"),
        ("x" * 1_100_000, "too large"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path, text, says):
    assert text != GOOD
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.toml") as caught:
        load(ClsRecipe, path)
    assert says in str(caught.value)


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(UserError, match=r"full.*quick.*smoke"):
        built_in("cls", "fast", False)


def test_the_hash_follows_values_not_formatting(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("# another comment\n" + GOOD, encoding="utf-8")
    recipe = load(ClsRecipe, path)
    assert recipe_hash(recipe) == recipe_hash(load(ClsRecipe, CONFIGS / "cls" / "quick.toml"))
    assert recipe_hash(recipe) != recipe_hash(load(ClsRecipe, path, threads=3))
    assert recipe_hash(recipe, seed=0) != recipe_hash(recipe, seed=1)


def test_a_plan_covers_its_updates_and_validates_at_the_end():
    recipe = load(ClsRecipe, CONFIGS / "cls" / "quick.toml")
    plan = lay_out(recipe, 45_000)
    assert plan.updates_an_epoch == 45_000 // recipe.batch_size
    assert plan.updates in plan.validate_after and len(plan.validate_after) == recipe.validations
    assert plan.size_at(0) == recipe.stages[0].image_size
    assert plan.size_at(plan.updates - 1) == recipe.stages[-1].image_size
