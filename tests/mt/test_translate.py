"""The translator for people: a line in, a line out, as the run was evaluated; what it says besides."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from onepage.commands.main import main
from onepage.errors import UserError
from onepage.mt import translate as translation
from onepage.mt.evaluate import load
from onepage.mt.search import beam
from signals import heed_ctrl_c
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


def test_beam_and_penalty_are_those_of_the_evaluation_unless_given(run):
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
def test_the_n_best_stand_one_a_line_best_first(run, count):
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


def test_a_text_is_a_line_and_a_text_of_lines_is_lines(run):
    one = translate(
        run, "--text", SOURCES[0], "--text", "", "--text", f"{SOURCES[1]}\r\n{SOURCES[2]}\n", given=b"unread"
    )
    lines = [found[0][1] for found in searched(run)]
    assert one.exit_code == 0 and one.stdout.split("\n") == [lines[0], "", lines[1], lines[2], ""]
    assert translate(run, "--text", "--nbest").stdout.count("\n") == 1  # a sentence may look like an option


def test_line_breaks_are_those_of_any_system_and_the_last_may_lack_one(run):
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


def test_the_run_evaluated_last_is_taken_and_named(tmp_path):
    result = CliRunner().invoke(main, ["translate", "--out", str(tmp_path), "--text", "a man"])
    assert result.exit_code == 1 and result.stderr == (
        f"onepage: no finished run of the Transformer in {tmp_path}/runs/mt; make one (make mt) or give --run\n"
    )
    runs = [write_run(tmp_path / "runs/mt" / name, seed=k) for k, name in enumerate(("a/quick/seed0", "b/full/seed3"))]
    for k, path in enumerate(runs):
        os.utime(path / "metrics.json", (1_000_000 - k, 1_000_000 - k))
    unfinished = write_run(tmp_path / "runs/mt/b/full/seed4")
    (unfinished / "metrics.json").unlink()
    result = CliRunner().invoke(main, ["translate", "--out", str(tmp_path), "--text", "a man"])
    first = f"onepage: English to German by {runs[0]} (2 runs; the one evaluated last)\n"
    assert result.exit_code == 0 and result.stderr == first
    os.utime(runs[1] / "metrics.json", (2_000_000, 2_000_000))
    assert str(runs[1]) in CliRunner().invoke(main, ["translate", "--out", str(tmp_path), "--text", "a man"]).stderr


def test_a_model_of_generated_data_says_so(tmp_path):
    result = translate(write_run(tmp_path / "run", generated=True), "--text", "a man")
    assert result.exit_code == 0 and said(result) == [
        "onepage: trained on generated sentences: it knows their few words and no real language"
    ]


def test_a_model_trained_on_a_gpu_translates_without_one(run, tmp_path):
    other = write_run(tmp_path / "run", device="cuda")
    if not translation.torch.cuda.is_available():
        with pytest.raises(UserError, match="DEVICE=cuda"):
            load(other)
    assert translate(other, "--text", SOURCES[0]).stdout == translate(run, "--text", SOURCES[0]).stdout


def test_a_run_not_yet_evaluated_is_searched_by_the_defaults(tmp_path):
    path = write_run(tmp_path / "run")
    (path / "metrics.json").unlink()
    assert translation.Translator(path).decoding == translation.Decoding()


def started(run, *arguments, **settings):
    """The command as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "code"), "OMP_WAIT_POLICY": "PASSIVE"}
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    command = [sys.executable, "-m", "onepage", "translate", "--run", str(run), *arguments]
    return subprocess.Popen(command, env=environment, preexec_fn=heed_ctrl_c, **settings)


def test_each_line_is_answered_before_the_next_is_asked(run):
    process = started(run)
    expected = [found[0][1] for found in searched(run)]
    for source, answer in zip(SOURCES, expected, strict=True):
        process.stdin.write(source.encode() + b"\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 120)[0], "no answer"
        assert process.stdout.readline().decode() == answer + "\n"
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_help_and_refused_options_do_not_wait_for_torch(tmp_path):
    before = time.perf_counter()
    process = started(tmp_path, "--help")
    assert b"Exit status: 0" in process.communicate(timeout=60)[0]
    code = "import sys; from onepage.cli import main; sys.argv[1:] = ['translate', '--beam', '0']\n"
    code += "try: main()\nexcept SystemExit as error: print(error.code, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(REPOSITORY / "code")}, capture_output=True, timeout=60
    )
    assert done.stdout == b"2 False\n" and time.perf_counter() - before < 60
