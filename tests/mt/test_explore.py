"""Data of a translation run to explore: the evaluated sentences, and attention that fits their pieces."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onepage.mt import explore
from synthetic_run import write_mt_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mt_run(tmp_path_factory.mktemp("mt") / "run", layers=2, heads=3)


@pytest.fixture(scope="module")
def parts(run: Path) -> dict[str, Any]:
    return {part["kind"]: part for part in explore.parts(run)}


def test_every_sentence_of_the_headline_set_is_there(run: Path, parts: dict[str, Any]) -> None:
    arrays, rows = dict(np.load(run / "predictions.npz")), parts["sentences"]["rows"]
    assert len(rows) == len(arrays["test_2016_flickr_source"])
    for k, name in enumerate(("source", "reference", "output")):
        assert [row[k] for row in rows] == arrays[f"test_2016_flickr_{name}"].tolist()
    assert [row[3] for row in rows] == pytest.approx(arrays["test_2016_flickr_chrf"], abs=0.051)
    assert (parts["sentences"]["src"], parts["sentences"]["tgt"]) == ("en", "de")


def test_weights_fit_the_pieces_of_each_sentence(run: Path, parts: dict[str, Any]) -> None:
    part, explained = parts["attention"], dict(np.load(run / "explain.npz"))
    assert part["shape"] == {kind: [2, 3] for kind in ("encoder_self", "decoder_self", "cross")}
    assert len(part["sentences"]) == 12
    lengths = [len(row["source"]) for row in part["sentences"]]
    assert lengths == sorted(lengths) and len(set(lengths)) == 2  # shorter sentences first
    for row in part["sentences"]:
        k = explained["explored_index"].tolist().index(row["index"])
        s, t = len(row["source"]), len(row["written"])
        assert "" not in row["source"] + row["written"] and len(row["read"]) == t
        for kind, (down, across) in {"encoder_self": (s, s), "decoder_self": (t, t), "cross": (t, s)}.items():
            weights = np.frombuffer(base64.b64decode(row[kind]), np.uint8).reshape(2, 3, down, across)
            assert (weights == explained[f"explored_{kind}"][k][:, :, :down, :across]).all()
