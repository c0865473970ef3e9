"""Pictures of a translation run: no text overlaps another or the edge, and hostile sentences appear literally."""

import numpy as np
import pytest

from drawing import edit, rows_of, write_rows
from edits import edited
from layout import problems
from onepage.mt import draw as mt
from printed import text_of
from synthetic_run import HOSTILE, write_mt_run

PICTURES = {"bleu": {"bleu_report", "bleu_sets"}, "decodes": {"decodes_table", "decodes_all"}}
OTHERS = {"curves_mt", "masks_demo", "masks_batch"}
OF_EXAMPLES = {"long": ["decodes"]}  # the other changes are to scores


RARE = ["mt tame", "few sentences", "long", "near the floor", "one set", "own data", "four sets"]
RARE += ["nothing published", "tiny"]


@pytest.mark.parametrize(
    "case", ["mt", "mt generated", "low", *(pytest.param(case, marks=pytest.mark.slow) for case in RARE)]
)
def test_no_text_meets_another_or_the_edge(case, copy, draw):
    run = copy(case if case.startswith("mt") else "mt tame")

    def change(metrics):
        test = metrics["tests"][metrics["headline"]]
        if case == "few sentences":
            for part in metrics["tests"].values():
                part["bleu_by_length"] = []
        if case == "low":  # below the floor, whose line is then at the right
            test["bleu"] |= {"score": 9.3, "interval": [8.1, 10.4]}
            test["bleu_lc_norm_tok"] |= {"score": 9.9, "interval": [8.6, 11.0]}
        if case == "near the floor":  # no room at the right of the floor
            test["bleu"] |= {"score": 16.3, "interval": [14.1, 18.4]}
        if case == "one set":
            metrics["tests"] = {metrics["headline"]: test}
        if case == "own data":  # they have no lc.norm.tok score
            metrics |= {"set": "own", "tests": {metrics["headline"]: test | {"bleu_lc_norm_tok": None}}}
        if case == "four sets":
            metrics["tests"] |= {"test_2018_flickr_of_a_long_name": metrics["tests"]["test_2017_flickr"]}
            test["bleu_by_length"].append(test["bleu_by_length"][-1])
        if case == "nothing published":
            metrics["tgt"] = "cs"
        if case == "tiny":  # intervals that extend below 0
            for part in metrics["tests"].values():
                part["n"] = 3
                part["bleu"] |= {"score": 2.1, "interval": [-3.0, 12.5]}
                part["bleu_lc_norm_tok"] |= {"score": 2.4, "interval": [-3.5, 13.0]}
        if case == "long":
            for example in metrics["examples"]:
                example["output"] = "Donaudampfschifffahrtsgesellschaft und noch mehr davon " * 5

    edit(run, change)
    parts = [] if case.startswith("mt") else OF_EXAMPLES.get(case, ["bleu"])
    sheets = draw(run, *parts).sheets
    assert set(sheets) == set().union(*(PICTURES[part] for part in parts or PICTURES), () if parts else OTHERS)
    for name, sheet in sheets.items():
        assert not problems(sheet), name


@pytest.mark.slow
@pytest.mark.fault("hostile sentences in pictures", "drawn as themselves, or with a sign for what no font has")
@pytest.mark.filterwarnings("error")
def test_one_validation_and_hostile_sentences_are_drawn(tmp_path):
    run = write_mt_run(tmp_path / "run", generated=True, layers=1, heads=1)
    write_rows(run, rows_of(run)[:1])

    def change(metrics):
        bad = ("", HOSTILE, "\ud83d \x00\x07 $\\frac{", "שלום 你好", "x" * 900, "ein " * 200)
        for example, text in zip(metrics["examples"], bad, strict=True):
            example["output"] = text

    edit(run, change)
    with edited(run / "explain.npz") as arrays:
        arrays["source_tokens"] = np.array(
            ["$", "\\", "%", "▁_^{}", "\u200b", "日", "x" * 80, *arrays["source_tokens"][7:]]
        )
    mt.draw(run, tmp_path / "figures")
    assert "(empty)" in text_of(tmp_path / "figures" / "decodes_table.pdf")
    assert "$" in text_of(tmp_path / "figures" / "attention_layer1_head1.pdf")
