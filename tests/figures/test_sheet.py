"""The pictures as files: complete, in the exact size, with their provenance, the same bytes when drawn again."""

import hashlib
import os
import re
import subprocess
import sys
from functools import partial

import pypdf
import pytest
from PIL import Image

from drawing import alt_of, metrics_of
from edits import edited
from layout import only
from onepage import tasks
from onepage.errors import UserError
from onepage.figures import sheet
from onepage.files import HOME, read_json
from printed import text_of
from synthetic_run import write_cls_run, write_mt_run

LAYERS, HEADS, MAPS = 1, 2, 2  # of the made-up networks: few, because each head and each Grad-CAM is a picture


def write_cls(folder, **options):
    """A run of ResNet-18 that explains two images."""
    run = write_cls_run(folder, **options)
    with edited(run / "explain.npz") as arrays:
        arrays |= {name: values[:MAPS] for name, values in arrays.items() if name != "layers"}
    return run


WRITERS = {"cls": write_cls, "mt": partial(write_mt_run, layers=LAYERS, heads=HEADS)}
SIZES = {  # mm; None: depends on the run
    "cls": {"curves_cls": (93, 43), "confusion_matrix": (45, 45), "preds_grid": (45, 42), "miscls_grid": (45, 42)}
    | {"confusion_counts": (93, None), "reliability_cls": (93, 45), "gradcam_mistakes": (45, 45)}
    | {f"gradcam_{k}": (45, 45) for k in range(MAPS)},
    "mt": {"curves_mt": (45, 43), "masks_demo": (45, 45), "decodes_table": (93, 42), "bleu_report": (45, 43)}
    | {"attention_heads": (45, 45), "bleu_sets": (190, None), "decodes_all": (None, None), "masks_batch": (190, None)}
    | {f"attention_layer{i + 1}_head{j + 1}": (45, 45) for i in range(LAYERS) for j in range(HEADS)}
    | {f"attention_{kind}": (190, None) for kind in ("encoder_self", "decoder_self", "cross")},
}
STALE = ("retired.png", "gradcam_11.pdf", "attention_layer9_head1.png")  # one of the manifest, two of a larger model
KEPT = ("mine.png", "notes.txt")


# (task, parts to draw); none: every picture
WHOLE = [pytest.param((task,), id=task, marks=pytest.mark.slow) for task in WRITERS]
whole = pytest.mark.parametrize("drawn", WHOLE, indirect=True)
QUICK = pytest.param(("cls", "_curves", "confusion", "reliability"), id="some of cls")


@pytest.fixture(scope="module", params=[QUICK, *WHOLE])
def drawn(request, tmp_path_factory):
    """A run on real data, drawn over an earlier draw: (task, run folder, picture folder)."""
    task, *parts = request.param
    folder = tmp_path_factory.mktemp(task)
    (folder / "figures").mkdir()
    for name in STALE + KEPT:
        (folder / "figures" / name).write_text("old")
    (folder / "figures" / "figures.json").write_text('{"figures": [{"name": "retired"}]}')
    return task, *_draw(task, folder, parts)


@pytest.fixture(scope="module", params=["cls", "mt"])
def drawn_generated(request, tmp_path_factory):
    """The same on generated data, with empty PNGs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheet, "_png", lambda *picture: b"")
        return request.param, *_draw(request.param, tmp_path_factory.mktemp(request.param), generated=True)


def _draw(task, folder, parts=(), **options):
    run, module = WRITERS[task](folder / "run", **options), tasks.get(task).module("draw")
    with only(module, *parts):
        module.draw(run, folder / "figures")
    return run, folder / "figures"


@whole
def test_every_picture_has_its_exact_size(drawn):
    task, _, out = drawn
    entries = {entry["name"]: entry for entry in read_json(out / "figures.json")["figures"]}
    assert set(entries) == set(SIZES[task])
    for name, (width, height) in SIZES[task].items():
        width, height = width or entries[name]["width_mm"], height or entries[name]["height_mm"]
        assert (entries[name]["width_mm"], entries[name]["height_mm"]) == (width, height)
        with Image.open(out / f"{name}.png") as picture:
            for pixels, dpi, size in zip(picture.size, picture.info["dpi"], (width, height), strict=True):
                assert dpi == pytest.approx(300, abs=1.5)
                assert pixels / dpi * 25.4 == pytest.approx(size, abs=0.01), name
        box = pypdf.PdfReader(out / f"{name}.pdf").pages[0].mediabox
        assert float(box.width) / 72 * 25.4 == pytest.approx(width, abs=0.01), name
        assert float(box.height) / 72 * 25.4 == pytest.approx(height, abs=0.01), name


def test_manifest_speaks_of_the_files_and_the_run(drawn):
    task, run, out = drawn
    manifest = read_json(out / "figures.json")
    assert manifest["task"] == task
    assert manifest["run"] == {"cls": "cls/cifar10/quick/seed0", "mt": "mt/multi30k-en-de/quick/seed0"}[task]
    assert manifest["metrics_sha256"] == hashlib.sha256((run / "metrics.json").read_bytes()).hexdigest()
    for entry in manifest["figures"]:
        for form in ("png", "pdf"):
            content = (out / f"{entry['name']}.{form}").read_bytes()
            assert entry[f"sha256_{form}"] == hashlib.sha256(content).hexdigest()
        assert len(entry["alt"]) > 60
    pictures = {f"{entry['name']}.{form}" for entry in manifest["figures"] for form in ("png", "pdf")}
    assert {path.name for path in out.iterdir()} - set(KEPT) == pictures | {"figures.json"}


def test_alternative_texts_state_this_runs_numbers(drawn):
    task, run, out = drawn
    metrics = metrics_of(run)
    alt = alt_of(out)
    if task == "cls":
        pair = metrics["test"]["top_confusions"][0]
        assert f"{pair['true']} taken for {pair['predicted']}, {pair['count']} images" in alt["confusion_matrix"]
        assert f"{metrics['val']['accuracy']:.1%}" in alt["curves_cls"]
        after = metrics["test"]["calibrated"]
        for part in (metrics["test"], after):
            assert f"ECE {100 * part['ece']:.1f} %, NLL {part['nll']:.3f}" in alt["reliability_cls"]
        assert f"temperature {after['temperature']:.2f}" in alt["reliability_cls"]
    else:
        score = metrics["tests"][metrics["headline"]]["bleu"]["score"]
        assert f"test 2016 {score:.1f}" in alt["bleu_report"]
        assert f"perplexity of {metrics['val']['perplexity']:.2f}" in alt["curves_mt"]
        assert metrics["examples"][0]["reference"] in alt["decodes_table"]


def test_pictures_carry_their_provenance_and_no_date(drawn):
    _, run, out = drawn
    metrics = metrics_of(run)
    digest = read_json(out / "figures.json")["metrics_sha256"]
    names = [entry["name"] for entry in read_json(out / "figures.json")["figures"]]
    abouts = {name: pypdf.PdfReader(out / f"{name}.pdf").metadata for name in names}
    wanted = [
        metrics["commit"],
        metrics["recipe_hash"][:12],
        metrics["data_digest"][:12],
        digest,
        "seed 0",
        "2.13.0+cpu",
    ]
    for name, about in abouts.items():
        with Image.open(out / f"{name}.png") as picture:
            sources = (about["/Keywords"], picture.text["Source"])
        assert all(part in source for part in wanted for source in sources)
        assert "/CreationDate" not in about and about["/Title"] == name


def test_no_text_is_small_and_fonts_are_embedded(drawn):
    _, _, out = drawn
    for path in sorted(out.glob("*.pdf")):
        page = pypdf.PdfReader(path).pages[0]
        sizes = [float(size) for size in re.findall(rb"/\S+ ([\d.]+) Tf", page.get_contents().get_data())]
        assert sizes and min(sizes) >= 6.5, path.name
        for font in page["/Resources"]["/Font"].get_object().values():
            inner = font.get_object()
            inner = inner["/DescendantFonts"][0].get_object() if "/DescendantFonts" in inner else inner
            assert "/FontFile2" in inner["/FontDescriptor"].get_object(), path.name


@whole
def test_drawing_again_gives_the_same_bytes(drawn, tmp_path):
    task, run, out = drawn
    program = f"from pathlib import Path; from onepage.{task} import draw; import sys; "
    program += "draw.draw(Path(sys.argv[1]), Path(sys.argv[2]))"
    # The files must not depend on the hash seed (the order of string sets), folder, language, clock or time zone.
    environment = os.environ | {"PYTHONPATH": str(HOME / "code"), "PYTHONHASHSEED": "4242"}
    environment |= {"LC_ALL": "C", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "86400"}
    again = tmp_path / "again"
    command = [sys.executable, "-W", "error", "-c", program, str(run), str(again)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")  # no warning about glyphs, fonts or anything else
    assert {path.name for path in again.iterdir()} == {path.name for path in out.iterdir()} - set(KEPT)
    for path in again.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_generated_data_is_said_on_every_picture(drawn_generated):
    _, _, out = drawn_generated
    for entry in read_json(out / "figures.json")["figures"]:
        assert "generated data" in text_of(out / f"{entry['name']}.pdf"), entry["name"]
        assert entry["alt"].startswith("Generated data. ")


def test_real_data_is_not_called_generated(drawn):
    _, _, out = drawn
    for entry in read_json(out / "figures.json")["figures"]:
        assert "generated" not in (text_of(out / f"{entry['name']}.pdf") + entry["alt"]).lower()


def test_only_own_earlier_pictures_are_removed(drawn):
    _, _, out = drawn  # these files were all there before drawing
    assert all((out / name).exists() for name in KEPT)
    assert not any((out / name).exists() for name in STALE)


def test_a_missing_or_damaged_file_is_named(tmp_path):
    def says(task, run, message):
        with pytest.raises(UserError, match=message):
            tasks.get(task).module("draw").draw(run, tmp_path / "figures")

    run = write_cls_run(tmp_path / "run")
    (run / "predictions.npz").write_bytes(b"PK damaged")
    says("cls", run, r"predictions\.npz cannot be read")
    (run / "predictions.npz").unlink()
    says("cls", run, r"predictions\.npz is missing")
    run = write_mt_run(tmp_path / "mt")
    (run / "history.jsonl").write_text("")
    says("mt", run, r"history\.jsonl is empty")
