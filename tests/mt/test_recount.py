"""Recounted scores equal values worked out by hand; an error names data that do not fit."""

from pathlib import Path

import numpy as np
import pytest

from onepage.data import translation
from onepage.mt.recount import recount
from onepage.tasks import Recount

METRICS = {"set": "made-up", "src": "en", "tgt": "de"}
SOURCES, REFERENCES = ["one", "two"], ["a b c d f", "g h i j."]
ARRAYS = {"t_source": np.array(SOURCES), "t_reference": np.array(REFERENCES), "t_output": np.array(REFERENCES)}
ARRAYS["t_greedy"] = ARRAYS["t_output"]


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = translation.TranslationSet(
        "made-up", False, "digest", "en", "de", {"t": (SOURCES, REFERENCES)}, ("t",), "t", {}
    )
    monkeypatch.setattr(
        translation, "load_translation", lambda *given: {(Path("data"), *METRICS.values()): made}[given]
    )


def counted(**changes: np.ndarray | None) -> Recount:
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    return recount(METRICS, Path("data"), arrays)


def test_bleu_by_hand() -> None:
    """9 of 10 words (one is a full stop), 7 of 8 pairs, 5 of 6 triples and 3 of 4 quadruples are right."""
    bleu, outputs = pytest.approx(100 * (0.9 * 7 / 8 * 5 / 6 * 0.75) ** 0.25), np.array(["a b c d e", "g h i j ."])
    found = counted(t_output=outputs)
    assert (found.values["tests.t.bleu.score"], found.values["tests.t.bleu_greedy"]) == (bleu, pytest.approx(100))
    found = counted(t_greedy=outputs)
    assert (found.values["tests.t.bleu.score"], found.values["tests.t.bleu_greedy"]) == (pytest.approx(100), bleu)
    assert (found.data_digest, found.problems) == ("digest", {})
    without_copies = counted(t_source=None, t_reference=None)
    assert without_copies.values["tests.t.bleu.score"] == pytest.approx(100) and not without_copies.problems


def test_chrf2_and_exact_matches_by_hand() -> None:
    """chrF2 ignores spaces: 9 of 10 characters, 7 of 8 pairs and so on to 1 of 2 quintuples agree."""
    values = counted(t_output=np.array(["a b c d e", "g h i j."])).values
    orders = [(9, 10), (7, 8), (5, 6), (3, 4), (1, 2)]
    assert values["tests.t.exact"] == 1 and counted().values["tests.t.exact"] == 2
    assert values["tests.t.chrf2.score"] == pytest.approx(100 * sum(hit / all_ for hit, all_ in orders) / len(orders))


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("t_output", None, "not one output for each of 2 sentences of t"),
        ("t_greedy", np.array(["a"]), "not one output for each of 2 sentences of t"),
        ("t_output", np.array(["a"]), "not one output for each of 2 sentences of t"),
        ("t_source", np.array(["one", "three"]), "its sources are not those of t"),
        ("t_reference", np.array(REFERENCES[::-1]), "its references are not those of t"),
    ],
)
def test_what_does_not_fit_is_named(name: str, array: np.ndarray | None, says: str) -> None:
    found = counted(**{name: array})
    assert found.problems == {"tests.t.bleu.score": says}
    assert ("tests.t.bleu.score" in found.values) == (name not in ("t_output", "t_greedy"))
