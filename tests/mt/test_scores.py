"""Scores of translations equal sacrebleu's; references match their published form; BLEU by source length is right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu

from onepage.data.translation import load_translation
from onepage.mt import scores
from translate_cases import LINES

OUTPUTS = [line.replace("blue", "red").replace("spielen", "laufen").replace("Gras mit", "mit Gras") for line in LINES]
REPOSITORY = Path(__file__).resolve().parents[2]


def test_scores_agree_with_sacrebleus_command(tmp_path):
    (tmp_path / "out").write_text("\n".join(OUTPUTS) + "\n", encoding="utf-8")
    (tmp_path / "ref").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "out", "-m", "bleu", "chrf", "ter", "-w", "6"]
    printed = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    for row, ours in zip(printed, (scores.bleu, scores.chrf2, scores.ter), strict=True):
        found = ours(OUTPUTS, LINES)
        assert float(f"{found['score']:.6f}") == row["score"], row["name"]
        low, high = found["interval"]
        assert low < found["score"] < high
        assert found == ours(OUTPUTS, LINES)  # the bootstrap draws from a fixed seed


def test_signatures_say_how_it_was_scored():
    assert all(part in scores.bleu(OUTPUTS, LINES)["signature"] for part in ("case:mixed", "tok:13a", "bs:1000"))
    assert "nc:6|nw:0" in scores.chrf2(OUTPUTS, LINES)["signature"]
    assert "tok:tercom" in scores.ter(OUTPUTS, LINES)["signature"]
    assert "tok:none" in scores.bleu_lc_norm_tok(OUTPUTS, LINES, "de")["signature"]


def test_ter_counts_a_moved_phrase_once():
    assert scores.ter(["a b c d e f g h i j"], ["a b c d e f g h i j"])["score"] == 0
    assert scores.ter(["a b x d e f g h i"], ["a b c d e f g h i j"])["score"] == pytest.approx(20)
    assert scores.ter(["f g h i j a b c d e"], ["a b c d e f g h i j"])["score"] == pytest.approx(10)


def test_chrf_of_each_sentence_is_sacrebleus():
    outputs = [LINES[0], OUTPUTS[1], ""]
    found = scores.sentence_chrf(outputs, LINES[:3])
    assert found[0] == pytest.approx(100) and found[2] == 0 < found[1] < 100
    assert found[1] == sacrebleu.sentence_chrf(OUTPUTS[1], [LINES[1]]).score


def test_bleu_is_its_precisions_and_its_brevity_penalty():
    found = scores.bleu([line[:-12] for line in OUTPUTS], LINES)
    product = 1.0
    for precision in found["precisions"]:
        product *= precision ** (1 / 4)
    assert 0 < found["brevity_penalty"] < 1 and found["hypothesis_length"] < found["reference_length"]
    assert found["score"] == pytest.approx(product * found["brevity_penalty"])
    assert scores.corpus_bleu([line[:-12] for line in OUTPUTS], LINES) == found["score"]


def test_every_score_of_a_set_is_there():
    outputs = [*OUTPUTS[:-2], *LINES[-2:]]
    found = scores.every_score(LINES, outputs, OUTPUTS, LINES, None, "de")
    assert (found["n"], found["exact"], found["bleu_lc_norm_tok"]) == (120, 2, None)
    assert found["bleu"] == scores.bleu(outputs, LINES) and found["ter"] == scores.ter(outputs, LINES)
    assert found["bleu_greedy"] == scores.corpus_bleu(OUTPUTS, LINES) != found["bleu"]["score"]
    tok = scores.every_score(LINES, outputs, OUTPUTS, LINES, scores.lc_norm_tok(outputs, "de"), "de")
    assert tok["bleu_lc_norm_tok"]["score"] == pytest.approx(100)


def test_p_value_tells_chance_from_a_difference():
    """Equal outputs have p = 1; if every sentence is worse, p is the smallest value that 1,000 samples allow."""
    assert scores.p_value(OUTPUTS, OUTPUTS, LINES) == 1
    assert scores.p_value(OUTPUTS, LINES, LINES) == pytest.approx(1 / 1001)
    nearly = [*OUTPUTS[:-1], OUTPUTS[-1] + " ja"]
    assert 0.1 < scores.p_value(OUTPUTS, nearly, LINES) <= 1


# --- lc.norm.tok -------------------------------------------------------------------------------------------------


def test_lc_norm_tok_is_the_published_form():
    assert scores.lc_norm_tok(["Ein Hund, »groß« & mehr."], "de")[0] == "ein hund , &quot; groß &quot; &amp; mehr ."


def test_full_stop_and_last_quotation_mark_change_places():
    assert scores.lc_norm_tok(["Er heißt „Rex.“"], "de") == ["er heißt &quot; rex &quot; ."]


def multi30k():
    """Every pair of Multi30k in the data folder; skips the test if there is none."""
    folder = Path(os.environ.get("CLAIMED_DATA") or REPOSITORY / "data")
    pairs = [path.stem.split("-")[1:] for path in sorted((folder / "multi30k").glob("ready-??-??.json"))]
    if not pairs:
        pytest.skip(f"no Multi30k in {folder}; run: make data DATA=real")
    return [load_translation(folder, "multi30k", *pair) for pair in pairs]


@pytest.mark.slow  # not because of its time: `make test` runs slow tests after it has fetched the data
def test_normaliser_gives_the_published_references():
    for pair in multi30k():
        assert set(pair.tok_references) == set(pair.tests)
        for name, published in pair.tok_references.items():
            assert scores.lc_norm_tok(pair.splits[name][1], pair.tgt) == published, (name, pair.tgt)


def test_without_sacremoses_nothing_is_comparable(monkeypatch):
    references, said = {"test": ["ein hund ."]}, []
    assert scores.comparable(references, said.append) is references and not said
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert scores.comparable({}, said.append) == {} and not said
    assert scores.comparable(references, said.append) == {} and "sacremoses is not installed" in said[0]


# --- by source length --------------------------------------------------------------------------------------------


def test_bins_with_too_few_sentences_are_left_out():
    rows = scores.bleu_by_length(["a b c"] * 30 + ["x " * 30] * 5, ["u"] * 35, ["u"] * 35)
    assert [(row["min"], row["n"]) for row in rows] == [(1, 30)]


def test_each_length_has_bleu_of_its_sentences():
    sources = ["a b c"] * 60 + ["x " * 14] * 60
    short, long = scores.bleu_by_length(sources, OUTPUTS, LINES)
    assert [(row["min"], row["max"], row["n"]) for row in (short, long)] == [(1, 8, 60), (12, 15, 60)]
    for row, part in ((short, slice(0, 60)), (long, slice(60, None))):
        whole = scores.bleu(OUTPUTS[part], LINES[part])
        assert (row["bleu"], row["interval"]) == (whole["score"], whole["interval"])


def test_every_length_is_in_one_bin():
    """Twenty sentences of each length from 1 to 22: as many as a bin needs."""
    sources = ["x " * length for length in range(1, 23)] * 20
    rows = scores.bleu_by_length(sources, ["u v"] * 440, ["u v"] * 440)
    found = [(row["min"], row["max"], row["n"] // 20) for row in rows]
    assert found == [(1, 8, 8), (9, 11, 3), (12, 15, 4), (16, 20, 5), (21, None, 2)]
    (row,) = scores.bleu_by_length(["x"] * 20 + ["x " * 9] * 19, ["u v"] * 39, ["u v"] * 39)
    assert row["n"] == 20


def test_the_last_length_has_no_upper_end():
    (row,) = scores.bleu_by_length(["x " * 90] * 25, LINES[:25], LINES[:25])
    assert (row["min"], row["max"], row["n"]) == (21, None, 25)
