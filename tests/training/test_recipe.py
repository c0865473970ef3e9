"""Recipes: every built-in one loads, and a wrong one is refused by name."""

import json
import re
import time
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.cls.train import lay_out
from onepage.errors import UserError
from onepage.mt.decoding import Decoding
from onepage.mt.recipe import Recipe as MtRecipe
from onepage.planning import plan
from onepage.training.recipe import MAX_BYTES, PACKAGE, as_dict, built_in, from_values, load, load_table, recipe_hash

fault = pytest.mark.fault
GOOD = (PACKAGE / "cls" / "recipes" / "quick.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.glob("*/recipes/*.toml")), ids=lambda path: f"{path.parents[1].name}-{path.stem}"
)
def test_every_built_in_recipe_loads(path):
    task = path.parents[1].name
    load(plan.RECIPES[task], path, plan.TABLES.get(task, {}))
    plan.tables_of(task, path)


@pytest.mark.parametrize("task", ["cls", "mt"])
@pytest.mark.parametrize("profile", ["quick", "full", "smoke"])
@pytest.mark.parametrize("generated", [False, True])
def test_every_profile_has_a_recipe(task, profile, generated):
    assert built_in(task, profile, generated).is_file()


@pytest.mark.fault(
    "unknown, missing, wrongly typed and impossible values in a recipe",
    "`...: unknown key ...`, `; did you mean ...?`, `...: missing key ...`, `...: expected ..., got ...`",
)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("momentum", "momentun", 1), "unknown key 'momentun'; did you mean 'momentum'"),
        (GOOD.replace("batch_size = 256", 'batch_size = "512"'), "batch_size: expected int, got '512'"),
        (GOOD.replace("batch_size = 256", "batch_size = true"), "batch_size: expected int, got True"),
        (GOOD.replace("batch_size = 256", "batch_size = 0"), "at least 1"),
        (GOOD.replace("batch_size = 256", ""), "missing key 'batch_size'"),
        (GOOD.replace('"muon"', '"adam"'), "optimiser"),
        (re.sub(r"image_size = \d+", "image_size = 17", GOOD, count=1), "multiple of 4"),
        (re.sub(r"\{ epochs[^}]*\}", "1", GOOD, count=1), "stages[0]: expected a table"),
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


@fault(
    "decoding settings that are unknown, wrongly typed, impossible, no table, or outside of theirs",
    "`...: unknown key ...`, `...: expected ..., got ...`, `... belongs in the table [...], below all other keys`",
)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[decoding]\nbeam_sise = 5", ": decoding: unknown key 'beam_sise'; did you mean 'beam_size'?"),
        ("[decoding]\nupdates = 5", ": decoding: unknown key 'updates'; known keys: beam_size, length_penalty"),
        ("[decoding]\nbeam_size = 2.5", ": decoding: beam_size: expected int, got 2.5"),
        ("[decoding]\nbeam_size = true", ": decoding: beam_size: expected int, got True"),
        ("[decoding]\nbeam_size = 0", ": decoding: beam_size from 1 to 100, got 0"),
        ("[decoding]\nlength_penalty = nan", ": decoding: length_penalty: expected a number up to 1e+12, got nan"),
        ("decoding = 5", ": decoding: expected a table, got 5"),
        ("[[decoding]]\nbeam_size = 5", ": decoding: expected a table, got [{'beam_size': 5}]"),
        ("[decodin]\nbeam_size = 5", ": unknown key 'decodin'; did you mean 'decoding'?"),
        ("beam_size = 5", ": 'beam_size' belongs in the table [decoding], below all other keys"),
    ],
)
def test_wrong_decoding_settings_are_refused_with_the_recipe(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    training = built_in("mt", "quick", False).read_text(encoding="utf-8").partition("\n[decoding]")[0]
    path.write_text(f"{training}\n{text}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        plan.load_recipe("mt", "mine", False, str(path), 0)
    assert str(caught.value) == f"{path}{says}"


def test_the_hash_of_a_recipe_leaves_out_how_it_decodes(tmp_path):
    path, searches = tmp_path / "mine.toml", ["", "[decoding]\nbeam_size = 9\nlength_penalty = 0\n"]
    training = built_in("mt", "quick", False).read_text(encoding="utf-8").partition("\n[decoding]")[0]
    found = []
    for search in searches:
        path.write_text(f"{training}\n{search}", encoding="utf-8")
        found.append(
            (
                recipe_hash(plan.load_recipe("mt", "mine", False, str(path), 0)[0]),
                load_table(Decoding, path, "decoding"),
            )
        )
    assert found[0][0] == found[1][0]
    assert [search for _, search in found] == [Decoding(), Decoding(9, 0.0)]


@fault("decoding settings in a recipe of ResNet-18", "`...: unknown key ...`")
def test_only_the_transformer_decodes(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "\n[decoding]\nbeam_size = 5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.toml: unknown key 'decoding'; "):
        plan.load_recipe("cls", "mine", False, str(path), 0)


@pytest.mark.fault("an unknown PROFILE, or a path in its place", "`no recipe ... for ...; PROFILE is one of: ...`")
@pytest.mark.parametrize("name", ["fast", "../mt/quick", "quick/../quick", "", "quick\n"])
def test_an_unknown_profile_names_those_there_are(name):
    with pytest.raises(UserError, match=r"full.*quick.*smoke") as caught:
        built_in("cls", name, False)
    assert str(caught.value).isprintable()


def test_the_hash_follows_values_not_formatting(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("# another comment\n" + GOOD, encoding="utf-8")
    recipe = load(ClsRecipe, path)
    assert recipe_hash(recipe) == recipe_hash(load(ClsRecipe, PACKAGE / "cls" / "recipes" / "quick.toml"))
    assert recipe_hash(recipe) != recipe_hash(load(ClsRecipe, path, threads=3))
    assert recipe_hash(recipe, seed=0) != recipe_hash(recipe, seed=1)


def test_a_plan_covers_its_updates_and_validates_at_the_end():
    recipe = load(ClsRecipe, PACKAGE / "cls" / "recipes" / "quick.toml")
    plan = lay_out(recipe, 45_000)
    assert plan.updates_an_epoch == 45_000 // recipe.batch_size
    assert plan.updates in plan.validate_after and len(plan.validate_after) == recipe.validations
    assert plan.size_at(0) == recipe.stages[0].image_size
    assert plan.size_at(plan.updates - 1) == recipe.stages[-1].image_size


# --- recipes that nobody would write by mistake -------------------------------------------------------------------


def refusal(path):
    """The message about a recipe: one line that a terminal shows as it stands, and soon."""
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        load(MtRecipe, path)
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable() and len(message) < 1000
    return message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            '"a\\nb\\u001b[31m" = 1',
            r"unknown key 'a\nb\x1b[31m'",
            id="controls",
            marks=fault("a recipe's key with line breaks and terminal controls", "`...: unknown key ...`, escaped"),
        ),
        pytest.param(
            "updates = " + "[" * 50_000,
            "not a readable recipe",
            id="nested",
            marks=fault("a recipe nested without end", "`...: not a readable recipe: ...`"),
        ),
        pytest.param(
            "updates = " + "9" * 50_000,
            "4300 digits",
            id="digits",
            marks=fault("a recipe with a number of 50,000 digits", "`...: not a readable recipe: ...`"),
        ),
        pytest.param(
            "updates" + ".a" * 3000 + " = 1",
            "dots in a line",
            id="dots",
            marks=fault("a recipe that TOML's reader takes minutes for", "`...: not a readable recipe: over ... dots`"),
        ),
        pytest.param("updates = 1\0", "not a readable recipe", id="nul", marks=fault("NUL in a recipe", "refused")),
        pytest.param(
            "updates = 2026-11-23",
            "updates: expected int, got datetime.date",
            id="date",
            marks=fault("a date for a number", "`...: expected ..., got ...`"),
        ),
    ],
)
def test_a_hostile_recipe_is_refused(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    good = "batch_tokens = 9\nlearning_rate = 1\nvocabulary = 90\nvalidations = 1\n"
    path.write_text(f"{good}{text}\n", encoding="utf-8")
    assert says in refusal(path)


@fault(
    "a recipe of 100 MB, a device, a folder, bytes that are no text",
    "`...: too large for a recipe (...`, `...: not a readable recipe: ...`",
)
def test_what_is_no_recipe_is_not_read_to_its_end(tmp_path):
    large, other = tmp_path / "large.toml", tmp_path / "other.toml"
    with open(large, "wb") as file:
        file.truncate(100_000_000)
    other.write_bytes(b"\xff\xfe")
    for path in (large, "/dev/zero"):
        assert f"over {MAX_BYTES:,} bytes" in refusal(path)
    for path in (other, tmp_path, tmp_path / "none.toml"):
        assert "not a readable recipe" in refusal(path)


def good(task):
    """(dataclass, plain values) of a recipe that nothing is wrong with, or of its table."""
    if task == "decoding":
        return Decoding, as_dict(Decoding())
    path = built_in(task, "quick", False)
    return plan.RECIPES[task], as_dict(load(plan.RECIPES[task], path, plan.TABLES.get(task, {})))


@fault("nan, inf, 1e308, -1e308, whole numbers of 10^30 for any number of a recipe", "refused by the key's name")
@pytest.mark.parametrize("task", ["cls", "mt", "decoding"])
def test_absurd_numbers_are_refused_for_every_key(task):
    kind, values = good(task)
    for field in fields(kind):
        if field.type in (int, float):
            absurd = [float("nan"), float("inf"), -float("inf"), 1e308, -1e308] if field.type is float else []
            for value in (*absurd, 10**30, -(10**30), True, "1", None, [], {}):
                with pytest.raises(UserError, match=rf"^here: .*\b{field.name}\b"):
                    from_values(kind, {**values, field.name: value}, "here")


@fault("sizes that no machine holds, counts that never end, negative seeds and penalties", "refused by the key's name")
@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        *[("cls", key, value) for key, value in (("validations", 10**9), ("split_seed", -1), ("batch_size", -8))],
        *[("mt", key, 10**9) for key in ("updates", "batch_tokens", "validations", "d_model", "d_ff")],
        *[("mt", f"{side}coder_layers", 10**9) for side in ("en", "de")],
        *[("mt", "d_model", -4), ("mt", "d_model", 0), ("mt", "vocabulary", -1)],
        *[("decoding", "length_penalty", value) for value in (-1.0, 1e9)],
        *[("decoding", "beam_size", value) for value in (0, -1, 101, 10**9)],
    ],
)
def test_impossible_sizes_are_refused(task, key, value):
    kind, values = good(task)
    with pytest.raises(UserError, match=rf"^here: .*\b{key}\b"):
        from_values(kind, {**values, key: value}, "here")


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@fault("any value for any key of a recipe (fuzzed)", "refused in one line, or taken as it stands")
@pytest.mark.parametrize("task", ["cls", "mt", "decoding"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_for_any_key(task, data):
    kind, values = good(task)
    key = data.draw(st.sampled_from([field.name for field in fields(kind)]) | st.text(max_size=9))
    value = data.draw(toml_values)
    try:
        recipe = from_values(kind, {**values, key: value}, "here")
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 1000
    else:
        taken = as_dict(recipe)
        assert json.dumps(taken, allow_nan=False)
        assert taken[key] == value or taken[key] == [dict(item) for item in value]
        assert {name: taken[name] for name in taken if name != key} == {n: values[n] for n in values if n != key}


@fault("any bytes as a recipe (fuzzed)", "refused in one line")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | toml_values.map(repr).map(str.encode))
def test_any_bytes_as_a_recipe(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(MtRecipe, path)
    assert str(caught.value).isprintable()


@fault("a recipe's file name aimed at make, the shell or LaTeX", "its run's name keeps letters, digits, - and _")
@pytest.mark.parametrize(
    "name", ["$(shell touch x)", "a;touch x", "\\write18{x}", "..", "<b>", "é ü", "\udcff", "a" * 99]
)
def test_the_name_of_a_recipe_of_ones_own_is_plain(tmp_path, name):
    profile = plan.own_profile(tmp_path / f"{name}.toml")
    assert profile.startswith("own-") and profile.replace("-", "").replace("_", "").isalnum() and profile.isascii()
    assert len(profile) < 60 and profile != plan.own_profile(tmp_path / f"{name}x.toml")
