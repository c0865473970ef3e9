"""``onepage translate``: one output line per input line, whatever it contains, and a message for each refusal."""

import io
import os
import select
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from checkout import REPOSITORY
from edits import edit
from onepage.commands.main import main
from onepage.mt import translate as translation
from onepage.mt.translate import CHUNK_BYTES, LINES_AT_ONCE, MARKS, MAX_BYTES, Translator, batches
from translate_cases import SOURCES, Pieces, said, searched, translate, write_run
from user_commands import assert_ends_quietly, damaged, made, one_of_two, redirected, started

fault = pytest.mark.fault
GOOD = "a man in a blue shirt"


@pytest.fixture(scope="module")
def translator(translating):
    return Translator(translating, beam_size=2)


@pytest.fixture(scope="module")
def alone(translating):
    """What the command writes for GOOD."""
    return translate(translating, "--text", GOOD).stdout


WORDS, BYTES = (
    "pieces, the model takes 512; break it into sentences",
    "longer than 100,000 bytes; break it into sentences",
)
ZEROS = "every other byte is zero, as in UTF-16; save it as UTF-8"
UTF8 = "not UTF-8 (byte ... at ...)"
NOTHING = "the model knows no part of it"


def refused(name, line, says, what="", seen=""):
    return pytest.param(line, says, id=name, marks=[fault(what, f"`{seen}`; refused")] if what else [])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        refused("words", b"a man " * 1000, WORDS, "a line of 2,000 words", "... pieces, the model takes ...; break it"),
        refused("utf-16", b" \xff\xfea\0 \0m\0a\0n\0", "not UTF-8 (byte 0xff at 2)"),
        refused(
            "utf-16 without mark",
            "a man".encode("utf-16-le"),
            ZEROS,
            "UTF-16 without a byte-order mark",
            "every other byte is zero, as in UTF-16; save it as UTF-8",
        ),
        refused("latin-1", b"Gr\xf6\xdfe", "not UTF-8 (byte 0xf6 at 3)", "a line not in UTF-8", UTF8),
        refused("script", "中文 日本語".encode(), NOTHING, "a line of which the model knows nothing", NOTHING),
        refused("emoji", "🙂👩\u200d👩\u200d👧".encode(), NOTHING),
        refused("controls", b"\0\x01\x07", NOTHING),
        refused("no width", "\u200b".encode(), NOTHING),
        refused("marks", "▁ ▁▁".encode(), NOTHING),
        refused("megabyte", b"x" * 1_000_000, BYTES, "a line of a megabyte", "longer than ... bytes; break it"),
        refused("zeros", bytes(300_000), BYTES),
    ],
)
def test_untranslatable_line_is_refused_by_its_number(translating, alone, line, says):
    result = translate(translating, given=GOOD.encode() + b"\n" + line + b"\n" + GOOD.encode())
    assert result.exit_code == 1 and result.stdout == f"{alone}\n{alone}"
    (message,) = said(result)
    assert message.startswith("onepage: line 2: ") and message.endswith(f"{says}; refused") and message.isprintable()


def test_a_refused_line_leaves_each_answer_empty(translating):
    assert translate(translating, "--nbest", "2", "--scores", given=b"Gr\xf6\xdfe").stdout == "\n\n"


@fault("emoji, other scripts, controls in a line", "the rest is translated; `left out, unknown to the model: ...`")
def test_unknown_pieces_of_a_line_are_named(translating):
    texts = [f"{GOOD} 🙂", f"{GOOD} 日本語 中文", "a\0man \x1b[31m in", f"{GOOD}"]
    result = translate(translating, given="\n".join(texts).encode())
    assert result.exit_code == 0 and result.stdout.count("\n") == 4
    translated = result.stdout.splitlines()
    assert translated[0] == translated[1] == translated[3]  # as if the unknown pieces were not there
    messages = said(result)
    assert messages[0] == "onepage: line 1: left out, unknown to the model: 🙂" and len(messages) == 3
    assert messages[1] == "onepage: line 2: left out, unknown to the model: 日本語 中文"
    assert (
        messages[2].startswith("onepage: line 3: left out, unknown to the model: U+0000") and messages[2].isprintable()
    )


@fault("a line longer than any of the training", "translated; `... pieces, longer than any training sentence`")
def test_line_longer_than_training_is_translated(translating):
    result = translate(translating, given=b"a man " * 60)
    (message,) = said(result)
    assert result.exit_code == 0 and "pieces, longer than any training sentence (40)" in message
    assert result.stdout.strip()


@fault("line and paragraph separators of Unicode within a line", "spaces; the output has no line more")
def test_nothing_but_a_line_feed_ends_a_line(translating):
    separators = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\u3000", "\t"]
    given = "".join(f"a man{separator}in Gras\n" for separator in [*separators, " "])
    result = translate(translating, given=given.encode())
    assert result.exit_code == 0 and not said(result)
    assert result.stdout.count("\n") == len(separators) + 1 and len(set(result.stdout.splitlines())) == 1


ODD = ["", " ", "\r", "\u2028", "\x85", "\ufeff", "\0", "▁", "</s>", "<s> <pad>", "<unk>", GOOD, "🙂 a man"]
odd = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from([*ODD, "a\u0301" * 20])
lines_of_bytes = st.binary(max_size=40) | odd.map(str.encode)


@pytest.mark.slow
@fault("any bytes for sentences (fuzzed)", "as many lines as the input has; a message for each refused")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines_of_bytes, max_size=5), st.booleans(), st.integers(1, 3))
def test_any_bytes_give_as_many_lines(translating, translator, lines, ended, nbest):
    content = b"\n".join(lines) + b"\n" * ended
    assume(not content.startswith(tuple(MARKS)))
    end = b"\n" if b"\n" in content else b"\r"  # as on old Macs, if there is no LF
    count = content.count(end) + (not content.endswith(end) and bool(content))
    translator.nbest = nbest
    result = monkeyed(translator, translating, content, nbest)
    assert result.stdout_bytes.count(b"\n") == nbest * count
    assert len(result.stdout.splitlines()) == nbest * count  # the output has no other line separator either
    refused = [line for line in said(result) if line.endswith("; refused")]
    assert result.exit_code == (1 if refused else 0)
    assert all(line.startswith("onepage: line ") and line.isprintable() for line in said(result))


def monkeyed(translator, translating, content, nbest):
    """Run the command with a translator that is already loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "Translator", lambda *settings: translator)
        return translate(translating, "--nbest", str(nbest), given=content)


@fault("a pipe that gives its lines in pieces of any size (fuzzed)", "the same lines")
@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", b"\xc3", b"\xa9", b"\xe2\x80\xa8"]), max_size=60)
    | st.lists(st.sampled_from([b"a", b"\r", b"\xc3"]), max_size=60),
    st.data(),
)
def test_lines_do_not_depend_on_how_they_come(parts, data):
    content = b"".join(parts)
    sizes = data.draw(st.lists(st.integers(1, 5), max_size=40))
    found = list(batches(Pieces(content, sizes)))
    expected = content.split(b"\n" if b"\n" in content else b"\r")
    expected = expected[:-1] if expected[-1] == b"" else expected
    assert [line for group in found for line in group] == [line.removesuffix(b"\r") for line in expected]


def test_groups_and_memory_are_bounded():
    groups = list(batches(io.BytesIO(b"a\n" * (LINES_AT_ONCE + 1) + b"x" * 5 * CHUNK_BYTES + b"\nend")))
    assert [len(group) for group in groups[:2]] == [LINES_AT_ONCE, 1]
    long, end = [line for group in groups[2:] for line in group]
    assert MAX_BYTES < len(long) <= MAX_BYTES + 1 + CHUNK_BYTES and end == b"end"


@fault("a run of ResNet-18, an old one, a damaged one, none at all", "one line that says what is wrong with it")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: edit(p / "run.json", task="cls"), "is a run of 'cls', not of the Transformer (mt)"),
        (lambda p: (p / "run.json").write_text("[]"), "is a run of None, not of the Transformer (mt)"),
        (lambda p: (p / "run.json").write_text("{"), "run.json cannot be read"),
        (lambda p: (p / "run.json").unlink(), "run.json is missing"),
        (lambda p: edit(p / "run.json", device=None), "run.json lacks 'device'; train it again"),
        (lambda p: edit(p / "run.json", recipe={"beam_size": 5}), "was trained by another version of this program ("),
        (lambda p: (p / "model.pt").unlink(), "model.pt is missing; train first"),
        (lambda p: (p / "model.pt").write_bytes(b"PK"), "model.pt is damaged"),
        (lambda p: (p / "metrics.json").write_text("{"), "metrics.json cannot be read"),
        (lambda p: edit(p / "metrics.json", decoding=None), "metrics.json does not say how it was decoded"),
        (
            lambda p: edit(p / "metrics.json", decoding={"beam_size": 0}),
            "metrics.json: decoding: beam_size: expected int from 1 to",
        ),
    ],
)
def test_a_run_that_cannot_translate_gets_one_line(translating, tmp_path, change, says):
    result = translate(damaged(translating, tmp_path, change), "--text", GOOD)
    assert result.exit_code == 1 and result.stdout == ""
    (message,) = result.stderr.splitlines()
    assert message.startswith("onepage: ") and says in message


@fault("decoding options out of range, more best than the beam holds", "one line; exit status 2 or 1, nothing loaded")
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--beam", "0"], 2, "0 is not in the range 1<=x<=100"),
        (["--beam", "x"], 2, "'x' is not a valid integer"),
        (["--nbest", "101"], 2, "101 is not in the range"),
        (["--length-penalty", "-1"], 2, "-1.0 is not in the range"),
        (["--length-penalty", "nan"], 1, "length_penalty: expected a number up to 1e+12, got nan"),
        (["--beam", "2", "--nbest", "3"], 1, "a beam of 2 cannot give 3 translations; give a larger --beam"),
    ],
)
def test_wrong_options_are_refused(translating, arguments, status, says):
    result = translate(translating, "--text", GOOD, *arguments)
    assert (result.exit_code, result.stdout) == (status, "") and says in result.stderr


@pytest.mark.slow
@fault("translations into a pipe that closes (`| head -1`), Ctrl-C", "nothing more; exit status 141, 130")
@pytest.mark.parametrize("by", ["pipe", "interrupt"])
def test_closed_pipe_and_interrupt_end_quietly(translating, by):
    process = started("translate", translating)
    process.stdin.write(b"a man\n")
    process.stdin.flush()
    assert_ends_quietly(process, by)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "says"),
    [
        pytest.param(
            ">/dev/full",
            "cannot write to standard output (No space left on device); the translations are not complete",
            id="full",
            marks=fault("a full disk under the translations", "`cannot write to standard output (...)...`"),
        ),
        pytest.param(
            "<&-",
            "stdin is closed; open it, or give sentences by --text",
            id="input",
            marks=fault("standard input or output closed", "`... is closed; open it`"),
        ),
        pytest.param(">&-", "stdout is closed; open it", id="output"),
    ],
)
def test_streams_that_cannot_be_used_get_one_line(translating, redirection, says):
    if redirection == ">/dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    assert redirected("translate", translating, redirection) == (1, [f"onepage: {says}"])


@fault("quotes, $, backticks and comment signs in TEXT of make translate", "part of the sentence; nothing is run")
@pytest.mark.parametrize("by_environment", [False, True])
def test_make_passes_a_sentence_as_it_stands(tmp_path, by_environment):
    sentence = f"a \"b\" 'c' $(shell touch {tmp_path}/x) `touch {tmp_path}/x` $$ $HOME ${{HOME}} \\ ; # % | é 🙂 --beam"
    done, seen = made(tmp_path, "translate", by_environment, TEXT=sentence)
    assert done.returncode == 0, done.stderr
    assert seen == ["translate", "--out", str(tmp_path), "--text", sentence] and not (tmp_path / "x").exists()
    done, seen = made(tmp_path, "translate", by_environment, given="from standard input\n")
    assert done.returncode == 0, done.stderr
    assert seen == ["translate", "--out", str(tmp_path), "from standard input"]


# --- choice of the run, and messages about it ------------------------------------------------------------------------


def test_the_run_evaluated_last_is_taken_and_named(translating, tmp_path):
    run = one_of_two(translating, tmp_path)
    result = CliRunner().invoke(main, ["translate", "--out", str(tmp_path), "--text", "a man"])
    first = f"onepage: English to German by {run} (2 runs; the one evaluated last)\n"
    assert result.exit_code == 0 and result.stderr == first


def test_a_model_of_generated_data_says_so(tmp_path):
    result = translate(write_run(tmp_path / "run", generated=True), "--text", "a man")
    assert result.exit_code == 0 and said(result) == [
        "onepage: trained on generated sentences: it cannot translate real text"
    ]


@pytest.mark.slow
def test_each_line_is_answered_at_once(translating):
    process = started("translate", translating)
    expected = [found[0][1] for found in searched(translating)]
    for source, answer in zip(SOURCES, expected, strict=True):
        process.stdin.write(source.encode() + b"\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 120)[0], "no answer"
        assert process.stdout.readline().decode() == answer + "\n"
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_help_and_pictures_do_not_import_torch():
    code = """
import sys
from onepage.commands.main import main
for option in (["--help"], ["--beam", "0"]):
    try: main(["translate", *option])
    except SystemExit as error: print(error.code, "torch" in sys.modules)
import onepage.cls.draw, onepage.mt.draw
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(REPOSITORY / "code")}, capture_output=True, timeout=60
    )
    assert b"Exit status: 0" in done.stdout
    assert done.stdout.splitlines()[-3:] == [b"0 False", b"2 False", b"False"]
