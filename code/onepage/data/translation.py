r"""Loading translation sets: Multi30k for one pair of languages, or the generated stand-in, as lists of lines.

Files are UTF-8 and split at "\n" only: U+2028 and the like occur inside sentences, and a split there would shift all
later pairs. A "\r" at the end of a line is dropped. Lines are otherwise unchanged.
"""

from dataclasses import dataclass
from pathlib import Path

from onepage.data import ready, sources
from onepage.errors import UserError


@dataclass(frozen=True)
class TranslationSet:
    """A translation set in memory: ``splits[name]`` is (source lines, target lines), of equal length.

    Order of splits: train, val, then ``tests``. ``tok_references``: for each test split that has one, the published
    lower-cased, normalised, Moses-tokenised target lines. ``digest`` covers exactly the files read.
    """

    name: str
    generated: bool
    digest: str
    src: str
    tgt: str
    splits: dict[str, tuple[list[str], list[str]]]
    tests: tuple[str, ...]
    headline: str
    tok_references: dict[str, list[str]]


def load_translation(data_dir: Path, name: str, src: str, tgt: str) -> TranslationSet:
    """Load "multi30k" for ``src`` -> ``tgt``, or "toy-translation", from ``data_dir``.

    The generated set has one direction: whatever pair is asked for, it is English to toy German, and the fields
    ``src`` and ``tgt`` of the result say "en" and "de". Raises UserError when the set is missing, incomplete or
    corrupt, or its files differ in their number of lines; it names the file and the remedy.
    """
    if name not in ("multi30k", "toy-translation"):
        raise UserError(f"{name} is not a translation set; choose multi30k or toy-translation")
    found, folder = sources.get(name, src, tgt), Path(data_dir) / name
    generated, (src, tgt) = bool(found.generator), found.options.values()
    tests, headline = (("test",), "test") if generated else (sources.TESTS, sources.HEADLINE)
    record = ready.read(folder / found.ready, found.digests)

    splits = {}
    for split in ("train", "val", *tests):
        source, target = (_lines(folder, f"{split}.{language}", record) for language in (src, tgt))
        _check_counts(folder, split, len(source), len(target))
        splits[split] = (source, target)
    tok_references = {}
    for split in tests if not generated else ():
        tok_references[split] = _lines(folder, sources.tok_name(split, tgt), record)
        _check_counts(folder, f"{split} (tokenised references)", len(splits[split][1]), len(tok_references[split]))
    return TranslationSet(name, generated, record.digest, src, tgt, splits, tests, headline, tok_references)


def split_lines(text: str) -> list[str]:
    r"""Lines of ``text``, cut at "\n" only; a final "\n" ends the last line, a "\r" before it is dropped."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _lines(folder: Path, name: str, record: ready.Ready) -> list[str]:
    if name not in record.files:
        raise UserError(f"{folder / name} is not part of the verified set; run: make data")
    content = ready.read_verified(folder, name, record.files[name])
    try:
        return split_lines(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{folder / name} is not UTF-8 at byte {error.start}; {ready.REMEDY}") from None


def _check_counts(folder: Path, split: str, source: int, target: int) -> None:
    if source != target or source == 0:
        raise UserError(f"{folder}: {split} has {source} and {target} lines; delete that folder and run: make data")
