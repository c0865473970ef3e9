"""Confusion matrices: every share and count, an outline for the most confused pair, vehicles before animals."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from drawing import edit, metrics_of
from layout import written
from onepage.cls.facts import SHORT
from onepage.cls.figures.confusion import ANIMALS, VEHICLES
from onepage.figures.style import INK
from synthetic_run import CIFAR_CLASSES


def test_every_cell_holds_its_share_and_count(made, drawn):
    sheet = drawn("cls", "confusion").sheets["confusion_counts"]
    metrics = metrics_of(made / "cls")
    texts = sorted(written(sheet))
    counts = np.array(metrics["test"]["confusion"])
    for value in counts[counts > 0]:
        assert str(value) in texts
        texts.remove(str(value))
        share = f"{100 * value / 200:.1f}"
        texts.remove(share)
    assert not [text for text in texts if text.replace(".", "").isdigit()]


def test_shares_are_of_the_true_class(copy, draw):
    """With classes of different sizes, shares and colours are relative to the row."""
    run = copy("cls")
    counts = np.diag([10, 20, 40, 50, 80, 100, 200, 300, 500, 700])
    for row in range(10):
        counts[row, row] -= 5
        counts[row, (row + 1) % 10] += 5
    names = [SHORT.get(name, name) for name in metrics_of(run)["class_names"]]
    edit(run, lambda metrics: metrics["test"].update(confusion=counts.tolist()))
    sheets = draw(run, "confusion").sheets
    sizes = dict(zip(names, counts.sum(1).tolist(), strict=True))
    cells = {"confusion_matrix": {}, "confusion_counts": {}}
    for name, found in cells.items():
        axes = matrix(sheets[name])
        order = [label.get_text() for label in axes.get_yticklabels()]
        for value, (row, column) in zip(axes.collections[0].get_array().compressed(), off_diagonal(), strict=True):
            found[order[row], order[column]] = value
    for found in cells.values():
        for (true, predicted), share in found.items():
            wrong = counts[names.index(true), names.index(predicted)]
            assert share == pytest.approx(100 * wrong / sizes[true])
    words = written(sheets["confusion_counts"])
    shares = sorted(f"{100 * 5 / size:.1f}" for size in sizes.values())
    right = sorted(f"{100 * (size - 5) / size:.1f}" for size in sizes.values())
    assert sorted(word for word in words if word in shares + right and "." in word) == sorted(shares + right)
    axes = matrix(sheets["confusion_matrix"])
    order = [label.get_text() for label in axes.get_yticklabels()]
    diagonal = [text.get_text() for text in axes.texts if text.get_position()[0] == text.get_position()[1]]
    assert diagonal == [f"{min(99, int(100 * (sizes[name] - 5) / sizes[name] + 0.5))}" for name in order]


def off_diagonal():
    """(row, column) of the cells off the diagonal, in order."""
    return [(row, column) for row in range(10) for column in range(10) if row != column]


def matrix(sheet):
    (axes,) = [axes for axes in sheet.figure.axes if axes.axison]
    return axes


def marked(axes):
    """Cells (row, column) of a matrix that are outlined as the most confused."""
    return {(p.get_y(), p.get_x()) for p in axes.patches if p.get_edgecolor() == to_rgba(INK)}


def test_the_most_confused_pair_is_outlined(copy, draw):
    run = copy("cls")
    counts = np.diag([1000] * 10)
    names = metrics_of(run)["class_names"]
    cat, dog = names.index("cat"), names.index("dog")
    counts[cat] = counts[dog] = 0
    counts[cat, [cat, dog]], counts[dog, [dog, cat]], counts[0, :2] = (800, 200), (999, 1), (999, 1)
    edit(run, lambda metrics: metrics["test"].update(confusion=counts.tolist()))
    sheets = draw(run, "confusion").sheets
    axes = matrix(sheets["confusion_matrix"])
    order = [label.get_text() for label in axes.get_yticklabels()]
    cat, dog = order.index("cat"), order.index("dog")
    assert marked(axes) == {(cat, dog), (dog, cat)}
    diagonal = [text.get_text() for text in axes.texts if text.get_position()[0] == text.get_position()[1]]
    first = SHORT.get(names[0], names[0])
    assert diagonal == [{"cat": "80", "dog": "99", first: "99"}.get(name, "all") for name in order]
    assert {"true class", "predicted class"} <= set(written(sheets["confusion_matrix"]))
    counts[names.index("dog"), [names.index("dog"), names.index("cat")]] = 1000, 0
    edit(run, lambda metrics: metrics["test"].update(confusion=counts.tolist()))
    sheets = draw(run, "confusion").sheets
    for name in ("confusion_matrix", "confusion_counts"):
        assert marked(matrix(sheets[name])) == {(cat, dog)}  # no dog was taken for a cat


def test_without_mistakes_nothing_is_outlined(drawn):
    axes = matrix(drawn("no mistakes", "confusion").sheets["confusion_matrix"])
    assert not marked(axes) and [text.get_text() for text in axes.texts if text.get_text()] == ["all"] * 10


def test_blocks_are_the_ten_classes_of_cifar():
    assert sorted(VEHICLES + ANIMALS) == sorted(CIFAR_CLASSES)


def test_vehicles_and_animals_have_their_frames(drawn):
    sheets = drawn("cls", "confusion").sheets
    for name in ("confusion_matrix", "confusion_counts"):
        axes = matrix(sheets[name])
        for labels in (axes.get_yticklabels(), axes.get_xticklabels()):
            assert [label.get_text() for label in labels] == [SHORT.get(each, each) for each in (*VEHICLES, *ANIMALS)]
        framed = {(patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axes.patches}
        assert {((0, 0), 4, 4), ((4, 4), 6, 6)} <= framed
        assert {"vehicles", "animals"} <= set(written(sheets[name]))
