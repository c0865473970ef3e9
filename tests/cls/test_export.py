"""ResNet-18's exported weights give the same answers in torchvision's resnet18, as docs/usage.md shows."""

import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from classify_cases import photo, write_run
from onepage.benchmarks.plain_cls import import_torchvision
from onepage.cls.resnet import ResNet18
from onepage.cls.train import predict
from onepage.commands.main import main
from onepage.training import checkpoint
from user_commands import edit

USAGE = (Path(__file__).resolve().parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")


def export(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    return result.exit_code, result.output


def test_torchvision_takes_the_weights_as_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "runs/cls/cifar10/quick/seed0")
    assert export("--out", tmp_path)[0] == 0
    (code,) = re.findall(r"\n((?:    .*\n)*    import torch, torchvision\n(?:    .*\n)*)", USAGE)
    monkeypatch.chdir(tmp_path)
    import_torchvision()
    names: dict[str, torch.nn.Module] = {}
    exec(textwrap.dedent(code), names)
    theirs = names["model"]
    about = json.loads((tmp_path / "export/cls/model.json").read_text(encoding="utf-8"))
    pixels = torch.from_numpy(np.stack([np.array(photo(16, 16, k)).transpose(2, 0, 1) for k in range(4)]))
    mean, std = (torch.tensor(about["input"][key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        logits = theirs((pixels / 255 - mean) / std)
    ours = ResNet18()
    ours.load_state_dict(checkpoint.load_model(run / "model.pt")[0])
    torch.testing.assert_close(logits, predict(ours.eval(), pixels, "fp32"), rtol=1e-4, atol=1e-4)
    assert about["input"]["image_size"] == json.loads((run / "metrics.json").read_text())["train"]["image_sizes"][-1]
    assert about["classes"][3] == "cat" and about["temperature"] == 0.7


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
    assert status == 1 and "is of other weights than model.pt" in said and not (tmp_path / "to").exists()
    edit(run / "metrics.json", weights_digest=None)
    assert export("--run", run, "--to", tmp_path / "to")[0] == 1
