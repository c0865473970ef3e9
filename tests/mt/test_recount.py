"""BLEU recounted from outputs and references equals a value worked out by hand; an error names data that do not fit."""

from pathlib import Path

import numpy as np
import pytest

from onepage.data import translation
from onepage.mt.recount import recount
from onepage.tasks import Recount

METRICS = {"set": "made-up", "src": "en", "tgt": "de"}
SOURCES, REFERENCES = ["one", "two"], ["a b c d f", "g h i j."]
ARRAYS = {"t_source": np.array(SOURCES), "t_reference": np.array(REFERENCES), "t_output": np.array(REFERENCES)}


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
    found = counted(t_output=np.array(["a b c d e", "g h i j ."]))
    assert found.values == {"tests.t.bleu.score": pytest.approx(100 * (0.9 * 7 / 8 * 5 / 6 * 0.75) ** 0.25)}
    assert (found.data_digest, found.problems) == ("digest", {})
    assert counted().values["tests.t.bleu.score"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("t_output", None, "not one output for each of 2 sentences of t"),
        ("t_output", np.array(["a"]), "not one output for each of 2 sentences of t"),
        ("t_source", None, "its sources are not those of t"),
        ("t_source", np.array(["one", "three"]), "its sources are not those of t"),
        ("t_reference", None, "its references are not those of t"),
        ("t_reference", np.array(REFERENCES[::-1]), "its references are not those of t"),
    ],
)
def test_what_does_not_fit_is_named(name: str, array: np.ndarray | None, says: str) -> None:
    found = counted(**{name: array})
    assert found.problems == {"tests.t.bleu.score": says}
    assert ("tests.t.bleu.score" in found.values) == (name != "t_output")
