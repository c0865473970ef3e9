"""The translator for people: it translates each line as evaluation does, and reports what it changed."""

import io

import pytest
import torch
from sacremoses import MosesPunctNormalizer

import translate_cases
from edits import edit
from onepage.errors import UserError
from onepage.mt import translate as translation
from onepage.mt.evaluate import load
from onepage.mt.translate import MAX_BYTES, Translator, batches
from translate_cases import SOURCES, Pieces, said, searched, translate, write_run


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


@pytest.mark.parametrize("count", [2, 5])
def test_n_best_are_one_per_line(translating, count):
    result = translate(translating, "--nbest", str(count), "--scores", given="\n".join(["", *SOURCES]).encode())
    lines = result.stdout.split("\n")[:-1]
    assert lines[:count] == [""] * count and len(lines) == count * (1 + len(SOURCES))
    found = searched(translating, beam_size=max(3, count))  # the beam grows to the number of outputs
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


def test_neighbouring_lines_change_nothing(translating):
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


# --- encodings, line ends, quotes and dashes --------------------------------------------------------------------------


@pytest.mark.fault("a text whose lines end by CR alone, as on old Macs", "each line by itself")
def test_lines_of_old_macs_are_lines(translating):
    """This holds even if the text exceeds the limit of one line before any LF; empty lines are kept."""
    expected = translate(translating, given=f"{SOURCES[0]}\n\n{SOURCES[1]}\n".encode()).stdout
    for text in (f"{SOURCES[0]}\r\r{SOURCES[1]}\r", f"\ufeff{SOURCES[0]}\r\r{SOURCES[1]}"):
        result = translate(translating, given=text.encode())
        assert (result.exit_code, result.stdout, said(result)) == (0, expected, [])
        assert translate(translating, "--text", text.removeprefix("\ufeff")).stdout == expected
    long = [b"%d" % number for number in range(2 * MAX_BYTES)]
    assert [line for group in batches(io.BytesIO(b"\r".join(long))) for line in group] == long
    assert translate(translating, "--text", "a\rb", "--attention", "a.png").exit_code == 2  # draws one sentence


@pytest.mark.fault("UTF-16 or UTF-32 with a byte-order mark", "decoded, and translated")
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_tells_the_encoding(translating, encoding, end):
    lines = [SOURCES[0], "", "im grünen Gras 🙂", SOURCES[1]]
    for size, last in ((1, ""), (3, end)):
        content = f"\ufeff{end.join(lines)}{last}".encode(encoding)
        found = [line for group in batches(Pieces(content, [size] * len(content))) for line in group]
        assert [line.decode("utf-8-sig") for line in found] == lines
    if (encoding, end) in (("utf-16-le", "\r\n"), ("utf-8", "\r")):
        expected = translate(translating, given="\n".join(lines).encode())
        result = translate(translating, given=f"\ufeff{end.join(lines)}{end}".encode(encoding))
        assert (result.exit_code, result.stdout, said(result)) == (0, expected.stdout, said(expected))


def test_a_damaged_utf16_keeps_its_lines(translating):
    content = "\ufeffa man\n".encode("utf-16-le") + b"\x00\xd8\n\0a\0m"  # half a surrogate pair, and half a character
    result = translate(translating, given=content)
    assert result.stdout.count("\n") == 3 and all("line 1" not in line for line in said(result))


MARKED = 'it\'s a "blue" - ’ “ ” — ‑ „ … x'


@pytest.mark.fault(
    "typographic quotes and dashes in a sentence", "`typographic quotes and dashes are read as plain ones, here...`"
)
def test_typographic_marks_are_read_as_plain(tmp_path, monkeypatch):
    """This holds even if the model's vocabulary contains them, from the other language of its training."""
    monkeypatch.setattr(translate_cases, "LINES", [*translate_cases.LINES, MARKED])
    run = write_run(tmp_path / "run")
    plain = ["a man's shirt", 'a "blue" shirt', "a man - in blue", "a blue-shirt", "a man..."]
    typographic = ["a man’s shirt", "a “blue” shirt", "a man — in blue", "a blue‑shirt", "a man…"]
    expected = translate(run, "--scores", given="\n".join(plain).encode())
    assert expected.exit_code == 0 and said(expected) == []
    result = translate(run, "--scores", given="\n".join(typographic).encode())
    assert result.exit_code == 0 and result.stdout == expected.stdout
    assert said(result) == ["onepage: line 1: typographic quotes and dashes are read as plain ones, here and below"]


def test_plain_marks_are_those_of_moses():
    """Marks that sacremoses knows become the same plain marks; its other changes to a sentence are not applied."""
    normaliser = MosesPunctNormalizer("en", penn=False, norm_quote_commas=False, norm_numbers=False)
    texts = {f"a {chr(code)} b" for code in translation.PLAIN} | {"man’s ‘best’ “dog”", "« Hallo »", "«\xa0Hallo\xa0»"}
    known = {text: made for text in texts if (made := normaliser.normalize(text)) != text}
    assert len(known) == 12 + 3
    for text, made in known.items():
        assert " ".join(translation.IN_QUOTES.sub("", text).translate(translation.PLAIN).split()) == made


def test_german_keeps_marks_of_its_training(tmp_path):
    run = write_run(tmp_path / "run")
    edit(run / "run.json", src="de", tgt="en")
    translator = Translator(run)
    assert {chr(code) for code in translation.PLAIN if code not in translator.plain} == set("„“–")
    texts = ["„im Ball“ – im Gras", "im Ball’ im Gras"]
    assert [answer.made_plain for answer in translator.answers([text.encode() for text in texts])] == [False, True]
