"""Recipes: allowed values are taken unchanged, and the message about a wrong value names its key."""

import json
import re
import time
from dataclasses import fields, replace
from typing import get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onepage import tasks
from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.errors import UserError
from onepage.mt.decoding import Decoding
from onepage.mt.recipe import Recipe as MtRecipe
from onepage.planning.recipes import built_in, resolve
from onepage.training.recipe import MAX_BYTES, Range, as_dict, from_values, read, recipe_hash
from onepage.training.schedules import SCHEDULES

fault = pytest.mark.fault
GOOD = built_in(tasks.get("cls"), "quick").read_text(encoding="utf-8").partition("\n[on")[0]


@pytest.mark.fault(
    "unknown, missing, wrongly typed and impossible values in a recipe",
    "`...: unknown key ...`, `; did you mean ...?`, `...: missing key ...`, `...: expected ..., got ...`",
)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("momentum", "momentun", 1), "unknown key 'muon_momentun'; did you mean 'muon_momentum'"),
        (GOOD.replace("batch_size = 256", 'batch_size = "512"'), "batch_size: expected int, got '512'"),
        (GOOD.replace("batch_size = 256", "batch_size = true"), "batch_size: expected int, got True"),
        (GOOD.replace("batch_size = 256", "batch_size = 0"), "batch_size: expected int from 2 to 50,000, got 0"),
        (GOOD.replace("batch_size = 256", ""), "missing key 'batch_size'"),
        (GOOD.replace('"muon"', '"adam"'), "optimiser: expected 'sgd' or 'muon', got 'adam'"),
        (
            re.sub(r"image_size = \d+", "image_size = 17", GOOD, count=1),
            "image_size: expected int from 8 to 64, a multiple",
        ),
        (re.sub(r"\{ epochs[^}]*\}", "1", GOOD, count=1), "stages[0]: expected a table"),
        (re.sub(r"stages = \[.*?\n\]", "stages = []", GOOD, count=1, flags=re.S), "stages: expected a list"),
        ("not toml", "not a readable recipe"),
        ("x" * 1_100_000, "too large"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path, text, says):
    assert text != GOOD
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.toml") as caught:
        from_values(ClsRecipe, read(path), str(path))
    assert says in str(caught.value)


def test_the_hash_follows_values_not_formatting(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("# another comment\n" + GOOD, encoding="utf-8")
    recipe = from_values(ClsRecipe, read(path), "mine")
    assert recipe == resolve(tasks.get("cls"), "quick", hardware="bf16", generated=False)[0]
    assert recipe_hash(recipe) != recipe_hash(replace(recipe, threads=3))
    assert recipe_hash(recipe, seed=0) != recipe_hash(recipe, seed=1)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "words"),
    [
        (Range(1, 1024), (1, 1024), (0, 1025), "from 1 to 1,024"),
        (Range(0), (0, 10**9), (-1,), "from 0"),
        (Range(0, below=1), (0, 0.999), (-0.001, 1), "from 0 to below 1"),
        (Range(above=0, below=1), (1e-9, 0.999), (0, 1), "above 0 to below 1"),
        (Range(above=0, most=1000), (1, 1000), (0, 1001), "above 0 to 1,000"),
        (Range(8, 64, multiple_of=4), (8, 12, 64), (4, 10, 68), "from 8 to 64, a multiple of 4"),
    ],
)
def test_ranges_hold_their_ends(allowed: Range, inside: tuple, outside: tuple, words: str) -> None:
    assert all(number in allowed for number in inside) and not any(number in allowed for number in outside)
    assert str(allowed) == words


def test_schedules_of_recipes_are_those_there_are() -> None:
    for kind in (ClsRecipe, MtRecipe):
        assert get_args(get_type_hints(kind)["schedule"]) == tuple(SCHEDULES)


# --- recipes that nobody would write by mistake -------------------------------------------------------------------


def refusal(path):
    """The message about a wrong recipe: one printable line, within ten seconds."""
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        from_values(MtRecipe, read(path), str(path))
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
    good = "batch_tokens = 9\nadamw_learning_rate = 1\nvocabulary = 90\nvalidations = 1\n"
    path.write_text(f"{good}{text}\n", encoding="utf-8")
    assert says in refusal(path)


@fault(
    "a recipe of 100 MB, a device, a folder, bytes that are no text",
    "`...: too large for a recipe (...`, `...: not a readable recipe: ...`",
)
def test_a_file_that_is_no_recipe_is_not_read_to_its_end(tmp_path):
    large, other = tmp_path / "large.toml", tmp_path / "other.toml"
    with open(large, "wb") as file:
        file.truncate(100_000_000)
    other.write_bytes(b"\xff\xfe")
    for path in (large, "/dev/zero"):
        assert f"over {MAX_BYTES:,} bytes" in refusal(path)
    for path in (other, tmp_path, tmp_path / "none.toml"):
        assert "not a readable recipe" in refusal(path)


def good(task):
    """(dataclass, plain values) of a valid recipe, or of its decoding table."""
    if task == "decoding":
        return Decoding, as_dict(Decoding())
    recipe = resolve(tasks.get(task), "quick", hardware="bf16", generated=False)[0]
    return type(recipe), as_dict(recipe)


@fault("nan, inf, 1e308, -1e308, whole numbers of 10^30 for any number of a recipe", "refused by the key's name")
@pytest.mark.parametrize("task", ["cls", "mt", "decoding"])
def test_absurd_numbers_are_refused_for_every_key(task):
    kind, values = good(task)
    numbers = {name: hint for name, hint in get_type_hints(kind).items() if hint in (int, float)}
    assert len(numbers) >= 2
    for name, hint in numbers.items():
        absurd = [float("nan"), float("inf"), -float("inf"), 1e308, -1e308] if hint is float else []
        for value in (*absurd, 10**30, -(10**30), True, "1", None, [], {}):
            with pytest.raises(UserError, match=rf"^here: .*\b{name}\b"):
                from_values(kind, {**values, name: value}, "here")


@fault("sizes that no machine holds, counts that never end, negative seeds and penalties", "refused by the key's name")
@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        *[("cls", key, value) for key, value in (("validations", 10**9), ("split_seed", -1), ("batch_size", -8))],
        *[("mt", key, 10**9) for key in ("updates", "batch_tokens", "validations", "d_model", "d_ff")],
        *[("mt", f"{side}coder_layers", 10**9) for side in ("en", "de")],
        *[("mt", "d_model", -4), ("mt", "d_model", 0), ("mt", "d_model", 7), ("mt", "vocabulary", -1)],
        *[("mt", "heads", value) for value in (0, 5, 10**6)],
        *[(task, "threads", value) for task in ("cls", "mt") for value in (0, 1025)],
        *[
            ("cls", "cutmix", 1.1),
            ("cls", "warmup", 1.0),
            ("cls", "muon_momentum", 0.0),
            ("cls", "bias_factor", 1001.0),
        ],
        *[("mt", "dropout", 0.9999), ("mt", "r_drop", 101.0), ("mt", "clip", -1.0), ("mt", "adamw_learning_rate", 0.0)],
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
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        from_values(MtRecipe, read(path), str(path))
    assert str(caught.value).isprintable()
