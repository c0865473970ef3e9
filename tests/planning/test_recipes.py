"""The recipe of a run: the values of each profile on each hardware, and errors in a user's file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onepage import tasks
from onepage.errors import UserError
from onepage.mt.decoding import Decoding
from onepage.planning import recipes
from onepage.planning.recipes import HARDWARE, resolve
from onepage.runs import provenance
from onepage.training.recipe import as_dict, recipe_hash

fault = pytest.mark.fault
OwnRecipe = Callable[..., Path]
Resolved = tuple[Any, dict[str, dict[str, Any]]]
KINDS = (*HARDWARE, recipes.GENERATED)

# {profile on hardware, or on generated data: values of the recipe}, in this order:
# stages; batch size, optimiser, peak rate, schedule, warm-up, average; padding, cutout, CutMix; held out, validations
CLS = {
    "quick on bf16": ("5x16 4x24", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 5000, 7),
    "quick on generated": ("2x16", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 1000, 4),
    "quick on cuda": ("6x24 10x32", 512, "muon", 0.17, "linear", 0.1, 0.95, 2, 0, 0.0, 5000, 8),
    "quick on fp32": ("1.7x16 0.6x24", 256, "muon", 0.12, "linear", 0.1, 0.9, 2, 0, 0.0, 5000, 4),
    "quick on bf16-half": ("3x16 2x24", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 5000, 7),
    "full on cpu": ("6x16 6x24 8x32", 256, "muon", 0.12, "linear", 0.1, 0.98, 4, 0, 0.0, 1000, 20),
    "full on generated": ("2x16", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 1000, 4),
    "full on cuda": ("24x24 47x32", 512, "muon", 0.17, "linear", 0.1, 0.98, 4, 12, 0.0, 1000, 24),
    "long on real": ("480x32", 512, "muon", 0.17, "cosine", 0.05, 0.995, 4, 0, 0.5, 1000, 24),
    "long on generated": ("2x16", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 1000, 4),
    "smoke on all": ("1x8 1x12", 128, "sgd", 0.05, "linear", 0.2, 0.9, 2, 0, 0.0, 500, 3),
    "ablation on real": ("2x16", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 5000, 2),
    "ablation on generated": ("1x16", 256, "muon", 0.12, "linear", 0.05, 0.9, 2, 0, 0.0, 1000, 2),
}
# updates, tokens, optimiser, AdamW rate; pieces, sizes, layers; dropout, BPE-dropout, R-Drop; warm-up, average,
# validations; beam, length penalty
MT = {
    "quick on bf16": (2800, 1536, "muon", 0.004, 4000, "192/384/4", "3+3", 0.15, 0.0, 0.0, 0.17, 0.99, 7, 5, 1.3),
    "quick on cuda": (4000, 2560, "muon", 0.004, 4000, "192/384/4", "3+3", 0.2, 0.0, 0.0, 0.17, 0.995, 8, 5, 1.3),
    "quick on generated": (700, 1024, "muon", 0.003, 400, "128/256/4", "2+2", 0.1, 0.0, 0.0, 0.2, 0.97, 5, 5, 1.0),
    "quick on fp32": (1250, 1536, "muon", 0.004, 4000, "192/384/4", "3+3", 0.1, 0.0, 0.0, 0.17, 0.99, 5, 5, 1.3),
    "quick on bf16-half": (2000, 1536, "muon", 0.004, 4000, "192/384/4", "3+3", 0.15, 0.0, 0.0, 0.17, 0.99, 6, 5, 1.3),
    "full on cpu": (12000, 2560, "muon", 0.004, 4000, "192/384/4", "3+3", 0.2, 0.05, 3.0, 0.1, 0.998, 24, 5, 1.3),
    "full on generated": (700, 1024, "muon", 0.003, 400, "128/256/4", "2+2", 0.1, 0.0, 0.0, 0.2, 0.97, 5, 5, 1.0),
    "full on cuda": (20000, 2560, "muon", 0.004, 4000, "192/384/4", "3+3", 0.25, 0.05, 3.0, 0.1, 0.999, 24, 5, 1.3),
    "smoke on all": (60, 512, "adamw", 0.003, 300, "64/128/2", "2+2", 0.1, 0.0, 0.0, 0.15, 0.9, 3, 2, 1.0),
    "ablation on real": (900, 1536, "muon", 0.004, 4000, "192/384/4", "3+3", 0.1, 0.0, 0.0, 0.2, 0.98, 3, 5, 1.3),
    "ablation on generated": (400, 1024, "muon", 0.003, 400, "128/256/4", "2+2", 0.1, 0.0, 0.0, 0.2, 0.97, 2, 5, 1.0),
}
EFFECTIVE = {"cls": CLS, "mt": MT}
NAMED = {"cpu": HARDWARE[:3], "real": HARDWARE, "all": KINDS}


def resolved(task: str, profile: str, kind: str) -> Resolved:
    return resolve(tasks.get(task), profile, hardware=kind, generated=kind == recipes.GENERATED)


def summary(found: Resolved) -> tuple:
    """The values of a resolved recipe in the order of the tables above."""
    r, evaluation = found
    if not evaluation:
        stages = " ".join(f"{stage.epochs:g}x{stage.image_size}" for stage in r.stages)
        return (
            stages, r.batch_size, r.optimiser, r.peak_learning_rate, r.schedule, r.warmup, r.average_decay,
            r.crop_padding, r.cutout, r.cutmix, r.validation_size, r.validations,
        )  # fmt: skip
    return (
        r.updates, r.batch_tokens, r.optimiser, r.adamw_learning_rate, r.vocabulary,
        f"{r.d_model}/{r.d_ff}/{r.heads}", f"{r.encoder_layers}+{r.decoder_layers}", r.dropout, r.bpe_dropout, r.r_drop,
        r.warmup, r.average_decay, r.validations, *evaluation["decoding"].values(),
    )  # fmt: skip


@pytest.mark.parametrize("task", EFFECTIVE)
def test_effective_values_of_every_recipe(task: str) -> None:
    """Each profile, hardware and kind of data has exactly the values that the reference results were made with."""
    seen = set()
    for row, expected in EFFECTIVE[task].items():
        profile, _, kinds = row.partition(" on ")
        for kind in NAMED.get(kinds, kinds.split()):
            assert summary(resolved(task, profile, kind)) == expected, (profile, kind)
            seen.add((profile, kind))
    assert seen == {(profile, kind) for profile in recipes.profiles(tasks.get(task)) for kind in KINDS}


@pytest.mark.parametrize("profile", recipes.profiles(tasks.get("cls")))
def test_settings_that_all_image_recipes_share(profile: str) -> None:
    for kind in KINDS:
        r = resolved("cls", profile, kind)[0]
        shared = (r.muon_momentum, r.sgd_momentum, r.bias_factor, r.whiten, r.weight_decay, r.sgd_learning_rate)
        whitened = (4.0, True, 1e-4) if profile != "smoke" else (1.0, False, 5e-4)
        assert shared == (0.75, 0.9, *whitened, 0.05)


@pytest.mark.parametrize("task", EFFECTIVE)
def test_overrides_are_for_kinds_that_exist(task: str) -> None:
    for profile in recipes.profiles(tasks.get(task)):
        overrides = recipes.recipes.read(recipes.built_in(tasks.get(task), profile)).get(recipes.OVERRIDES, {})
        assert set(overrides) <= set(KINDS) and (profile != "smoke" or not overrides)


def test_tables_are_overridden_key_by_key() -> None:
    values = {"a": 1, "t": {"x": 1, "y": 2}, "on": {"cuda": {"a": 2, "t": {"y": 3}, "u": {"z": 1}}}}
    assert recipes.overridden(values, "cuda") == {"a": 2, "t": {"x": 1, "y": 3}, "u": {"z": 1}}
    assert recipes.overridden(values, "fp32") == {"a": 1, "t": {"x": 1, "y": 2}}


def of_file(task: str, path: Path, threads: int = 0) -> Resolved:
    return resolve(tasks.get(task), "mine", hardware="fp32", generated=False, file=path, threads=threads)


def test_own_file_is_read_as_it_stands(own_recipe: OwnRecipe) -> None:
    """Hardware does not change a user's recipe; THREADS does."""
    quick, _ = resolved("cls", "quick", "bf16")
    assert of_file("cls", own_recipe("cls"), threads=3) == (dataclasses.replace(quick, threads=3), {})


@fault("overrides in a recipe of the user's", "`...: only built-in recipes have tables ...`")
def test_own_file_has_no_overrides(own_recipe: OwnRecipe) -> None:
    with pytest.raises(UserError, match=r"mine\.toml: only built-in recipes have tables \[on"):
        of_file("cls", own_recipe("cls", "[on.cuda]\nbatch_size = 512"))


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
        ("[decoding]\nbeam_size = 0", ": decoding: beam_size: expected int from 1 to 100, got 0"),
        ("[decoding]\nlength_penalty = nan", ": decoding: length_penalty: expected a number up to 1e+12, got nan"),
        ("decoding = 5", ": decoding: expected a table, got 5"),
        ("[[decoding]]\nbeam_size = 5", ": decoding: expected a table, got [{'beam_size': 5}]"),
        ("[decodin]\nbeam_size = 5", ": unknown key 'decodin'; did you mean 'decoding'?"),
        ("beam_size = 5", ": 'beam_size' belongs in the table [decoding], below all other keys"),
    ],
)
def test_wrong_decoding_is_refused_with_the_recipe(own_recipe: OwnRecipe, text: str, says: str) -> None:
    path = own_recipe("mt", text)
    with pytest.raises(UserError) as caught:
        of_file("mt", path)
    assert str(caught.value) == f"{path}{says}"


def test_the_hash_leaves_out_how_it_decodes(own_recipe: OwnRecipe) -> None:
    searches = ["", "[decoding]\nbeam_size = 9\nlength_penalty = 0\n"]
    found = [of_file("mt", own_recipe("mt", search)) for search in searches]
    assert recipe_hash(found[0][0]) == recipe_hash(found[1][0])
    assert [evaluation["decoding"] for _, evaluation in found] == [as_dict(Decoding()), as_dict(Decoding(9, 0.0))]


@fault("decoding settings in a recipe of ResNet-18", "`...: unknown key ...`")
def test_only_the_transformer_decodes(own_recipe: OwnRecipe) -> None:
    with pytest.raises(UserError, match=r"mine\.toml: unknown key 'decoding'; "):
        of_file("cls", own_recipe("cls", "[decoding]\nbeam_size = 5"))


@fault("an unknown PROFILE, or a path in its place", "`no recipe ... for ...; PROFILE is one of: ...`")
@pytest.mark.parametrize("name", ["fast", "../mt/quick", "quick/../quick", "", "quick\n"])
def test_an_unknown_profile_names_those_there_are(name: str) -> None:
    with pytest.raises(UserError, match=r"full.*quick.*smoke") as caught:
        resolved("cls", name, "bf16")
    assert str(caught.value).isprintable()


@fault("a recipe's file name aimed at make, the shell or LaTeX", "its run's name keeps letters, digits, - and _")
@pytest.mark.parametrize(
    "name", ["$(shell touch x)", "a;touch x", "\\write18{x}", "..", "<b>", "é ü", "\udcff", "a" * 99]
)
def test_the_name_of_an_own_recipe_is_plain(tmp_path: Path, name: str) -> None:
    profile = recipes.own_profile(tmp_path / f"{name}.toml")
    assert profile.startswith("own-") and profile.replace("-", "").replace("_", "").isalnum() and profile.isascii()
    assert len(profile) < 60 and profile != recipes.own_profile(tmp_path / f"{name}x.toml")


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "precision", "hardware"),
    [
        ("AuthenticAMD", "26", "avx2 avx512f avx512_bf16", "bf16", "bf16"),
        ("AuthenticAMD", "25", "avx2 avx512f avx512_bf16", "bf16", "bf16-half"),
        ("AuthenticAMD", "25", "avx2", "fp32", "fp32"),
        ("GenuineIntel", "6", "avx512f avx512_bf16 amx_bf16 amx_tile", "bf16", "bf16"),
        ("GenuineIntel", "6", "avx512f avx512_bf16", "fp32", "fp32"),
    ],
)
def test_a_cpu_takes_the_faster_arithmetic(
    monkeypatch: pytest.MonkeyPatch, vendor: str, family: str, flags: str, precision: str, hardware: str
) -> None:
    """The profile's overrides follow the arithmetic. A system that does not report its CPU uses fp32."""
    fields = {"vendor_id": vendor, "cpu family": family, "flags": flags}
    monkeypatch.setattr(provenance, "cpu_fields", lambda: fields)
    assert (recipes.auto_precision("cpu"), recipes.hardware("cpu")) == (precision, hardware)
    assert recipes.hardware("cuda") == "cuda"
    monkeypatch.setattr(provenance, "cpu_fields", dict)
    assert (recipes.auto_precision("cpu"), recipes.hardware("cpu")) == ("fp32", "fp32")
