"""Mutation tests of the modules that decide a number: python tests/support/mutate.py [--most N] [MODULE ...]

A mutant is a module with one change: an operator, a number, a condition, a returned value, or a statement removed.
The script prints the mutants that the module's own test file does not notice. It fails if they are more than one in
ten. equivalent.toml lists mutants that change no result, each with its reason. mutmut and cosmic-ray start Python for
each mutant, and the import of torch takes seconds. This script imports torch once; each mutant is a fork that imports
the changed module.
"""

import argparse
import ast
import gc
import importlib
import os
import random
import resource
import runpy
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

MODULES = """
mt/transformer mt/incremental mt/search mt/rows mt/losses mt/output_loss mt/batching mt/bpe_dropout mt/scores mt/recount
cls/resnet cls/convolution cls/augment cls/tta cls/scores cls/gradcam cls/recount
training/schedules training/averaging training/muon training/distributed
data/images data/ready verification/claims verification/comparison verification/bitwise runs/seeds
"""
WARM = "pytest xdist.plugin hypothesis torch torch._dynamo sacrebleu.significance matplotlib.pyplot rich.progress"
OPERATORS = """
Add:Sub Sub:Add Mult:Div Div:Mult FloorDiv:Mult Mod:FloorDiv Pow:Mult BitAnd:BitOr BitOr:BitAnd BitXor:BitAnd And:Or
Or:And Lt:LtE Lt:GtE LtE:Lt LtE:Gt Gt:GtE Gt:LtE GtE:Gt GtE:Lt Eq:NotEq NotEq:Eq Is:IsNot IsNot:Is In:NotIn NotIn:In
"""
NAMES = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "any": "all", "all": "any", "mean": "sum"}


def variants(node: Any) -> Iterator[ast.AST]:
    """The replacements for a node, one after another."""
    match node:
        case ast.operator() | ast.boolop() | ast.cmpop():
            pairs = (pair.split(":") for pair in OPERATORS.split())
            yield from (getattr(ast, other)() for one, other in pairs if one == type(node).__name__)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.Constant(bool(value) | int(value) | float(value)) if value + 1 != value:
            yield ast.Constant(not value if isinstance(value, bool) else value + 1)
        case ast.Name(name) | ast.Attribute(_, name) if name in NAMES:
            yield type(node)(*(NAMES[name] if part == name else part for _, part in ast.iter_fields(node)))
        case ast.If() | ast.IfExp() if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Return(value=ast.AST()) if ast.unparse(node) != "return None":
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call()) | ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()


def places(node: Any, scope: str, statement: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """(function, statement, node) of everything that decides a result: no types, decorators, messages or assertions."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
        return
    for field, value in ast.iter_fields(node):
        if field == "op":  # the parser shares one object among all operators of a kind
            node.op = value = type(value)()
        elif field == "ops":
            node.ops = value = [type(operator)() for operator in value]
        for child in value if isinstance(value, list) else [value]:
            left = field in ("annotation", "returns", "decorator_list") or getattr(child, "arg", "") == "strict"
            if isinstance(child, ast.AST) and not left:
                own = child if isinstance(child, ast.stmt) else statement
                yield scope, own, child
                name = child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else ""
                yield from places(child, f"{scope}.{name}".strip("."), own)


def mutants(path: Path) -> dict[str, tuple[int, CodeType]]:
    """{"function: changed line": (line number, changed module)} of a file."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), {}
    for scope, statement, node in list(places(tree, "", tree)):
        for new in list(variants(node)):
            before, kept = ast.unparse(statement).split("\n"), (node.__class__, node.__dict__)
            node.__class__, node.__dict__ = new.__class__, ast.copy_location(new, node).__dict__.copy()
            after = ast.unparse(ast.fix_missing_locations(statement)).split("\n")
            old, line = next(pair for pair in zip(before, after, strict=False) if pair[0] != pair[1])
            label = f"{scope}: {line.strip()}"
            label += f" for {old.strip()}" if line.strip() in ("pass", "return None") else ""
            found[label] = statement.lineno, compile(tree, str(path), "exec")
            node.__class__, node.__dict__ = kept
    return found


def status(module: str, code: CodeType | None, seconds: int, folder: str) -> tuple[int, float]:
    """Run the tests in a fork with this code for the module; return the status (0: all pass) and CPU seconds."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(900)  # ends a mutant that waits for ever; the next line ends one that computes for ever
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            own, usual = {f"onepage.{module.replace('/', '.')}": code}, SourceFileLoader.get_code
            SourceFileLoader.get_code = lambda self, name: own.get(name) or usual(self, name)  # type: ignore
            options = ["-x", "--ff", f"--basetemp={folder}/tmp", "-o", f"cache_dir={folder}/cache"]
            options += ["-m", "not slow and not claims", f"tests/{module.replace('/', '/test_')}.py"]
            os._exit(sys.modules["pytest"].main(options))
        finally:
            os._exit(99)
    _, end, used = os.wait4(pid, 0)
    return end, used.ru_utime + used.ru_stime


def run(module: str, most: int, equivalent: dict[str, str]) -> float:
    """Return the share of a module's mutants that its tests notice; print the others."""
    path = Path(f"code/onepage/{module}.py")
    found, missed = mutants(path), 0
    if unknown := equivalent.keys() - found.keys():
        raise SystemExit(f"equivalent.toml: {module} has no mutant {unknown.pop()!r}; delete that line")
    order = random.Random(0).sample(list(found), len(found))
    drawn = [label for label in order if label not in equivalent][:most]
    with tempfile.TemporaryDirectory() as folder:
        end, used = status(module, None, 600, folder)
        if end:
            raise SystemExit(f"the tests of {module} fail without a change; run pytest")
        for label in drawn:
            if not status(module, found[label][1], 10 + int(3 * used), folder)[0]:
                missed += 1
                print(f"  {path}:{found[label][0]}: {label}")
    share = 1 - missed / len(drawn)
    print(f"{module}: {share:.0%} of {len(drawn)} noticed; {len(found)} mutants, {len(equivalent)} equivalent")
    return share


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", default=MODULES.split(), help="as mt/search; default: all")
    parser.add_argument("--most", type=int, default=60, help="mutants drawn of each module (default: 60)")
    options = parser.parse_args()
    os.chdir(Path(__file__).resolve().parents[2])
    sys.stdout.reconfigure(line_buffering=True)
    runpy.run_path("tests/conftest.py")  # sets the environment before torch is imported
    for name in WARM.split():
        importlib.import_module(name)
    gc.freeze()  # the garbage collector of a fork then visits only the fork's own objects
    equivalent = tomllib.loads(Path("tests/support/equivalent.toml").read_text(encoding="utf-8"))
    return int(min(run(module, options.most, equivalent.get(module, {})) for module in options.modules) < 0.9)


if __name__ == "__main__":
    sys.exit(main())
