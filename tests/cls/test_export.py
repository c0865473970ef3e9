"""ResNet-18's exported file: the same answers by this program and by torchvision's resnet18, as docs/usage.md shows."""

import json
import os
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from classify_cases import TEMPERATURE, classify, photo, saved, table, write_run
from edits import edit
from onepage.benchmarks.plain_cls import import_torchvision
from onepage.cls import augment, evaluate
from onepage.cls.resnet import ResNet18
from onepage.cls.train import predict
from onepage.commands.main import main
from onepage.runs.lookup import task_of
from onepage.training import checkpoint
from onepage.verification import provenance

USAGE = (Path(__file__).resolve().parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")


def export(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    return result.exit_code, result.output


def rounded(run: Path) -> ResNet18:
    """The network with its matrices rounded as in the file."""
    network, weights = ResNet18(), checkpoint.load_weights(run)
    network.load_state_dict({name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()})
    return network.eval()


@pytest.fixture(scope="module")
def exported(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the output of make export."""
    folder = tmp_path_factory.mktemp("exported")
    assert export("--run", whole, "--to", folder / "export")[0] == 0
    return folder


def test_torchvision_takes_the_weights_as_usage_shows(
    whole: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"\n((?:    .*\n)*    import torch, torchvision\n(?:    .*\n)*)", USAGE)
    monkeypatch.chdir(exported)
    import_torchvision()
    names: dict[str, torch.nn.Module] = {}
    exec(textwrap.dedent(code), names)
    theirs = names["model"]
    pixels = torch.from_numpy(np.stack([np.array(photo(16, 16, k)).transpose(2, 0, 1) for k in range(4)]))
    card = (exported / "export/cls/cifar10.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| input \| RGB, 32x32 .* less mean (\[.*\]), divided by (\[.*\]) \|$", card, re.MULTILINE)
    mean, std = (torch.tensor(json.loads(values)).view(3, 1, 1) for values in row)
    with torch.inference_mode():
        logits = theirs((pixels / 255 - mean) / std)
    torch.testing.assert_close(logits, predict(rounded(whole), pixels, "fp32"), rtol=1e-4, atol=1e-4)
    assert "| probabilities | softmax of logits / 0.7000 |" in card and " bird, cat, deer, " in card


def test_the_file_classifies_as_the_rounded_weights_do(whole: Path, exported: Path, tmp_path: Path) -> None:
    file, picture = exported / "export/cls/cifar10.safetensors", saved(photo(32, 32), tmp_path / "a.png")
    result = classify(file, picture, "--top", 10, "--gradcam", tmp_path / "seen.png", network=ResNet18)
    assert result.exit_code == 0 and f"by {file}; the answer is" in result.stderr
    pixels = augment.resize(torch.from_numpy(np.asarray(photo(32, 32)).transpose(2, 0, 1).copy())[None], 16)
    (shares,) = torch.softmax(predict(rounded(whole), pixels, "fp32") / TEMPERATURE, 1).tolist()
    assert [share for *_, share in table(result)] == pytest.approx(sorted(shares, reverse=True), abs=1e-4)
    assert file.stat().st_size < 0.51 * (whole / "model.pt").stat().st_size
    (fields,) = provenance.read(tmp_path / "seen.png")
    assert fields["run"] == "cls/cifar10/quick/seed0"


@pytest.mark.claims
def test_half_precision_classifies_as_the_run_was_scored(tmp_path: Path) -> None:
    """The images of explain.npz, mostly mistakes, are those whose classes rounding changes most easily."""
    for run in map(Path, os.environ.get("CLAIMED_RUNS", "").split()):
        if task_of(run) == "cls":
            assert export("--run", run, "--to", tmp_path)[0] == 0
            (file,) = (tmp_path / "cls").glob("*.safetensors")
            with np.load(run / "explain.npz") as arrays, np.load(run / "predictions.npz") as predictions:
                images = arrays["explored_images"][:500].transpose(0, 3, 1, 2).copy()
                logits = predictions["logits"][arrays["explored_index"][:500]]
            model, recipe, plan, device = evaluate.load(file, logits.shape[1])
            pixels = augment.resize(torch.from_numpy(images), recipe.stages[-1].image_size).to(device)
            found = predict(model, pixels, plan["precision"]).numpy()
            assert (found.argmax(1) == logits.argmax(1)).mean() >= 0.98 and np.abs(found - logits).mean() < 0.05
            return
    pytest.skip("no trained run named; make test names it")


@pytest.mark.fault("make export with no evaluated run", "`no finished run in ...; ...`")
def test_without_a_run_it_says_so(tmp_path: Path) -> None:
    status, said = export("--out", tmp_path)
    assert status == 1 and "no finished run in" in said and not (tmp_path / "export").exists()


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "run.json").write_text("[]")
    for folder, says in ((run, "is a run of None, not of ResNet-18"), (tmp_path / "none", "is not a run folder")):
        status, said = export("--run", folder, "--to", tmp_path / "to")
        assert status == 1 and says in said and said.count("\n") == 1


def test_weights_that_were_not_evaluated_are_not_exported(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    edit(run / "metrics.json", weights_digest="0" * 64)
    status, said = export("--run", run, "--to", tmp_path / "to")
    assert status == 1 and "does not belong to the weights in model.pt" in said and not (tmp_path / "to").exists()
    edit(run / "metrics.json", weights_digest=None)
    assert export("--run", run, "--to", tmp_path / "to")[0] == 1
