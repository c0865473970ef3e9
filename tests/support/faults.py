"""Print the table of faults, made from the tests themselves: python3 tests/support/faults.py

A test that shows what the user sees after a fault has a mark with both. Each mark is one row of the table:

    @pytest.mark.fault("a server stalls halfway", "`timed out`; the next source serves")

or, for one case of several, ``pytest.param(..., id="stalls", marks=pytest.mark.fault(...))``. Text between backticks is
a message of the program (``...`` for the parts that it fills in); test_faults.py compares it with the code. The script
uses only the standard library: it reads the tests and does not import them.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Fault:
    """One row: the test file (below tests/), the test with its case, the fault, and what the user sees."""

    file: str
    test: str
    what: str
    seen: str


class _Marks(ast.NodeVisitor):
    """Collects the fault marks in one test's decorators, with the ids of their cases."""

    def __init__(self, file: str, test: str) -> None:
        self.file, self.test, self.cases = file, test, [""]
        self.found: list[Fault] = []

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "fault":
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if len(words) != 2 or len(node.args) != 2 or node.keywords or not all(isinstance(w, str) for w in words):
                raise SystemExit(f"{self.file}, line {node.lineno}: fault takes two texts, written out")
            self.found.append(Fault(self.file, self.test + self.cases[-1], *map(str, words)))
            return
        ids = [keyword.value for keyword in node.keywords if name == "param" and keyword.arg == "id"]
        self.cases.append(f"[{ids[0].value}]" if ids and isinstance(ids[0], ast.Constant) else self.cases[-1])
        self.generic_visit(node)
        self.cases.pop()


def read(folder: Path = TESTS) -> dict[str, tuple[str, list[Fault]]]:
    """{test file: (first line of its docstring, its faults in order)} for each file with a marked test."""
    result = {}
    for path in sorted(folder.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        file, rows = path.relative_to(folder).as_posix(), []
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                marks = _Marks(file, node.name)
                for decorator in node.decorator_list:
                    marks.visit(decorator)
                rows += marks.found
        if rows:
            result[file] = ((ast.get_docstring(tree) or "").split("\n")[0], rows)
    return result


def table(faults: dict[str, tuple[str, list[Fault]]]) -> str:
    """Markdown: one section per file, one row per fault."""
    parts = []
    for file, (about, rows) in faults.items():
        lines = [f"### [{file}]({file})", "", about, "", "| fault | what is seen | test |", "|---|---|---|"]
        for row in rows:
            cells = [cell.replace("|", "\\|") for cell in (row.what, row.seen, f"`{row.test}`")]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(table(read()), end="")
