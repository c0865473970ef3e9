"""Curves: several seeds as a mean and a band."""

import numpy as np
import pytest

from drawing import rows_of, write_seeds
from layout import problems, texts_of
from onepage.errors import UserError
from onepage.figures import curves


def test_no_text_meets_another_with_many_seeds(copy, draw):
    run = copy("mt")
    write_seeds(run, 12)
    assert not problems(draw(run, "_curves").sheets["curves_mt"])


@pytest.mark.parametrize("task", ["cls", "mt"])
def test_several_seeds_are_a_mean_and_a_band(task, copy, draw):
    run = copy(task)
    rows = write_seeds(run, 3)
    drawn = draw(run, "_curves")
    losses = np.array([[record["val_loss"] for record in row["history"]] for row in rows])
    sheet = drawn.sheets[f"curves_{task}"]
    axes = sheet.figure.axes[0]
    assert axes.lines[1].get_ydata() == pytest.approx(losses.mean(0))
    band = axes.collections[1].get_paths()[0].vertices[:, 1]
    mean, half = losses.mean(0)[-1], losses.std(0, ddof=1)[-1]
    assert {round(mean - half, 9), round(mean + half, 9)} <= {round(value, 9) for value in band}
    assert "means of 3 seeds, bands one standard deviation either way" in drawn.alt[f"curves_{task}"]
    written = " ".join(text for text, _ in texts_of(sheet))
    assert "3 seeds, mean ± sd" in written and f"± {half:.2f}" in written


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.__delitem__(slice(1, None)),  # one seed
        lambda rows: rows[0].update(metrics_sha256="of an earlier run"),
        lambda rows: rows[1]["history"].pop(),  # recorded at other updates
    ],
)
def test_seeds_that_do_not_compare_are_one_line(change, copy, draw):
    run = copy("cls")
    write_seeds(run, 3, change)
    drawn = draw(run, "_curves")
    axes = drawn.sheets["curves_cls"].figure.axes[0]
    own = [row["val_loss"] for row in rows_of(run)]
    assert not axes.collections and axes.lines[1].get_ydata() == pytest.approx(own)
    assert "seeds" not in drawn.alt["curves_cls"]


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": [{"seed": 0}]}', '{"rows": 3}'])
def test_seeds_that_cannot_be_read_are_one_clear_error(content, tmp_path):
    (tmp_path / "seeds.json").write_text(content)
    with pytest.raises(UserError, match=r"seeds\.json .*delete it and run make again"):
        curves.read_seeds(tmp_path / "seed0", [{"step": 1}], "digest")
