"""The classifier for people: a picture goes the way of a test image, at any size, in any mode, any way up."""

import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from classify_cases import TEMPERATURE, classify, photo, said, table, write_run
from onepage.cls import augment, pictures, scores
from onepage.cls.classify import Classifier
from onepage.cls.resnet import ResNet18
from onepage.cls.train import predict
from onepage.commands.main import main
from onepage.training import checkpoint
from synthetic_run import CIFAR_CLASSES


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("classify") / "runs/cls/cifar10/quick/seed0")


@pytest.fixture(scope="module")
def classifier(run):
    return Classifier(run)


def saved(image, path, **options):
    image.save(path, **options)
    return path


def test_a_test_image_gets_what_evaluation_gives_it(run, tmp_path):
    images = [photo(32, 32, seed) for seed in range(5)]
    paths = [saved(image, tmp_path / f"{k}.png") for k, image in enumerate(images)]
    result = classify(run, *paths, "--top", 10)
    assert result.exit_code == 0 and not said(result)
    weights, _ = checkpoint.load_model(run / "model.pt")
    model = ResNet18()
    model.load_state_dict(weights)
    tensor = torch.from_numpy(np.stack([np.asarray(image).transpose(2, 0, 1) for image in images]))
    logits = predict(model, augment.resize(tensor, 16), "fp32").numpy()
    expected = scores.softmax(logits.astype(np.float64) / TEMPERATURE)
    assert len({int(row.argmax()) for row in expected}) > 1  # else a model that never looks would pass
    rows = table(result)
    for k, path in enumerate(paths):
        own = rows[10 * k : 10 * k + 10]
        assert {name for name, _, _ in own} == {str(path)}
        assert {label: share for _, label, share in own} == pytest.approx(
            dict(zip(CIFAR_CLASSES, expected[k], strict=True)), abs=1e-4
        )
        assert [share for *_, share in own] == sorted((share for *_, share in own), reverse=True)


@pytest.mark.parametrize(("arguments", "lines"), [((), 3), (("--top", "1"), 1), (("--top", "99"), 10)])
def test_top_says_how_many_lines_a_file_gets(run, tmp_path, arguments, lines):
    path = saved(photo(40, 30), tmp_path / "a.png")
    rows = table(classify(run, path, path, *arguments))
    assert len(rows) == 2 * lines and rows[:lines] == rows[lines:]
    assert rows[:lines] == table(classify(run, path, "--top", "10"))[:lines]


def test_the_square_in_the_middle_is_read(tmp_path):
    for size in ((90, 60), (60, 90)):
        image = Image.new("RGB", size, "red")
        middle = photo(60, 60)
        image.paste(middle, ((size[0] - 60) // 2, (size[1] - 60) // 2))
        assert np.array_equal(pictures.read(saved(image, tmp_path / "a.png")), middle)


def test_reducing_is_antialiased():
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than any pixel of the 32: they can only be grey
    assert np.abs(pictures.reduce(Image.fromarray(stripes)).astype(int) - 127).max() <= 8
    small = np.asarray(photo(32, 32))
    assert np.array_equal(pictures.reduce(Image.fromarray(small)), small.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (32, 32), (33, 32), (1000, 20), (3000, 2000)])
def test_any_size_gets_an_answer(classifier, tmp_path, size):
    answer = classifier.classify(saved(photo(*size), tmp_path / "a.png"))
    assert answer.pixels.shape == (1, 3, 16, 16) and answer.pixels.dtype == torch.uint8
    assert answer.probabilities.sum() == pytest.approx(1) and answer.picture.size == (min(size),) * 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation):
    upright = photo(48, 48)
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"}
    back |= {7: "TRANSVERSE", 8: "ROTATE_270"}  # stored so, the picture is upright again after what EXIF asks for
    stored = upright.transpose(Image.Transpose[back[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pictures.read(saved(stored, tmp_path / "a.png", exif=exif)), upright)


def test_what_is_transparent_is_white(tmp_path):
    image = photo(40, 40)
    clear = image.copy()
    mask = Image.new("L", (40, 40), 255)
    mask.paste(0, (0, 0, 20, 40))
    clear.putalpha(mask)
    on_white = image.copy()
    on_white.paste("white", (0, 0, 20, 40))
    assert np.array_equal(pictures.read(saved(clear, tmp_path / "rgba.png")), on_white)
    grey = Image.merge("LA", (image.convert("L"), mask))
    expected = np.where(np.asarray(mask)[..., None] > 0, np.asarray(image.convert("L"))[..., None], 255)
    assert np.array_equal(pictures.read(saved(grey, tmp_path / "la.png")), np.broadcast_to(expected, (40, 40, 3)))
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.putpixel((1, 1), 1)
    read = np.asarray(pictures.read(saved(palette, tmp_path / "p.png", transparency=0)))
    assert read[0, 0].tolist() == [255, 255, 255] and read[1, 1].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("L", "a.png", {}),
        ("1", "a.png", {}),
        ("P", "a.gif", {}),
        ("RGB", "a.bmp", {}),
        ("RGB", "a.webp", {"lossless": True}),
        ("CMYK", "a.tiff", {}),
        ("RGB", "a.tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_modes_and_formats_are_read_as_rgb(tmp_path, mode, name, options):
    image = photo(50, 50).convert(mode)
    read = pictures.read(saved(image, tmp_path / name, **options))
    assert read.mode == "RGB" and np.array_equal(read, image.convert("RGB"))


def test_cmyk_jpeg_and_the_first_frame_of_a_film(tmp_path):
    image = photo(64, 64)
    read = pictures.read(saved(image.convert("CMYK"), tmp_path / "a.jpg", quality=95))
    assert np.abs(np.asarray(read, float) - np.asarray(image, float)).mean() < 6
    frames = [photo(20, 20, seed).quantize(64) for seed in (1, 2)]
    read = pictures.read(saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:]))
    assert np.array_equal(read, frames[0].convert("RGB"))


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_sixteen_bits_are_read_as_eight(tmp_path, name):
    grey = np.asarray(photo(30, 30).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    read = np.asarray(pictures.read(saved(deep, tmp_path / name)))
    assert np.array_equal(read, np.repeat(grey[..., None], 3, axis=2))


def test_the_run_evaluated_last_is_taken_and_named(tmp_path):
    path = saved(photo(32, 32), tmp_path / "a.png")

    def asked():
        return CliRunner().invoke(main, ["classify", "--out", str(tmp_path), str(path)])

    result = asked()
    assert result.exit_code == 1 and result.stderr == (
        f"onepage: no finished run of ResNet-18 in {tmp_path}/runs/cls; make one (make cls) or give --run\n"
    )
    runs = [write_run(tmp_path / "runs/cls" / name, seed=k) for k, name in enumerate(("a/quick/seed0", "b/full/seed3"))]
    for k, folder in enumerate(runs):
        os.utime(folder / "metrics.json", (1_000_000 - k, 1_000_000 - k))
    result = asked()
    assert result.exit_code == 0
    assert result.stderr.startswith(f"onepage: by {runs[0]} (2 runs; the one evaluated last); the answer is always")
    os.utime(runs[1] / "metrics.json", (2_000_000, 2_000_000))
    assert asked().stderr.startswith(f"onepage: by {runs[1]} (2 runs")


def test_a_model_of_generated_data_says_so(tmp_path):
    path = saved(photo(32, 32), tmp_path / "a.png")
    result = classify(write_run(tmp_path / "run", generated=True), path)
    assert result.exit_code == 0 and result.stderr.splitlines()[1:] == [
        "onepage: trained on generated textures: it knows them and nothing of real pictures"
    ]
    assert "one of: texture A, " in result.stderr


def test_a_model_trained_on_a_gpu_classifies_without_one(run, tmp_path):
    path = saved(photo(32, 32), tmp_path / "a.png")
    assert classify(write_run(tmp_path / "run", device="cuda"), path).stdout == classify(run, path).stdout
