"""report.html as a file: it loads nothing else, is small, works without JavaScript, and belongs to the runs shown."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from PIL import Image

from onepage.errors import UserError
from onepage.files import HOME
from onepage.report import interactive
from page_cases import Case, explore, html_of, values_of
from page_reader import Reader, read


def attributes(page: Reader, name: str, key: str) -> list[str]:
    return [found[key] for element, found in page.elements if element == name and key in found]


def test_file_loads_and_runs_nothing_but_its_own(fresh: Case) -> None:
    explore(fresh)
    page = read(html_of(fresh))
    (policy,) = (found["content"] for name, found in page.elements if found.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for rule, text in (("style-src", page.style), ("script-src", page.script)):
        assert rules.pop(rule) == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    none = dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    assert rules == none | {"img-src": "data:"}
    names = [name for name, _ in page.elements]
    assert names.count("style") == 1 and names.count("script") == 2
    assert names.index("meta") < names.index("style") and not {"iframe", "object", "embed", "base"} & set(names)
    assert all(link.startswith("data:") for link in attributes(page, "img", "src") + attributes(page, "link", "href"))
    assert all(link.startswith("#") for link in attributes(page, "a", "href"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", page.script)
    assert "</script" not in page.script and "<!--" not in page.script


def test_every_picture_and_text_is_there_without_javascript(fresh: Case) -> None:
    explore(fresh)
    values, page = values_of(fresh), read(html_of(fresh))
    pictures = [figure for part in values["more"] for figure in part["figures"]]
    pictures += [figure for section in values["sections"] for row in section["rows"] for figure in row]
    assert sorted(attributes(page, "img", "alt")) == sorted(figure["alt"] for figure in pictures)
    for figure in pictures:
        assert figure.get("text", "") in page.text
    for section in values["sections"]:
        headline = section["headline"]
        for said in (headline["value"], headline["label"], headline["interval"], headline["verdict"]):
            assert said in page.text
    assert page.text.count("PASS") == 2 + len(values["claims"])
    assert {"Every class", "Every test set", "Decoded sentences as text"} < {table.title for table in values["tables"]}
    for table in values["tables"]:
        assert table.title in page.text and table.note in page.text
        shown = [] if table.title == "Decoded sentences as text" else table.rows  # any text, whose spaces HTML joins
        assert all(cell in page.text for row in shown for cell in row)
    ids = set(attributes(page, "section", "id") + attributes(page, "main", "id"))
    assert {link[1:] for link in attributes(page, "a", "href")} <= ids


def test_each_part_has_a_place_and_data(fresh: Case) -> None:
    explore(fresh)
    page = read(html_of(fresh))
    data: dict[str, Any] = json.loads(page.data)
    kinds = {"cls": ("curves", "confusion", "reliability"), "mt": ("curves", "attention", "sentences")}
    assert list(data) == [f"{task}-{kind}" for task, found in kinds.items() for kind in found]
    assert set(data) <= set(attributes(page, "section", "id"))
    for part in data.values():  # the script has a function to show it
        assert re.search(rf"function {part['kind']}\(part, host\)", page.script)


def test_page_without_anything_to_explore_is_a_report(fresh: Case) -> None:
    page = read(html_of(fresh))
    assert json.loads(page.data) == {} and len(attributes(page, "img", "src")) == 16
    assert "PASS" in page.text


@pytest.mark.fault("explore.json of another run", "`... does not belong to the run shown; delete it and ...`")
@pytest.mark.parametrize("content", ['{"metrics_sha256": "0", "parts": []}', "[1]", "{}"])
def test_data_of_another_run_is_refused(fresh: Case, content: str) -> None:
    (fresh[0] / "figures/cls/explore.json").write_text(content)
    with pytest.raises(UserError, match=r"explore.json does not belong to the run shown; delete it and .* make cls"):
        html_of(fresh)


@pytest.mark.fault("a picture that cannot be read, for report.html", "`... is damaged (...); draw it again: make ...`")
def test_damaged_picture_is_named(fresh: Case) -> None:
    values = values_of(fresh)
    (fresh[0] / "figures/cls/preds_grid.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)
    with pytest.raises(UserError, match=r"preds_grid.png is damaged .*; draw it again: make cls"):
        interactive.values(values, fresh[0], HOME / "report/templates")


def test_pictures_without_room_are_said_in_words(fresh: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [len(link) for link in attributes(read(html_of(fresh)), "img", "src")]
    style, script = ((HOME / "report/templates" / name).read_text() for name in ("report.css", "report.js"))
    monkeypatch.setattr(interactive, "LIMIT", interactive.ROOM + len(style) + len(script) + 2 + sum(sizes) - 1)
    page = read(html_of(fresh))
    assert len(attributes(page, "img", "src")) == 15  # the last additional picture is left out
    (left,) = re.findall(r"Picture, left out here: (\w+)", page.text)
    assert left in [figure["name"] for figure in values_of(fresh)["more"][-1]["figures"]]


def test_wide_pictures_are_halved_and_all_are_webp(fresh: Case) -> None:
    path = fresh[0] / "wide.png"
    Image.new("RGB", (800, 40), "white").save(path)
    for halve, width in ((True, 400), (False, 800)):
        head, data = interactive._address(path, halve).split(",")
        assert head == "data:image/webp;base64"
        (fresh[0] / "back.webp").write_bytes(base64.b64decode(data))
        with Image.open(fresh[0] / "back.webp", formats=["WEBP"]) as image:
            assert image.size == (width, 40 * width // 800)
