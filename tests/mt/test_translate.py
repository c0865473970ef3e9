"""The translator for people: a line in, a line out, as the run was evaluated; what it says besides."""

from pathlib import Path

import pytest

from onepage.errors import UserError
from onepage.mt import translate as translation
from onepage.mt.evaluate import load
from onepage.mt.search import beam
from translate_cases import LINES, said, translate, write_run

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = [LINES[0], LINES[70], "a man", LINES[33], "im Ball"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("translate") / "runs/mt/multi30k-en-de/quick/seed0")


def searched(run, beam_size=3, alpha=0.5):
    """[(score, text), ...] of each of SOURCES by the search that evaluation uses."""
    model, tokenizer, _, _ = load(run)
    found = beam(model, [tokenizer.encode(line) for line in SOURCES], beam_size, alpha)
    return [[(h.score, tokenizer.decode(h.ids).strip()) for h in hypotheses] for hypotheses in found]


def test_it_writes_what_evaluation_would(run):
    result = translate(run, given="\n".join(SOURCES).encode() + b"\n")
    assert result.exit_code == 0 and not said(result)
    assert result.stdout.splitlines() == [found[0][1] for found in searched(run)]


def test_beam_and_penalty_are_those_of_evaluation(run):
    given = "\n".join(SOURCES).encode()
    plain = translate(run, "--scores", given=given).stdout
    assert plain == translate(run, "--scores", "--beam", "3", "--length-penalty", "0.5", given=given).stdout
    for settings in ((1, 0.5), (4, 0.0)):
        other = translate(
            run, "--scores", "--beam", str(settings[0]), "--length-penalty", str(settings[1]), given=given
        )
        assert other.stdout != plain
        assert other.stdout.splitlines() == [f"{s:.4f}\t{t}" for (s, t), *_ in searched(run, *settings)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_n_best_stand_one_a_line(run, count):
    result = translate(run, "--nbest", str(count), "--scores", given="\n".join(["", *SOURCES]).encode())
    lines = result.stdout.split("\n")[:-1]
    assert lines[:count] == [""] * count and len(lines) == count * (1 + len(SOURCES))
    found = searched(run, beam_size=max(3, count))  # the beam is as wide as what is asked of it
    assert lines[count:] == [f"{s:.4f}\t{t}" for hypotheses in found for s, t in hypotheses[:count]]
    for start in range(count, len(lines), count):
        scores = [float(line.partition("\t")[0]) for line in lines[start : start + count]]
        assert scores == sorted(scores, reverse=True)
    texts = translate(run, "--nbest", str(count), given="\n".join(["", *SOURCES]).encode()).stdout
    assert texts.split("\n")[:-1] == [line.partition("\t")[2] for line in lines]


def test_text_of_several_lines_is_several_lines(run):
    one = translate(
        run, "--text", SOURCES[0], "--text", "", "--text", f"{SOURCES[1]}\r\n{SOURCES[2]}\n", given=b"unread"
    )
    lines = [found[0][1] for found in searched(run)]
    assert one.exit_code == 0 and one.stdout.split("\n") == [lines[0], "", lines[1], lines[2], ""]
    assert translate(run, "--text", "--nbest").stdout.count("\n") == 1  # a sentence may look like an option


def test_line_breaks_are_those_of_any_system(run):
    expected = translate(run, given=f"{SOURCES[0]}\n\n{SOURCES[1]}\n".encode()).stdout
    for text in (
        f"{SOURCES[0]}\r\n\r\n{SOURCES[1]}\r\n",
        f"\ufeff{SOURCES[0]}\n\n{SOURCES[1]}",
        f"{SOURCES[0]}\n \t\n{SOURCES[1]}",
    ):
        assert translate(run, given=text.encode()).stdout == expected
    nothing = translate(run, given=b"")
    assert (nothing.exit_code, nothing.stdout) == (0, "")


def test_what_a_line_stands_beside_changes_nothing(run):
    together = translate(run, given="\n".join(SOURCES * 60).encode())  # more lines than are translated at once
    assert len(SOURCES) * 60 > translation.LINES_AT_ONCE
    assert together.stdout.splitlines() == [found[0][1] for found in searched(run)] * 60


def test_model_of_a_gpu_translates_without_one(run, tmp_path):
    other = write_run(tmp_path / "run", device="cuda")
    if not translation.torch.cuda.is_available():
        with pytest.raises(UserError, match="DEVICE=cuda"):
            load(other)
    assert translate(other, "--text", SOURCES[0]).stdout == translate(run, "--text", SOURCES[0]).stdout


def test_run_not_evaluated_is_searched_by_defaults(tmp_path):
    path = write_run(tmp_path / "run")
    (path / "metrics.json").unlink()
    assert translation.Translator(path).decoding == translation.Decoding()
