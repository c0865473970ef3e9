"""make bench-mt on a small generated set: workers, turns, agreement, what is missing, and the tables."""

import importlib.metadata
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench_cases import mt_result
from onepage.benchmarks import mt, peers, results
from onepage.benchmarks.tables import MARKDOWN
from onepage.commands.main import main
from onepage.data import ready, sources
from onepage.data.translation import load_translation
from onepage.errors import UserError
from onepage.files import read_json, sha256_file, write_json, write_text
from onepage.mt.recipe import Recipe
from onepage.mt.tokenizer import PAD
from onepage.mt.train import train
from onepage.mt.transformer import Sizes, Transformer
from onepage.runs import plan
from onepage.training.recipe import from_values

SIZES = {"vocabulary": 60, "d_model": 16, "d_ff": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated set of 60 pairs, in the form of the real one."""
    folder = tmp_path_factory.mktemp("data") / "toy-translation"
    pairs = [
        (f"the {a} dog sees {b} cats .", f"der {c} Hund sieht {b} Katzen .")
        for a, c in (("big", "große"), ("small", "kleine"), ("red", "rote"))
        for b in range(20)
    ]
    digests = {}
    for split, part in (("train", pairs), ("val", pairs[::5]), ("test", pairs[:4])):
        for side, language in enumerate(("en", "de")):
            path = folder / f"{split}.{language}"
            write_text(path, "".join(pair[side] + "\n" for pair in part))
            digests[path.name] = sha256_file(path)
    ready.write(folder / sources.get("toy-translation").ready, "toy-translation", "made for a test", digests, version=1)
    return folder.parent


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of some updates."""
    run = tmp_path_factory.mktemp("trained") / "seed0"
    data = load_translation(data_dir, "toy-translation", "en", "de")
    about = {"task": "mt", "set": data.name, "generated": True, "profile": "test", "seed": 0, "src": "en", "tgt": "de"}
    about |= {"data_digest": data.digest, "device": "cpu", "precision": "fp32", "threads": 1}
    train(Recipe(20, 128, 3e-3, validations=1, threads=1, precision="fp32", **SIZES), data, run, about)
    return run


def plan_of(trained: Path, data_dir: Path) -> dict:
    """The plan of the trained run, as make writes it."""
    return read_json(trained / "run.json") | {"data_dir": str(data_dir)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings for a small set."""
    sizes = {key: value for key, value in SIZES.items() if key != "vocabulary"}  # that of the plan is used
    search = {"repeats": 2, "sentences": 6, "beam_size": 2, "batch_tokens": 64}
    monkeypatch.setattr(mt, "SETTINGS", mt.SETTINGS | search)
    monkeypatch.setattr(mt, "RECIPE", mt.RECIPE | sizes | {"updates": 2, "batch_tokens": 64})


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the other programs."""

    def version(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(peers.importlib.metadata, "version", version)


@pytest.mark.slow
def test_everything_is_measured_in_turns(
    data_dir: Path,
    trained: Path,
    tmp_path: Path,
    small: None,
    few: None,
    alone: None,
    measured: list[str],
) -> None:
    """If the other programs are not installed, only ours is measured. The result says so, without an error."""
    result = mt.run(plan_of(trained, data_dir), trained, tmp_path / "out")
    turn = ["measure", "translation", "translation", "plain_training", "our_training", "our_training"]
    assert measured == ["check_peer", "check_peer", *turn, *turn]
    assert {name: len(taken) for name, taken in result["samples"].items()} == dict.fromkeys(
        ("machine", "ours", "uncached", "plain-training", "our-training", "busy"), 2
    )
    assert result["peers"]["joeynmt"]["missing"] == result["peers"]["ctranslate2"]["missing"] == "not installed"
    for name in ("ours", "uncached"):
        sample = result["samples"][name][0]
        assert sample["sentences"] == 6 and sample["tokens"] > 0 and sample["seconds"] > 0 and "outputs" not in sample
        assert result["agreement"][name]["same"] == 6
        assert result["agreement"][name]["bleu_against_ours"] == pytest.approx(100)
    assert all(sample["tokens_per_second"] > 0 for sample in result["samples"]["our-training"])
    assert results.name_of("mt", result).startswith("generated-mt-")
    log = (tmp_path / "out/runs/bench" / f"{results.name_of('mt', result)}.log").read_text(encoding="utf-8")
    assert "ctranslate2: not installed" in log and "turn 2/2  uncached: " in log
    text = MARKDOWN["mt"](result)
    assert "| not installed | not installed |" in text and "JoeyNMT: not installed." in text
    write_json(tmp_path / "x.json", result)  # fails unless all values are plain


@pytest.mark.slow
def test_other_programs_are_the_same_model(data_dir: Path, trained: Path, small: None) -> None:
    """Greedy outputs depend on no stopping rule. An output cut at a length limit is compared up to that limit."""
    where = {"trained": str(trained), "plan": plan_of(trained, data_dir)}
    measured = 0
    for name in mt.peers.PEERS:
        found = mt.check_peer(name, **where)
        if "missing" in found:
            continue
        measured += 1
        assert found["compared"] == 12 and found["largest_difference"] < 1e-3, name
        search = {"sentences": 8, "beam_size": 1, "length_penalty": 0.0, "batch_tokens": 64}
        outputs = (mt.translation(one, **where, settings=search)["outputs"] for one in ("ours", name))
        agreed = [a[: len(b)] == b[: len(a)] for a, b in zip(*outputs, strict=True)]
        assert sum(agreed) >= 7, name
    if not measured:
        pytest.skip("no JoeyNMT or CTranslate2 here: make setup-compare")


def test_training_flops_are_those_of_the_linear_layers() -> None:
    sizes = Sizes(vocabulary=50, d_model=16, d_ff=24, heads=2, encoder_layers=3, decoder_layers=2)
    net, counted = Transformer(sizes, PAD).eval(), 0

    def count(layer: torch.nn.Linear, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        counted += 2 * output.numel() * layer.in_features

    for module in net.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(count)
    net(torch.full((2, 7), 5), torch.full((2, 4), 5))
    assert mt.forward_flops(sizes, 14, 8) == counted + 2 * 8 * 16 * 50


def test_medians_shares_and_ratios() -> None:
    found = mt.summarise(mt_result())
    assert found["peaks"] == {"fp32": 1e11, "bf16": 4e11}
    assert found["translation"]["ours"]["sentences"] == [50.0, 100.0, 25.0]
    assert found["translation"]["ours"]["memory"] == 5 * 10**8 and found["translation"]["ours"]["added"] == 10**8
    assert found["ratios"] == {"ours": 1.0, "uncached": 10.0, "ctranslate2": 0.5, "training": 2.5}
    assert found["training"]["plain"]["share"] == pytest.approx(4000 * 3e7 / 1e11)
    assert found["training"]["our"]["share"] == pytest.approx(10_000 * 3e7 / 4e11)


@pytest.mark.fault("a benchmark of a run that was not trained", "`there is no trained model in ...`")
def test_without_a_trained_model_it_says_so(data_dir: Path, trained: Path, tmp_path: Path) -> None:
    """The message is one line, and no file is left."""
    plan.write(tmp_path / "none", "train", plan_of(trained, data_dir))
    done = CliRunner().invoke(main, ["bench", "mt", str(tmp_path / "none"), "--out", str(tmp_path / "o")])
    assert done.exit_code == 1 and "there is no trained model in" in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_run_of_another_task_or_data_fails(data_dir: Path, trained: Path, tmp_path: Path) -> None:
    run, planned = tmp_path / "run", plan_of(trained, data_dir)
    write_json(run / "run.json", planned | {"task": "cls"})
    (run / "model.pt").touch()
    with pytest.raises(UserError, match="is not a run of the Transformer"):
        mt.run(planned, run, tmp_path / "o")
    write_json(run / "run.json", planned | {"data_digest": "another"})
    with pytest.raises(UserError, match="was trained on other data; give its DATA, SRC and TGT"):
        mt.run(planned, run, tmp_path / "o")


def test_the_model_to_train_is_a_valid_recipe() -> None:
    assert from_values(Recipe, mt.RECIPE, "here")


def test_a_package_that_does_not_work_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.importlib.metadata, "version", lambda package: "1")
    with pytest.raises(peers.Missing, match=r"cannot be imported \(No module named 'no_such_module'\)"):
        peers.module("joeynmt", "no_such_module")
