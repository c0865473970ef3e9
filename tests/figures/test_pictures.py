"""The pictures as files: all there, of the exact size, with their origin, the same bytes when drawn again."""

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pypdf
import pytest
from PIL import Image

from onepage.cls import draw as cls
from onepage.errors import UserError
from onepage.figures.style import REPOSITORY
from onepage.mt import draw as mt
from synthetic_run import HOSTILE, write_cls_run, write_mt_run

LAYERS, HEADS = 1, 2  # of the pretended Transformer: few, because each head is a picture
TASKS = {"cls": (write_cls_run, cls.draw), "mt": (partial(write_mt_run, layers=LAYERS, heads=HEADS), mt.draw)}
CLS_SIZES = {"curves_cls": (93, 43), "confusion_matrix": (45, 45), "preds_grid": (45, 45), "miscls_grid": (45, 45)}
CLS_SIZES |= {"confusion_counts": (93, None), "reliability_cls": (93, 45)}
CLS_SIZES |= {f"gradcam_{k}": (45, 45) for k in range(8)}
MT_SIZES = {"curves_mt": (45, 45), "masks_demo": (45, 45), "decodes_table": (93, 45), "bleu_report": (45, 45)}
MT_SIZES |= {"bleu_sets": (190, None), "decodes_all": (None, None), "masks_batch": (190, None)}
MT_SIZES |= {
    f"attention_layer{layer}_head{head}": (45, 45) for layer in range(1, LAYERS + 1) for head in range(1, HEADS + 1)
}
MT_SIZES |= {f"attention_{kind}": (190, None) for kind in ("encoder_self", "decoder_self", "cross")}
STALE = ("retired.png", "gradcam_11.pdf", "attention_layer9_head1.png")  # one of the manifest, two of a larger model
KEPT = ("mine.png", "notes.txt")
SIZES = {"cls": CLS_SIZES, "mt": MT_SIZES}


@pytest.fixture(scope="module", params=["cls", "mt"])
def drawn(request, tmp_path_factory):
    """A run on real data, drawn over an earlier draw: (task, run folder, picture folder)."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "figures").mkdir()
    for name in STALE + KEPT:
        (folder / "figures" / name).write_text("old")
    (folder / "figures" / "figures.json").write_text('{"figures": [{"name": "retired"}]}')
    return request.param, *_draw(request.param, folder)


@pytest.fixture(scope="module", params=["cls", "mt"])
def drawn_generated(request, tmp_path_factory):
    return request.param, *_draw(request.param, tmp_path_factory.mktemp(request.param), generated=True)


def _draw(task, folder, **options):
    write, draw = TASKS[task]
    run = write(folder / "run", **options)
    draw(run, folder / "figures")
    return run, folder / "figures"


def _manifest(out):
    return json.loads((out / "figures.json").read_text(encoding="utf-8"))


def _text(path):
    return " ".join(pypdf.PdfReader(path).pages[0].extract_text().split())


def test_every_picture_is_written_in_both_forms_and_at_its_exact_size(drawn):
    task, _, out = drawn
    entries = {entry["name"]: entry for entry in _manifest(out)["figures"]}
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
    manifest = _manifest(out)
    assert manifest["task"] == task
    assert manifest["run"] == {"cls": "cls/cifar10/quick/seed0", "mt": "mt/multi30k-en-de/quick/seed0"}[task]
    assert manifest["metrics_sha256"] == hashlib.sha256((run / "metrics.json").read_bytes()).hexdigest()
    for entry in manifest["figures"]:
        for form in ("png", "pdf"):
            content = (out / f"{entry['name']}.{form}").read_bytes()
            assert entry[f"sha256_{form}"] == hashlib.sha256(content).hexdigest()
        assert len(entry["alt"]) > 60
    on_disk = {path.name for path in out.iterdir()}
    assert on_disk - set(KEPT) == {f"{e['name']}.{form}" for e in manifest["figures"] for form in ("png", "pdf")} | {
        "figures.json"
    }


def test_alternative_texts_state_this_runs_numbers(drawn):
    task, run, out = drawn
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    alt = {entry["name"]: entry["alt"] for entry in _manifest(out)["figures"]}
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


def test_pictures_carry_their_origin_and_no_date(drawn):
    _, run, out = drawn
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    digest = _manifest(out)["metrics_sha256"]
    names = [entry["name"] for entry in _manifest(out)["figures"]]
    abouts = {name: pypdf.PdfReader(out / f"{name}.pdf").metadata for name in names}
    sources = [about["/Keywords"] for about in abouts.values()]
    for name in names:
        with Image.open(out / f"{name}.png") as picture:
            sources.append(picture.text["Source"])
    assert len(sources) == 2 * len(names)
    wanted = [
        metrics["commit"],
        metrics["recipe_hash"][:12],
        metrics["data_digest"][:12],
        digest,
        "seed 0",
        "2.13.0+cpu",
    ]
    for source in sources:
        assert all(part in source for part in wanted)
    for name, about in abouts.items():
        assert "/CreationDate" not in about and about["/Title"] == name


def test_no_text_is_smaller_than_six_and_a_half_points_and_fonts_are_embedded(drawn):
    _, _, out = drawn
    for path in sorted(out.glob("*.pdf")):
        page = pypdf.PdfReader(path).pages[0]
        sizes = [float(size) for size in re.findall(rb"/\S+ ([\d.]+) Tf", page.get_contents().get_data())]
        assert sizes and min(sizes) >= 6.5, path.name
        for font in page["/Resources"]["/Font"].get_object().values():
            inner = font.get_object()
            inner = inner["/DescendantFonts"][0].get_object() if "/DescendantFonts" in inner else inner
            assert "/FontFile2" in inner["/FontDescriptor"].get_object(), path.name


def test_drawing_again_in_another_process_gives_the_same_bytes(drawn, tmp_path):
    task, run, out = drawn
    program = f"from pathlib import Path; from onepage.figures import {task}; import sys; "
    program += f"{task}.draw(Path(sys.argv[1]), Path(sys.argv[2]))"
    # Another hash seed: the order of sets of strings must not reach the files; nor must place, language, clock or zone.
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "code"), "PYTHONHASHSEED": "4242"}
    environment |= {"LC_ALL": "C", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "86400"}
    again = tmp_path / "again"
    command = [sys.executable, "-W", "error", "-c", program, str(run), str(again)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")  # no warning about glyphs, fonts or anything else
    assert {path.name for path in again.iterdir()} == {path.name for path in out.iterdir()} - set(KEPT)
    for path in again.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name


def test_generated_data_is_said_on_every_picture_and_in_every_text(drawn_generated):
    _, _, out = drawn_generated
    for entry in _manifest(out)["figures"]:
        assert "generated data" in _text(out / f"{entry['name']}.pdf"), entry["name"]
        assert entry["alt"].startswith("Generated data. ")


def test_real_data_is_not_called_generated(drawn):
    _, _, out = drawn
    for entry in _manifest(out)["figures"]:
        assert "generated" not in (_text(out / f"{entry['name']}.pdf") + entry["alt"]).lower()


def test_drawing_does_not_import_torch():
    program = "import sys, onepage.cls.draw, onepage.mt.draw; assert 'torch' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "code")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_pictures_of_an_earlier_draw_are_removed_and_other_files_left_alone(drawn):
    _, _, out = drawn  # all of these lay there before it was drawn
    assert all((out / name).exists() for name in KEPT)
    assert not any((out / name).exists() for name in STALE)


def test_a_missing_or_damaged_file_is_named(tmp_path):
    run = write_cls_run(tmp_path / "run")
    (run / "predictions.npz").write_bytes(b"PK damaged")
    with pytest.raises(UserError, match=r"predictions\.npz cannot be read"):
        cls.draw(run, tmp_path / "figures")
    (run / "predictions.npz").unlink()
    with pytest.raises(UserError, match=r"predictions\.npz is missing"):
        cls.draw(run, tmp_path / "figures")
    run = write_mt_run(tmp_path / "mt")
    (run / "history.jsonl").write_text("")
    with pytest.raises(UserError, match=r"history\.jsonl is empty"):
        mt.draw(run, tmp_path / "figures")


def _edit(run, change):
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    change(metrics)
    (run / "metrics.json").write_text(json.dumps(metrics, ensure_ascii=True), encoding="utf-8")


@pytest.mark.fault("hostile class names in pictures", "drawn as themselves, no formula")
@pytest.mark.filterwarnings("error")
def test_no_wrong_prediction_one_epoch_and_hostile_class_names_are_drawn(tmp_path):
    run = write_cls_run(tmp_path / "run", error_rate=0.0)
    names = [HOSTILE, "$x", "日本語", "", "a\nb", "x" * 60, "%d", "_^", "{}", "\\alpha"]
    _edit(run, lambda metrics: metrics.update(class_names=names))
    first = (run / "history.jsonl").read_text().splitlines()[0]
    (run / "history.jsonl").write_text(first + "\n")
    out = tmp_path / "figures"
    cls.draw(run, out)
    alt = {entry["name"]: entry["alt"] for entry in _manifest(out)["figures"]}
    assert alt["miscls_grid"] == "None of the 2000 test images is classified wrongly."
    assert "classified wrongly" in _text(out / "miscls_grid.pdf")
    assert "over 1 epoch " in alt["curves_cls"]
    assert "$x" in _text(out / "confusion_matrix.pdf")  # as itself, not as a formula


@pytest.mark.filterwarnings("error")
def test_grad_cam_says_classes_confidence_sizes_and_upsampling(tmp_path):
    run = write_cls_run(tmp_path / "run")
    arrays = dict(np.load(run / "explain.npz"))
    arrays["cam_layer3_predicted"][0] = 0  # nothing speaks for the class
    arrays["cam_layer4_predicted"][0] = 1  # everything does, equally
    arrays["labels"][0], arrays["predicted"][0], arrays["predicted"][1] = 3, 5, arrays["labels"][1]
    arrays["probabilities"][0] = [0.01, 0.01, 0.01, 0.02, 0.05, 0.7, 0.08, 0.06, 0.05, 0.01]
    np.savez(run / "explain.npz", **arrays)
    cls.draw(run, tmp_path / "figures")
    wrong, right = (_text(tmp_path / "figures" / f"gradcam_{k}.pdf") for k in (0, 1))
    for text in (wrong, right):
        assert all(part in text for part in ("layer3, 8×8", "layer4, 4×4", "bilinear upsampling", "line at half"))
        assert "each map to its own maximum" in text
    assert "predicted: dog 70 %" in wrong and "true: cat 2 %" in wrong
    assert wrong.count("%") == 2  # each confidence stands once
    assert wrong.count("no evidence") == 1
    assert "right: " in right and "true: " not in right and right.count("%") == 1
    alt = {entry["name"]: entry["alt"] for entry in _manifest(tmp_path / "figures")["figures"]}
    assert "predicted dog with 70 % (wrong, the true class cat got 2 %)" in alt["gradcam_0"]
    assert "layer3 (8×8) for dog: none" in alt["gradcam_0"] and "bilinearly enlarged" in alt["gradcam_0"]


@pytest.mark.filterwarnings("error")
def test_nothing_explained_and_nothing_right_are_drawn(tmp_path):
    run = write_cls_run(tmp_path / "run")
    for name, parts in (("explain", slice(0, 0)), ("predictions", slice(0, 0))):
        arrays = dict(np.load(run / f"{name}.npz"))
        keep = ("layers", "logits", "labels") if name == "predictions" else ("layers",)
        np.savez(run / f"{name}.npz", **{k: v if k in keep else v[parts] for k, v in arrays.items()})
    cls.draw(run, tmp_path / "figures")
    names = {entry["name"] for entry in _manifest(tmp_path / "figures")["figures"]}
    assert names == {name for name in CLS_SIZES if not name.startswith("gradcam")}


@pytest.mark.fault("hostile sentences in pictures", "drawn as themselves, or with a sign for what no font has")
@pytest.mark.filterwarnings("error")
def test_one_test_set_one_validation_and_hostile_sentences_are_drawn(tmp_path):
    run = write_mt_run(tmp_path / "run", generated=True, layers=1, heads=1)
    (run / "history.jsonl").write_text((run / "history.jsonl").read_text().splitlines()[0] + "\n")

    def change(metrics):
        bad = ("", HOSTILE, "\ud83d \x00\x07 $\\frac{", "שלום 你好", "x" * 900, "ein " * 200)
        for example, text in zip(metrics["examples"], bad, strict=True):
            example["output"] = text

    _edit(run, change)
    arrays = dict(np.load(run / "explain.npz"))
    arrays["source_tokens"] = np.array(
        ["$", "\\", "%", "▁_^{}", "\u200b", "日", "x" * 80, *arrays["source_tokens"][7:]]
    )
    np.savez(run / "explain.npz", **arrays)
    mt.draw(run, tmp_path / "figures")
    assert "(empty)" in _text(tmp_path / "figures" / "decodes_table.pdf")
    assert "$" in _text(tmp_path / "figures" / "attention_layer1_head1.pdf")
