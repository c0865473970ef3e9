"""The translator for people: a line in, a line out, as the run was evaluated; what it says besides."""

import pytest
import torch

from onepage.errors import UserError
from onepage.mt import translate as translation
from onepage.mt.evaluate import load
from translate_cases import SOURCES, said, searched, translate, write_run


def test_it_writes_what_evaluation_would(translating):
    result = translate(translating, given="\n".join(SOURCES).encode() + b"\n")
    assert result.exit_code == 0 and not said(result)
    assert result.stdout.splitlines() == [found[0][1] for found in searched(translating)]


def test_beam_and_penalty_are_those_of_evaluation(translating):
    given = "\n".join(SOURCES).encode()
    plain = translate(translating, "--scores", given=given).stdout
    assert plain == translate(translating, "--scores", "--beam", "3", "--length-penalty", "0.5", given=given).stdout
    for settings in ((1, 0.5), (4, 0.0)):
        other = translate(
            translating, "--scores", "--beam", str(settings[0]), "--length-penalty", str(settings[1]), given=given
        )
        assert other.stdout != plain
        assert other.stdout.splitlines() == [f"{s:.4f}\t{t}" for (s, t), *_ in searched(translating, *settings)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_n_best_stand_one_a_line(translating, count):
    result = translate(translating, "--nbest", str(count), "--scores", given="\n".join(["", *SOURCES]).encode())
    lines = result.stdout.split("\n")[:-1]
    assert lines[:count] == [""] * count and len(lines) == count * (1 + len(SOURCES))
    found = searched(translating, beam_size=max(3, count))  # the beam is as wide as what is asked of it
    assert lines[count:] == [f"{s:.4f}\t{t}" for hypotheses in found for s, t in hypotheses[:count]]
    for start in range(count, len(lines), count):
        scores = [float(line.partition("\t")[0]) for line in lines[start : start + count]]
        assert scores == sorted(scores, reverse=True)
    texts = translate(translating, "--nbest", str(count), given="\n".join(["", *SOURCES]).encode()).stdout
    assert texts.split("\n")[:-1] == [line.partition("\t")[2] for line in lines]


def test_text_of_several_lines_is_several_lines(translating):
    one = translate(
        translating, "--text", SOURCES[0], "--text", "", "--text", f"{SOURCES[1]}\r\n{SOURCES[2]}\n", given=b"unread"
    )
    lines = [found[0][1] for found in searched(translating)]
    assert one.exit_code == 0 and one.stdout.split("\n") == [lines[0], "", lines[1], lines[2], ""]
    assert translate(translating, "--text", "--nbest").stdout.count("\n") == 1  # a sentence may look like an option


def test_line_breaks_are_those_of_any_system(translating):
    expected = translate(translating, given=f"{SOURCES[0]}\n\n{SOURCES[1]}\n".encode()).stdout
    for text in (
        f"{SOURCES[0]}\r\n\r\n{SOURCES[1]}\r\n",
        f"\ufeff{SOURCES[0]}\n\n{SOURCES[1]}",
        f"{SOURCES[0]}\n \t\n{SOURCES[1]}",
    ):
        assert translate(translating, given=text.encode()).stdout == expected
    nothing = translate(translating, given=b"")
    assert (nothing.exit_code, nothing.stdout) == (0, "")


def test_what_a_line_stands_beside_changes_nothing(translating):
    together = translate(translating, given="\n".join(SOURCES * 60).encode())  # more lines than are translated at once
    assert len(SOURCES) * 60 > translation.LINES_AT_ONCE
    assert together.stdout.splitlines() == [found[0][1] for found in searched(translating)] * 60


def test_model_of_a_gpu_translates_without_one(translating, tmp_path):
    other = write_run(tmp_path / "run", device="cuda")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="DEVICE=cuda"):
            load(other)
    assert translate(other, "--text", SOURCES[0]).stdout == translate(translating, "--text", SOURCES[0]).stdout


def test_run_not_evaluated_is_searched_by_defaults(tmp_path):
    path = write_run(tmp_path / "run")
    (path / "metrics.json").unlink()
    assert translation.Translator(path).decoding == translation.Decoding()
