"""``onepage classify``: the classes of each image, one line for each refused image, one line for an unusable run."""

import io
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from classify_cases import classify, photo, said, saved, table, write_run
from edits import edit
from onepage.cls import pictures
from onepage.cls.command import shown
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors
from small_training import narrow
from user_commands import assert_ends_quietly, damaged, made, one_of_two, redirected, started

fault = pytest.mark.fault


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return saved(photo(50, 40), tmp_path_factory.mktemp("good") / "good.png")


def encoded(image, name, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=name, **options)
    return buffer.getvalue()


def png(width, height, data=b"", more=b""):
    """A PNG (8-bit grey) that declares this size, with any data."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
DAMAGED = "is damaged or cut off ("
UNREAD = "is not a readable picture; "


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(
            b"", UNREAD, id="empty",
            marks=fault("an empty image file", "`is not a readable picture; ...`; left out"),
        ),
        pytest.param(
            b"GNU make\n" * 50, UNREAD, id="text",
            marks=fault("a text, PDF, EPS or SVG as image", "`is not a readable picture; ...`")
        ),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", UNREAD, id="eps"),
        pytest.param(b"%PDF-1.7\n", UNREAD, id="pdf"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), UNREAD, id="heic"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", UNREAD, id="svg"),
        pytest.param(
            encoded(NOISE, "PNG")[:-3000], DAMAGED, id="cut png",
            marks=fault("an image cut off or damaged: PNG, JPEG, GIF, TIFF, WebP", "`is damaged or cut off (...)`"),
        ),
        pytest.param(encoded(NOISE, "JPEG")[:2000], DAMAGED, id="cut jpeg"),
        pytest.param(encoded(NOISE, "TIFF")[:3000], "", id="cut tiff"),
        pytest.param(encoded(NOISE, "TIFF", compression="tiff_lzw")[:-2000], "", id="cut lzw tiff"),
        pytest.param(encoded(NOISE, "WEBP")[:800], "", id="cut webp"),
        pytest.param(encoded(NOISE.quantize(), "GIF")[:2500], DAMAGED, id="cut gif"),
        pytest.param(png(30, 30, b"no deflate"), DAMAGED, id="bad png"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "", id="png magic"),
        pytest.param(png(0, 5), "", id="no width"),
        pytest.param(
            png(60_000, 60_000, zlib.compress(bytes(10**6))), "has more than 89,478,485 pixels; make it smaller",
            id="bomb", marks=fault("a decompression bomb as image", "`has more than ... pixels; make it smaller`"),
        ),
        pytest.param(png(10_000, 9_000), "has more than 89,478,485 pixels; make it smaller", id="just too large"),
        pytest.param(
            encoded(Image.fromarray(np.full((9, 9), 0.5, np.float32)), "TIFF"), "has 32 bits per pixel",
            id="float", marks=fault("an image of 32 bits a pixel", "`has 32 bits per pixel ...`"),
        ),
        pytest.param(encoded(Image.fromarray(np.full((9, 9), 2**20, np.int32)), "TIFF"), "has 32 bits", id="int32"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_left_out(classifying, good, tmp_path, content, says):
    bad = tmp_path / "bad picture"
    bad.write_bytes(content)
    result = classify(classifying, good, bad, good, "--top", 1)
    assert result.exit_code == 1
    assert [name for name, *_ in table(result)] == [str(good)] * 2
    (message,) = said(result)
    assert message.startswith(f"onepage: {bad} {says}") and message.endswith("; left out")
    assert says != UNREAD or "; save it as PNG, " in message


@fault("an image file missing, unreadable, a folder, a pipe, a device", "one line naming it; the others go on")
def test_what_is_no_file_is_left_out(classifying, good, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "none.png": "is missing",
        good / "under a file": "is missing",
        tmp_path: "is a folder, not a picture",
        tmp_path / "pipe": "is not a regular file",
        Path("/dev/zero"): "is not a regular file",
        tmp_path / ("n" * 300): "cannot be read (File name too long)",
    }
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases[tmp_path / "loop"] = "cannot be read (Too many levels of symbolic links)"
    if os.geteuid():
        (tmp_path / "secret").touch(mode=0)
        cases[tmp_path / "secret"] = "cannot be read (Permission denied)"
    result = classify(classifying, *cases, good)
    assert result.exit_code == 1 and [name for name, *_ in table(result)] == [str(good)] * 3
    assert said(result) == [f"onepage: {path} {says}; left out" for path, says in cases.items()]


@fault("a file name with tabs, line breaks, escapes, no UTF-8", "escaped: a line stays a line of three columns")
def test_any_name_stays_in_its_column(classifying, good, tmp_path):
    name = os.fsencode(tmp_path) + b"/a\tb\nc\x1b[31m\xff\xc3\xa9 $(x)"
    shutil.copy(good, name)
    result = classify(classifying, os.fsdecode(name), os.fsdecode(name) + "no", "--top", 1)
    ((shown_name, *_),) = table(result)
    assert shown_name == f"{tmp_path}/a\\tb\\nc\\x1b[31m\\udcffé $(x)"
    assert said(result) == [f"onepage: {shown_name}no is missing; left out"]
    assert shown("a\u2028b") == "a\\u2028b"


@fault("damaged EXIF, a text chunk that unpacks to much", "the picture as stored; one line")
def test_metadata_can_be_wrong(classifying, tmp_path):
    picture = photo(32, 32)
    picture.save(tmp_path / "exif.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert np.array_equal(pictures.read(tmp_path / "exif.png"), picture)
    text = b"a\0\0" + zlib.compress(bytes(2 * 10**6))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    (tmp_path / "text.png").write_bytes(png(4, 4, zlib.compress(bytes(20)), chunk))
    result = classify(classifying, tmp_path / "text.png")
    (message,) = said(result)
    assert result.exit_code == 1 and "text.png is damaged or cut off (Decompressed data too large" in message


@fault("a damaged TIFF, of which its decoder writes to standard error itself", "our one line alone")
def test_decoders_add_no_lines_of_their_own(tmp_path, capfd):
    content = bytearray(encoded(NOISE, "TIFF", compression="jpeg"))
    start = content.index(b"\xff\xda")  # start of scan: names a component that does not exist
    content[start + 5] = 127
    (tmp_path / "a.tiff").write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged or cut off \("):
        pictures.read(tmp_path / "a.tiff")
    assert capfd.readouterr().err == ""
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def other_classes(path):
    weights, _ = checkpoint.load_model(path / "model.pt")
    weights["fc.bias"] = weights["fc.bias"][:5]
    checkpoint.save_model(path / "model.pt", weights, {})
    edit(path / "metrics.json", weights_digest=digest_tensors(weights))


def trained_again(path):
    weights, _ = checkpoint.load_model(path / "model.pt")
    weights["fc.bias"] += 1
    checkpoint.save_model(path / "model.pt", weights, {})


@fault("classify with a run of the Transformer, an old one, one not evaluated, a damaged one", "one line that says so")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda p: edit(p / "run.json", task="mt"),
            "is a run of 'mt', not of ResNet-18 (cls); give one made by make cls",
        ),
        (lambda p: (p / "run.json").write_text("[]"), "is a run of None, not of ResNet-18 (cls)"),
        (lambda p: (p / "run.json").unlink(), "run.json is missing"),
        (lambda p: edit(p / "run.json", precision=None), "run.json lacks 'precision'; train it again (make cls)"),
        (lambda p: edit(p / "run.json", recipe={"width": 5}), "was trained by another version of this program ("),
        (lambda p: (p / "model.pt").unlink(), "model.pt is missing; train first"),
        (lambda p: (p / "model.pt").write_bytes(b"PK"), "model.pt is damaged"),
        (lambda p: (p / "metrics.json").unlink(), "metrics.json is missing"),
        (lambda p: (p / "metrics.json").write_text("[]"), "lacks class names, temperature or digest"),
        (lambda p: edit(p / "metrics.json", class_names=None), "lacks class names, temperature or digest"),
        (lambda p: edit(p / "metrics.json", test={"calibrated": {"temperature": 0}}), "lacks class names, temperature"),
        (trained_again, "metrics.json does not belong to the weights in model.pt; evaluate again: make cls"),
        (other_classes, "do not fit its recipe (Error(s) in loading state_dict for Narrow: size mismatch"),
    ],
)
def test_a_run_that_cannot_classify_gets_one_line(classifying, good, tmp_path, change, says):
    result = classify(damaged(classifying, tmp_path, change), good)
    assert result.exit_code == 1 and result.stdout == ""
    (message,) = result.stderr.splitlines()
    assert message.startswith("onepage: ") and says in message


@fault("classify without an image, --top of nothing", "one line and the usage; exit status 2")
@pytest.mark.parametrize(
    ("arguments", "says"), [([], "Missing argument 'IMAGE...'"), (["--top", "0", "a"], "0 is not")]
)
def test_wrong_options_are_refused(classifying, arguments, says):
    result = classify(classifying, *arguments)
    assert (result.exit_code, result.stdout) == (2, "") and says in result.stderr


@pytest.mark.slow
@fault("answers of classify into a pipe that closes, Ctrl-C, a full disk", "nothing more, or one line; no traceback")
@pytest.mark.parametrize("by", ["pipe", "interrupt"])
def test_closed_pipe_and_interrupt_end_quietly(whole, good, by):
    assert_ends_quietly(started("classify", whole, *[good] * 3000, stdin=subprocess.DEVNULL), by)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_gets_one_line(whole, good):
    says = "onepage: cannot write to standard output (No space left on device); the answers are not complete"
    assert redirected("classify", whole, ">/dev/full", good) == (1, [says])


@fault("quotes, $, backticks and a leading dash in FILE of make classify", "part of the file's name; nothing is run")
@pytest.mark.parametrize("by_environment", [False, True])
def test_make_passes_a_file_name_as_it_stands(tmp_path, by_environment):
    name = f"-a \"b\" 'c' $(shell touch {tmp_path}/x) `touch {tmp_path}/x` $$ $HOME \\ ; # % é.png"
    done, seen = made(tmp_path, "classify", by_environment, FILE=name)
    assert done.returncode == 0, done.stderr
    assert seen == ["classify", "--out", str(tmp_path), "--", name] and not (tmp_path / "x").exists()
    done, _ = made(tmp_path, "classify", by_environment)
    assert done.returncode == 2 and "FILE is not given; make classify FILE=photo.jpg" in done.stderr


# --- choice of the run, and messages about it ------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "lines"), [((), 3), (("--top", "1"), 1), (("--top", "99"), 10)])
def test_top_says_how_many_lines_a_file_gets(classifying, tmp_path, arguments, lines):
    path = saved(photo(40, 30), tmp_path / "a.png")
    rows = table(classify(classifying, path, path, *arguments))
    assert len(rows) == 2 * lines and rows[:lines] == rows[lines:]
    assert rows[:lines] == table(classify(classifying, path, "--top", "10"))[:lines]


def test_the_run_evaluated_last_is_taken_and_named(classifying, tmp_path):
    path, run = saved(photo(32, 32), tmp_path / "a.png"), one_of_two(classifying, tmp_path)
    with narrow():
        result = CliRunner().invoke(main, ["classify", "--out", str(tmp_path), str(path)])
    assert result.exit_code == 0
    assert result.stderr.startswith(f"onepage: classified by {run} (2 runs; the one evaluated last); the answer")


def test_a_model_of_generated_data_says_so(tmp_path):
    path = saved(photo(32, 32), tmp_path / "a.png")
    result = classify(write_run(tmp_path / "run", generated=True), path)
    assert result.exit_code == 0 and result.stderr.splitlines()[1:] == [
        "onepage: trained on generated textures: answers for real pictures mean nothing"
    ]
    assert "one of: texture A, " in result.stderr


def test_model_of_a_gpu_classifies_without_one(classifying, tmp_path):
    path = saved(photo(32, 32), tmp_path / "a.png")
    assert classify(write_run(tmp_path / "run", device="cuda"), path).stdout == classify(classifying, path).stdout
