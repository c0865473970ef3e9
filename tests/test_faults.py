"""The fault marks quote messages of the program, and the table lists each marked test once."""

import re
import runpy

import pytest

import faults
from tests.test_docs import is_message

FAULTS = faults.read()


def test_the_table_is_printed(capsys):
    runpy.run_path(faults.__file__, run_name="__main__")
    assert capsys.readouterr().out == faults.table(FAULTS)
    assert "python3 tests/support/faults.py" in (faults.TESTS / "README.md").read_text(encoding="utf-8")


def test_every_message_in_the_table_is_one_of_the_program():
    quoted = [(row, span) for _, rows in FAULTS.values() for row in rows for span in re.findall(r"`([^`]+)`", row.seen)]
    assert len(quoted) > 50
    unknown = [
        f"{row.file}, {row.test}: {message}"
        for row, message in quoted
        if not is_message([part.strip() for part in message.split("...")])
    ]
    assert not unknown, "no message of the code"


def test_every_row_names_one_test():
    rows = [(row.file, row.test) for _, found in FAULTS.values() for row in found]
    assert len(set(rows)) == len(rows), "a test, or a case of it, has two rows"
    assert all(about for about, _ in FAULTS.values())


@pytest.mark.parametrize(
    "wrong",
    ['@fault("only one")', '@fault("a", f"b")', '@fault(what="a", seen="b")', '@fault("a", SEEN)', '@fault("a", 1)'],
)
def test_a_mark_that_cannot_be_read_is_an_error(tmp_path, wrong):
    (tmp_path / "test_x.py").write_text(f'"""X."""\n{wrong}\ndef test_x(): pass\n', encoding="utf-8")
    with pytest.raises(SystemExit, match="two texts"):
        faults.read(tmp_path)


def test_cases_have_rows_of_their_own(tmp_path):
    (tmp_path / "test_x.py").write_text(
        '"""X.\n\nMore."""\n@pytest.mark.parametrize("a", [\n'
        '    pytest.param(1, id="one", marks=fault("f1", "s1")),\n'
        '    pytest.param(2, id="two", marks=[pytest.mark.fault("f2", "s2")]),\n    3])\n'
        '@pytest.mark.fault("f3", "s|3")\ndef test_x(a): pass\n\ndef test_y(): fault("no", "mark")\n',
        encoding="utf-8",
    )
    about, rows = faults.read(tmp_path)["test_x.py"]
    assert about == "X."
    assert [(row.test, row.what) for row in rows] == [("test_x[one]", "f1"), ("test_x[two]", "f2"), ("test_x", "f3")]
    assert "| f3 | s\\|3 | `test_x` |" in faults.table({"test_x.py": (about, rows)})
