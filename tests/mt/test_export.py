"""The Transformer's exported file: half of the run's bytes, the same model, and one line for an invalid file."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from onepage.commands.main import main
from onepage.files import read_json
from onepage.mt import evaluate
from onepage.mt.tokenizer import END, PAD, START
from onepage.mt.transformer import Sizes, Transformer
from onepage.runs import exported
from onepage.runs.lookup import task_of
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors
from onepage.verification import provenance
from translate_cases import SOURCES, said, searched, translate
from user_commands import made

GIVEN = "\n".join(SOURCES).encode()


def export(run: Path, folder: Path) -> Path:
    result = CliRunner().invoke(main, ["export", "--run", str(run), "--to", str(folder)])
    assert result.exit_code == 0, result.output
    (path,) = (folder / "mt").glob("*.safetensors")
    assert f" in {path}" in result.output
    return path


@pytest.fixture(scope="module")
def model(translating: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(translating, tmp_path_factory.mktemp("export"))


def test_the_file_alone_makes_the_model_again(translating: Path, model: Path) -> None:
    weights = checkpoint.load_weights(translating)
    kept, metrics = load_file(model), exported.read(model).metrics
    assert metrics == read_json(translating / "metrics.json")
    assert {str(tensor.dtype) for tensor in kept.values()} == {"torch.float16", "torch.float32", "torch.uint8"}
    for name, tensor in weights.items():
        rounded = tensor.half() if tensor.ndim > 1 else tensor
        assert kept[name].dtype == rounded.dtype and torch.equal(kept[name], rounded), name

    pieces = sentencepiece.SentencePieceProcessor(model_proto=kept.pop("tokenizer").numpy().tobytes())
    sizes = {key: value for key, value in metrics["model"].items() if key not in ("name", "parameters")}
    assert pieces.get_piece_size() == sizes["vocabulary"] == 120
    assert pieces.eos_id() == END and pieces.bos_id() == START
    Transformer(Sizes(**sizes), PAD).load_state_dict(kept)


def test_the_card_says_what_the_file_is(model: Path) -> None:
    card, metrics = model.with_suffix(".md").read_text(encoding="utf-8"), exported.read(model).metrics
    bleu = metrics["tests"]["test_2016_flickr"]["bleu"]
    low, high = (f"{bound:.1f}" for bound in bleu["interval"])
    for row in (
        f"| score, in full precision | test_2016_flickr BLEU {bleu['score']:.1f} (95 % interval {low} to {high}) |",
        "| test sentences | 120 |",
        "| decoding | beam_size 3, length_penalty 0.5 |",
        f"| weights, in full precision | {metrics['weights_digest']} |",
        f"| SHA-256 of the file | {hashlib.sha256(model.read_bytes()).hexdigest()} |",
    ):
        assert row in card.splitlines()


def test_the_same_run_gives_the_same_bytes(translating: Path, model: Path, tmp_path: Path) -> None:
    assert export(translating, tmp_path).read_bytes() == model.read_bytes()


def test_the_file_translates_as_the_rounded_weights_do(translating: Path, model: Path, tmp_path: Path) -> None:
    rounded = Path(shutil.copytree(translating, tmp_path / "rounded"))
    weights = checkpoint.load_weights(model)
    checkpoint.save_model(rounded / "model.pt", {k: v.float() if v.ndim > 1 else v for k, v in weights.items()}, {})
    result = translate(model, given=GIVEN)
    assert result.exit_code == 0 and not said(result)
    assert f"by {model}" in result.stderr.splitlines()[0]
    assert result.stdout.splitlines() == [found[0][1] for found in searched(rounded)]


def test_a_picture_names_the_run_of_the_file(translating: Path, model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    result = translate(model, "--text", SOURCES[0], "--attention", str(picture))
    assert result.exit_code == 0, result.output
    (fields,) = provenance.read(picture)
    assert fields["run"] == "mt/multi30k-en-de/quick/seed0"
    assert fields["metrics"] == hashlib.sha256((translating / "metrics.json").read_bytes()).hexdigest()


def written(path: Path, tensors: dict[str, torch.Tensor], text: str) -> None:
    """Write a file with these tensors, this text of metrics.json, and the right digest."""
    save_file(tensors, path, exported.metadata(text, digest_tensors(tensors)))


def with_metrics(path: Path, **changes: object) -> None:
    written(path, load_file(path), json.dumps(exported.read(path).metrics | changes))


def with_tensors(path: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(path) | changes
    text = json.dumps(exported.read(path).metrics)
    written(path, {name: tensor for name, tensor in tensors.items() if tensor is not None}, text)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


fault = pytest.mark.fault
CUT = "is not a complete file from make export ("


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            lambda p: p.write_bytes(p.read_bytes()[:-9]), CUT, id="cut",
            marks=fault("MODEL is cut off, empty, no safetensors", "`is not a complete file from make export (...)`"),
        ),
        pytest.param(lambda p: p.write_bytes(b""), CUT, id="empty"),
        pytest.param(lambda p: p.write_text("a text\n" * 50), CUT, id="text"),
        pytest.param(
            lambda p: save_file(load_file(p), p), f"{CUT}KeyError: 'onepage'); copy or export it again", id="bare",
            marks=fault("MODEL is a foreign safetensors file", "`is not a complete file from make export (...)`"),
        ),
        pytest.param(lambda p: save_file({}, p, {exported.ENTRY: "[" * 9999}), CUT, id="no JSON"),
        pytest.param(lambda p: save_file({}, p, {exported.ENTRY: "[]"}), CUT, id="other JSON"),
        pytest.param(
            flip, "is damaged: its content does not match its digest; copy or export it again", id="flipped",
            marks=fault("one bit of MODEL is flipped", "`is damaged: its content does not match its digest; ...`"),
        ),
        pytest.param(
            lambda p: with_tensors(p, tokenizer=None), "do not fit its recipe ('tokenizer')", id="no tokenizer",
            marks=fault("MODEL lacks a tensor, or has one of another shape", "`do not fit its recipe (...)`"),
        ),
        pytest.param(lambda p: with_tensors(p, tokenizer=torch.zeros(9, dtype=torch.uint8)), "do not fit", id="bytes"),
        pytest.param(
            lambda p: with_tensors(p, **{"embedding.weight": None}), "do not fit its recipe (Error(s) in", id="lacking"
        ),
        pytest.param(lambda p: with_tensors(p, **{"embedding.weight": torch.zeros(2, 2)}), "do not fit", id="shape"),
        pytest.param(
            lambda p: with_metrics(p, task="cls"), "is a run of 'cls', not of the Transformer (mt)", id="task",
            marks=fault("MODEL is of another task", "`is a run of ..., not of ...; give one made by make ...`"),
        ),
        pytest.param(lambda p: written(p, load_file(p), "[]"), "is a run of None, not of the Transformer", id="list"),
        pytest.param(lambda p: with_metrics(p, recipe={"x": 1}), "was trained by another version", id="version"),
        pytest.param(lambda p: with_metrics(p, decoding=[]), "does not say how it was decoded", id="decoding"),
        pytest.param(
            Path.unlink, "is missing; give a run folder, or a file from make export", id="missing",
            marks=fault("MODEL is missing or cannot be read", "`is missing; give a run folder, or a file from ...`"),
        ),
        pytest.param(lambda p: p.chmod(0), CUT, id="secret", marks=pytest.mark.skipif(not os.geteuid(), reason="root")),
    ],
)  # fmt: skip
def test_a_file_that_is_no_model_gets_one_line(model: Path, tmp_path: Path, change, says: str) -> None:
    bad = Path(shutil.copy(model, tmp_path / "bad.safetensors"))
    change(bad)
    result = translate(bad, "--text", "a man")
    assert result.exit_code == 1 and result.stdout == ""
    (message,) = result.stderr.splitlines()
    assert message.startswith("onepage: ") and f"{bad}" in message and says in message


@pytest.mark.fault("MODEL together with SEED", "`is one trained model; leave out SEED= and SEEDS=, or MODEL`")
def test_make_passes_the_model(tmp_path: Path) -> None:
    done, seen = made(tmp_path, "translate", False, TEXT="a man", MODEL="a/b.safetensors")
    assert done.returncode == 0, done.stderr
    assert seen == ["translate", "--out", str(tmp_path), "--model", "a/b.safetensors", "--text", "a man"]
    done, _ = made(tmp_path, "translate", False, TEXT="a man", MODEL="a", SEED="1")
    assert done.returncode == 2 and "MODEL=a is one trained model; leave out SEED= and SEEDS=, or MODEL" in done.stderr


@pytest.mark.claims
def test_half_precision_translates_as_the_run_was_scored(tmp_path: Path) -> None:
    """At least 95 % of the first 200 test sentences are the same: rounding may decide a near tie differently."""
    for run in map(Path, os.environ.get("CLAIMED_RUNS", "").split()):
        if task_of(run) == "mt":
            model, tokenizer, _, plan = evaluate.load(export(run, tmp_path))
            assert plan == read_json(run / "metrics.json")
            head, decoding = plan["headline"], plan["decoding"]
            with np.load(run / "predictions.npz") as arrays:
                sources, outputs = (arrays[f"{head}_{kind}"][:200].tolist() for kind in ("source", "output"))
            found = evaluate.best(model, [tokenizer.encode(line) for line in sources], **decoding)
            same = sum(tokenizer.decode(ids) == line for ids, line in zip(found, outputs, strict=True))
            assert same >= 0.95 * len(outputs)
            return
    pytest.skip("no trained run named; make test names it")
