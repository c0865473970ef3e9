"""report.html in a real browser: no error, no request, and controls that work, in light, dark and narrow form.

The tests require Chromium. If axe-core is installed (npm install --global axe-core), it looks for barriers.
"""

import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pytest
from PIL import Image

import browser
from browser import Page
from onepage.cls import draw as cls
from onepage.files import read_json
from onepage.mt import draw as mt
from onepage.report.escape import visible
from page_cases import Case, explore, html_of, several, values_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here: apt-get install chromium"),
]
# The pixels of the selected image, read from a copy: the browser warns about canvases that are read often.
PIXELS = """(() => {
  const copy = new OffscreenCanvas(256, 256).getContext("2d", {willReadFrequently: true});
  copy.drawImage(document.querySelector(".closer canvas"), 0, 0);
  return [...copy.getImageData(0, 0, 256, 256).data];
})()"""
STATES = {"light": {}, "dark": {"dark": True}, "narrow": {"wide": 360, "high": 740}}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Three seeds of both tasks with hostile sentences, their pictures, and their page."""
    found = several(tmp_path_factory.mktemp("page"))
    for draw, task, run in zip((cls, mt), ("cls", "mt"), found[1:], strict=True):
        draw.draw(run, found[0] / "figures" / task)
    explore(found)
    (found[0] / "report").mkdir()
    (found[0] / "report/report.html").write_text(html_of(found), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser.page(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(case: Case, tab: Page) -> Iterator[Page]:
    """The page, wide and light; asserts after each test that the page had no error and no further request."""
    path = case[0] / "report/report.html"
    tab.open(path)
    yield tab
    assert tab.console == [] and tab.requests == [path.as_uri()]


def texts(page: Page, selector: str) -> list[str]:
    found: list[str] = page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)")
    return found


def click(page: Page, selector: str, index: int = 0) -> None:
    page.run(f"document.querySelectorAll({json.dumps(selector)})[{index}].click()")
    page.settle()


def enter(page: Page, selector: str, value: Any, index: int = 0) -> None:
    """Set the value of a control, as a user does."""
    element = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
    events = "['input', 'change'].forEach((name) => e.dispatchEvent(new Event(name, {bubbles: true})))"
    page.run(f"(e => {{ e.value = {json.dumps(value)}; {events} }})({element})")
    page.settle()


def focused(page: Page, what: str = "getAttribute('aria-label')") -> Any:
    return page.run(f"document.activeElement.{what}")


@pytest.mark.parametrize("state", STATES)
def test_page_opens_quietly_and_fits(state: str, case: Case, tab: Page, tmp_path: Path) -> None:
    path = case[0] / "report/report.html"
    tab.open(path, **STATES[state])  # type: ignore[arg-type]
    assert tab.console == [] and tab.requests == [path.as_uri()]
    assert tab.run("document.querySelectorAll('.live').length") == 6 == len(texts(tab, ".explorer"))
    wide, shown = tab.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide == shown == STATES[state].get("wide", 1280)  # nothing overflows
    assert tab.run("[...document.images].every((i) => i.naturalWidth > 0 && i.alt)")
    tab.picture(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        ground = np.asarray(image.convert("L"))[2, 2]
    assert ground < 40 if state == "dark" else ground > 240


def test_page_is_a_report_without_javascript(case: Case, tab: Page) -> None:
    tab.open(case[0] / "report/report.html", script=False)
    tab.send("Emulation.setScriptExecutionDisabled", value=False)
    text = tab.run("document.body.innerText")
    assert "JavaScript is off" in text and not texts(tab, ".explorer") and not texts(tab, ".live")
    for section in values_of(case)["sections"]:
        assert section["headline"]["interval"] in text
        for figure in (figure for row in section["rows"] for figure in row):
            assert tab.run(f"[...document.images].some((i) => i.alt === {json.dumps(figure['alt'])} && i.width > 200)")


def test_cell_shows_its_images_most_confident_first(case: Case, opened: Page) -> None:
    test = read_json(case[1] / "metrics.json")["test"]
    names = [row["name"] for row in test["per_class"]]
    bird, deer = names.index("bird"), names.index("deer")
    click(opened, '.matrix button[aria-label^="bird taken for deer"]')
    (said,) = texts(opened, "#cls-confusion .told")
    count = test["confusion"][bird][deer]
    assert said.startswith(f"bird taken for deer: {count} of 2,000 test images") and count > 1
    labels = opened.run("[...document.querySelectorAll('.tiles button')].map((b) => b.getAttribute('aria-label'))")
    assert len(labels) == count and all("bird \u2192 deer" in label for label in labels)
    sure = [float(label.split("\u00a0")[0]) for label in labels]
    assert sure == sorted(sure, reverse=True)
    assert texts(opened, ".closer h4") == ["bird, taken for deer"]
    pressed = opened.run("[...document.querySelectorAll('.matrix [aria-pressed=true]')].map((b) => b.ariaLabel)")
    assert len(pressed) == 1 and pressed[0].startswith("bird taken for deer")
    click(opened, ".tiles button", 1)
    number = labels[1].split("test image ")[1]
    assert f"Test image {number}" in texts(opened, ".closer .meta")


def test_images_are_those_that_were_kept(case: Case, opened: Page) -> None:
    explained = dict(np.load(case[1] / "explain.npz"))
    click(opened, '.matrix button[aria-label^="cat, right"]')
    enter(opened, "#cls-confusion input[type=range]", 0)
    opened.run("new Promise((done) => setTimeout(done, 300))")
    index = int(opened.run("document.querySelector('.closer canvas').ariaLabel").split(" ")[2])
    pixels = opened.run(PIXELS)
    shown = np.array(pixels).reshape(256, 256, 4)[4::8, 4::8, :3]
    kept = explained["explored_images"][explained["explored_index"].tolist().index(index)].astype(int)
    assert np.abs(shown - kept).mean() < 15  # the sprite is lossy
    others = [np.abs(shown - other.astype(int)).mean() for other in explained["explored_images"]]
    assert min(others) == np.abs(shown - kept).mean()


def test_slider_lays_the_map_over_the_image(opened: Page) -> None:
    click(opened, '.matrix button[aria-label^="cat, right"]')
    opened.run("new Promise((done) => setTimeout(done, 300))")
    seen = {}
    for strength in (0, 50, 100):
        enter(opened, "#cls-confusion input[type=range]", strength)
        seen[strength] = np.array(opened.run(PIXELS)).reshape(256, 256, 4)[..., :3].astype(int)
    half, full = (np.abs(seen[strength] - seen[0]).mean() for strength in (50, 100))
    assert 0 < half < full and full == pytest.approx(2 * half, rel=0.1)
    enter(opened, "#cls-confusion .controls:nth-of-type(2) select", 1)
    assert np.abs(np.array(opened.run(PIXELS)).reshape(256, 256, 4)[..., :3] - seen[100]).mean() > 1  # another layer


def test_filter_by_one_class_shows_its_mistakes(case: Case, opened: Page) -> None:
    test = read_json(case[1] / "metrics.json")["test"]
    confusion = np.array(test["confusion"]) * ~np.eye(10, dtype=bool)
    cat = [row["name"] for row in test["per_class"]].index("cat")
    for select, what, count in (
        (0, "cat taken for another class", confusion[cat].sum()),
        (1, "Other classes taken for cat", confusion[:, cat].sum()),
    ):
        for other in (0, 1):
            enter(opened, "#cls-confusion .controls:first-child select", cat if other == select else "", other)
        assert texts(opened, "#cls-confusion .told")[0].startswith(f"{what}: {count} of 2,000 test images")
    for other in (0, 1):
        enter(opened, "#cls-confusion .controls:first-child select", "", other)
    assert texts(opened, "#cls-confusion .told")[0].startswith(f"All mistakes: {confusion.sum()} of 2,000")
    before = len(texts(opened, ".tiles li"))
    click(opened, "#cls-confusion .more button")
    assert before == 60 and len(texts(opened, ".tiles li")) == 120


def test_matrix_is_one_stop_with_arrows_inside(opened: Page) -> None:
    assert opened.run("document.querySelectorAll('.matrix [tabindex=\"0\"]').length") == 1
    opened.run("document.querySelector('.matrix button').focus()")
    assert focused(opened).startswith("airplane, right")
    for key, code, expected in (
        ("ArrowRight", 39, "airplane taken for ship"),
        ("ArrowDown", 40, "ship, right"),
        ("ArrowLeft", 37, "ship taken for airplane"),
        ("ArrowUp", 38, "airplane, right"),
        ("End", 35, "dog, right"),
        ("Home", 36, "airplane, right"),
    ):
        opened.key(key, code)
        assert focused(opened).startswith(expected)
    opened.key("ArrowRight", 39)
    opened.key("Enter", 13, "\r")
    assert texts(opened, "#cls-confusion .told")[0].startswith("airplane taken for ship")
    ring = opened.run("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"  # the focus is visible


def test_hovered_piece_tells_its_row(case: Case, opened: Page) -> None:
    explained = dict(np.load(case[2] / "explain.npz"))
    part = "#mt-attention"
    assert opened.run(f"document.querySelectorAll('{part} select')[0].options.length") == 12
    enter(opened, f"{part} select", 11)
    rows = texts(opened, f"{part} .attention:not(.words) .row text")
    assert rows[0] == "Eine" and len(rows) == explained["explored_cross"].shape[3]
    enter(opened, f"{part} select", 1, 1)  # layer 2
    enter(opened, f"{part} select", 2, 2)  # head 3
    opened.move(f"{part} .attention:not(.words) .row .back", 3)
    weights = explained["explored_cross"][0, 1, 2, 3] / 255
    said = texts(opened, f"{part} .told")[0]
    best = int(weights.argmax())
    piece = str(explained["source_tokens"][best]).removeprefix("\u2581")
    assert said.startswith(f"\u201c{rows[3]}\u201d looks at {piece} {round(100 * weights[best])}\u00a0%")
    cells = f"[...document.querySelectorAll('{part} .attention:not(.words) .row')[3].querySelectorAll('.cell')]"
    shown = opened.run(f"{cells}.map((c) => Number(c.getAttribute('fill-opacity')))")
    assert shown == pytest.approx(weights, abs=0.001)
    enter(opened, f"{part} select", "mean", 1)
    enter(opened, f"{part} select", "mean", 2)
    shown = opened.run(f"{cells}.map((c) => Number(c.getAttribute('fill-opacity')))")
    assert shown == pytest.approx(explained["explored_cross"][0, :, :, 3].mean((0, 1)) / 255, abs=0.001)
    for button, rows_of in ((1, "source_tokens"), (2, "target_input_tokens")):
        click(opened, f"{part} .segments button", button)
        assert len(texts(opened, f"{part} .attention:not(.words) .row")) == len(explained[rows_of])


def test_words_are_aligned_and_chosen_by_keys(opened: Page) -> None:
    words = "#mt-attention .words"
    links = opened.run(f"document.querySelectorAll('{words} .link').length")
    assert links >= len(texts(opened, f"{words} .written")) > 5  # at least one link per word
    opened.run(f"document.querySelector('{words} .row').focus()")
    opened.key("ArrowDown", 40)
    label = focused(opened)
    assert label.startswith("young: ") and focused(opened, "getAttribute('aria-pressed')") == "true"
    kept = links - opened.run(f"document.querySelectorAll('{words} .faded').length")
    assert kept == (0 if label.endswith("no word") else len(label.split(": ")[1].split(", ")))


def test_sentences_are_searched_sorted_and_filtered(case: Case, opened: Page) -> None:
    arrays = dict(np.load(case[2] / "predictions.npz"))
    sources, chrf = [visible(text) for text in arrays["test_2016_flickr_source"]], arrays["test_2016_flickr_chrf"]
    part, body = "#mt-sentences", "#mt-sentences tbody tr"
    assert texts(opened, f"{part} .told") == [f"{len(sources)} sentences of {len(sources)}, 60 shown."]
    click(opened, f"{part} .more button", 1)
    assert texts(opened, f"{body} td:nth-child(4)") == sources
    enter(opened, f"{part} input[type=search]", "UMBRELLA")
    found = [source for source in sources if "umbrella" in source]
    assert texts(opened, f"{body} td:nth-child(4)") == found and found
    enter(opened, f"{part} input[type=search]", "no such words")
    assert texts(opened, f"{part} .told") == ["No sentence matches."] and not texts(opened, body)
    enter(opened, f"{part} input[type=search]", "")
    click(opened, f"{part} thead button", 1)
    shown = [float(text) for text in texts(opened, f"{body} td:nth-child(2)")]
    assert shown == sorted(shown) and shown[0] == pytest.approx(chrf.min(), abs=0.051)
    assert opened.run(f"document.querySelector('{part} [aria-sort]').ariaSort") == "ascending"
    click(opened, f"{part} thead button", 1)
    shown = [float(text) for text in texts(opened, f"{body} td:nth-child(2)")]
    assert shown[0] == pytest.approx(chrf.max(), abs=0.051)
    enter(opened, f"{part} input[type=number]", 9)
    enter(opened, f"{part} input[type=number]", 11, 1)
    lengths = {int(text) for text in texts(opened, f"{body} td:nth-child(3)")}
    assert lengths <= {9, 10, 11} and lengths


def test_differing_words_are_marked_in_both(case: Case, opened: Page) -> None:
    arrays = dict(np.load(case[2] / "predictions.npz"))
    lines = (arrays[f"test_2016_flickr_{name}"][0] for name in ("reference", "output"))
    reference, output = (re.findall(r"\w+|\S", line) for line in lines)
    cells = "#mt-sentences tbody tr:first-child td"
    missing, extra = texts(opened, f"{cells}:nth-child(5) mark"), texts(opened, f"{cells}:nth-child(6) mark")
    kept = [len(words) - len(marks) for words, marks in ((reference, missing), (output, extra))]
    assert kept[0] == kept[1] > 0 and set(missing) <= set(reference) and set(extra) <= set(output)
    assert {word for word in output if word not in extra} <= set(reference)
    assert {word for word in reference if word not in missing} <= set(output)


def test_hostile_sentence_is_text(opened: Page) -> None:
    enter(opened, "#mt-sentences input[type=search]", "<b>")
    (output,) = texts(opened, "#mt-sentences tbody td:nth-child(6)")
    assert "\\input{x} $x$ <b> & #1 ~^ [U+200B] \U0001f642" in output
    assert opened.run("document.querySelectorAll('#mt-sentences b').length") == 0


def test_curves_tell_values_under_pointer_and_slider(case: Case, opened: Page) -> None:
    rows = [json.loads(line) for line in (case[1] / "history.jsonl").read_text().splitlines()]
    part = "#cls-curves"
    opened.move(f"{part} svg", 0)
    assert texts(opened, f"{part} .told")[0].startswith(("epoch 3", "epoch 4"))
    enter(opened, f"{part} input[type=range]", 0)
    said = texts(opened, f"{part} .told")[0]
    assert said.startswith("epoch 1, 1\u00a0min 08\u00a0s: Loss training ")
    rates = [f"Learning rate {rows[0]['learning_rate']:.3f}", "Image size 16\u00a0px"]
    assert all(text in said for text in rates) and said.count("\u00b1") >= 2  # deviations over three seeds
    assert opened.run(f"document.querySelectorAll('{part} .charts svg').length") == 4
    assert opened.run(f"document.querySelectorAll('{part} path.seed').length") == 4 * 3
    assert texts(opened, f"{part} .legend") == ["Bold: mean of 3 seeds; thin: each seed."]


def test_commands_are_copied(opened: Page) -> None:
    opened.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    opened.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    click(opened, ".commands button", 1)
    assert opened.run("window.copied") == "make verify"
    assert texts(opened, ".commands button")[1] == "Copied"


@pytest.mark.parametrize("dark", [False, True])
def test_printing_shows_the_pictures(dark: bool, case: Case, tab: Page, tmp_path: Path) -> None:
    tab.open(case[0] / "report/report.html", dark=dark)
    tab.printed(tmp_path / "page.pdf")
    reader = pypdf.PdfReader(tmp_path / "page.pdf")
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    assert "Search in source" not in text and "PASS" in text
    for figure in (figure for section in values_of(case)["sections"] for row in section["rows"] for figure in row):
        # NFKC: no-break spaces and ligatures as the letters that they stand for
        assert unicodedata.normalize("NFKC", figure["title"]) in unicodedata.normalize("NFKC", text)
    assert 2 <= len(reader.pages) < 30


def axe() -> Path | None:
    """The path of axe.min.js, if npm has it."""
    if not shutil.which("npm"):
        return None
    done = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, timeout=60)
    path = Path(done.stdout.strip()) / "axe-core" / "axe.min.js"
    return path if done.returncode == 0 and path.is_file() else None


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_no_barrier(state: str, case: Case, tab: Page) -> None:
    program = axe()
    if program is None:
        pytest.skip("no axe-core here: npm install --global axe-core")
    tab.open(case[0] / "report/report.html", **STATES[state])  # type: ignore[arg-type]
    tab.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    tab.run(program.read_text(encoding="utf-8") + "; 1")
    found = tab.run(
        "axe.run().then((r) => r.violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 200))]))"
    )
    assert found == []
