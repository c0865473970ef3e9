"""Translate lines of text with a trained Transformer: one output line for every input line.

A line that cannot be translated is refused with its number and gives a blank line, so that output and input stay
aligned. Decoding settings are those of the evaluation (metrics.json), unless given.
"""

import codecs
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from onepage.errors import UserError
from onepage.mt import evaluate, explain
from onepage.mt.decoding import Decoding
from onepage.mt.search import beam
from onepage.mt.tokenizer import END, UNKNOWN
from onepage.runs import lookup, provenance
from onepage.training.recipe import from_values

LINES_AT_ONCE = 200  # enough for full batches of similar length; few enough for frequent output
CHUNK_BYTES = 65_536
MAX_BYTES = 100_000  # per line: no sentence is longer, and input without line breaks must not fill the memory
# First bytes of text in other encodings than UTF-8; those of UTF-16 also begin UTF-32
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Typographic quotes, dashes and dots as Moses' normalize-punctuation.perl writes them, and others of their kind.
PLAIN = str.maketrans(
    dict.fromkeys("„“”‟«»″", '"') | dict.fromkeys("‘’‚‛‹›´′ʼ", "'") | dict.fromkeys("–‐‑‒−", "-")
    | {"—": " - ", "―": " - ", "…": "..."}
)  # fmt: skip
KEPT = {"de": "„“–"}  # of these, what the training data of a language has itself
IN_QUOTES = re.compile("(?<=[«‹])[\u00a0\u202f]|[\u00a0\u202f](?=[»›])")  # the space within French ones
LANGUAGES = {"en": "English", "de": "German", "fr": "French"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """The result for one line."""

    number: int
    """Of the line, from 1."""
    outputs: list[tuple[float, str]]
    """(score, text), best first; empty for an empty or refused line. Score: log-probability (nats) / length penalty."""
    refused: bool = False
    remark: str = ""
    """For the user: why the line was refused, or a warning about its translation."""
    text: str = ""
    """The part of the line that was translated."""
    made_plain: bool = False
    """Whether typographic quotes or dashes were replaced."""
    source: list[int] = dataclasses.field(default_factory=list)
    """Its piece ids."""
    target: list[int] = dataclasses.field(default_factory=list)
    """Piece ids of the best output."""


class Translator:
    """A trained run, or a file by ``make export``, and how it decodes."""

    def __init__(self, run: Path, beam_size: int | None = None, length_penalty: float | None = None, nbest: int = 1):
        """Load ``run``. Settings that are None are the evaluation's, with a beam of at least ``nbest``.

        Raises UserError for a run that is missing, damaged, of another task or of another version of this program, and
        for decoding settings out of range.
        """
        plan = lookup.identity(run, "mt")
        asked = {"beam_size": beam_size, "length_penalty": length_penalty}
        settings = dataclasses.asdict(evaluated_with(run)) | {k: v for k, v in asked.items() if v is not None}
        if beam_size is None:
            settings["beam_size"] = max(nbest, settings["beam_size"])
        self.decoding = from_values(Decoding, settings, "decoding")
        if nbest > self.decoding.beam_size:
            beam = self.decoding.beam_size
            raise UserError(f"a beam of {beam} cannot give {nbest} translations; give a larger --beam")
        # trained on a GPU, it needs none here
        device = "cuda" if plan["device"] == "cuda" and not provenance.gpu_problem() else "cpu"
        self.model, self.tokenizer, self.recipe, _ = evaluate.load(run, device)
        self.nbest, self.run, self.generated = nbest, run, bool(plan["generated"])
        self.plain = {code: text for code, text in PLAIN.items() if chr(code) not in KEPT.get(plan["src"], "")}
        self.languages = tuple(LANGUAGES.get(plan[side], plan[side]) for side in ("src", "tgt"))

    def answers(self, lines: Sequence[bytes], first: int = 1) -> list[Answer]:
        """An answer to each line (UTF-8, without its line break), numbered from ``first``."""
        read = [self._read(number, line) for number, line in enumerate(lines, first)]
        todo = [answer for answer in read if answer.source]
        width, alpha = self.decoding.beam_size, self.decoding.length_penalty
        found = beam(self.model, [a.source for a in todo], width, alpha, nbest=self.nbest) if todo else []
        done = {}
        for answer, hypotheses in zip(todo, found, strict=True):
            outputs = [(h.score, " ".join(self.tokenizer.decode(h.ids).split())) for h in hypotheses[: self.nbest]]
            done[answer.number] = dataclasses.replace(answer, outputs=outputs, target=hypotheses[0].ids)
        return [done.get(answer.number, answer) for answer in read]

    def _read(self, number: int, line: bytes) -> Answer:
        """The line as piece ids, or the reason against it; ``source`` is empty if there is nothing to translate."""
        if len(line) > MAX_BYTES:
            return Answer(number, [], True, f"longer than {MAX_BYTES:,} bytes; break it into sentences")
        if len(line) > 3 and 5 * line.count(0) > 2 * len(line):
            return Answer(number, [], True, "every other byte is zero, as in UTF-16; save it as UTF-8")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            return Answer(number, [], True, f"not UTF-8 (byte {line[error.start]:#04x} at {error.start + 1})")
        plain = IN_QUOTES.sub("", text).translate(self.plain)
        made_plain, text = plain != text, " ".join(plain.split())  # Unicode line separators count as spaces
        if not text:
            return Answer(number, [])
        ids = self.tokenizer.encode(text)
        pieces = list(zip(self._pieces(text), ids, strict=True))
        unknown = [piece for piece, piece_id in pieces if piece_id == UNKNOWN]
        known = "".join(piece for piece, piece_id in pieces if piece_id not in (UNKNOWN, END))
        known = " ".join(known.replace("▁", " ").split())
        if not known:
            return Answer(number, [], True, "the model knows no part of it")
        if unknown:  # never seen in training: its embedding is random
            text, ids = known, self.tokenizer.encode(known)
        if len(ids) > len(self.model.positions):
            most = len(self.model.positions)
            return Answer(number, [], True, f"{len(ids):,} pieces, the model takes {most}; break it into sentences")
        remarks = []
        if len(ids) > self.recipe.max_length:
            remarks.append(f"{len(ids)} pieces, longer than any training sentence ({self.recipe.max_length})")
        if unknown:
            remarks.append(f"left out, unknown to the model: {_shown(unknown)}")
        return Answer(number, [], False, "; ".join(remarks), text, made_plain, ids)

    def _pieces(self, text: str) -> list[str]:
        """The pieces of a text, unknown ones included, and END."""
        return [*self.tokenizer.processor.encode(text, out_type=str), *self.tokenizer.pieces([END])]

    def alignment(self, answer: Answer) -> tuple[np.ndarray, list[str], list[str]]:
        """(weights (T, S), target pieces T, source pieces S): cross-attention for the best output of a line.

        The mean over all layers and heads; each row sums to one.
        """
        weights = explain.attention_weights(self.model, answer.source, answer.target)["cross"]  # (L, H, T, S)
        return weights.mean((0, 1)), self.tokenizer.pieces(answer.target), self._pieces(answer.text)


def _shown(pieces: Sequence[str], most: int = 5) -> str:
    """Unknown pieces for a one-line message, unprintable characters by their code point."""
    texts = ["".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in piece[:12]) for piece in pieces[:most]]
    return " ".join(texts) + (" ..." if len(pieces) > most else "")


def evaluated_with(run: Path) -> Decoding:
    """How the run's test sets were decoded; the defaults where it is not evaluated."""
    if run.is_dir() and not (run / "metrics.json").is_file():
        return Decoding()
    metrics = lookup.told(run, "metrics.json")
    values = metrics.get("decoding") if isinstance(metrics, dict) else None
    if not isinstance(values, dict):
        raise UserError(f"{run / 'metrics.json'} does not say how it was decoded; delete it and run make again")
    return from_values(Decoding, values, f"{run / 'metrics.json'}: decoding")


def batches(stream: io.BufferedIOBase) -> Iterator[list[bytes]]:
    """The lines of a stream, without their breaks (LF or CRLF), in groups of those that arrived together.

    A terminal or a slow pipe is thus answered line by line, and a file in batches. A line longer than MAX_BYTES is cut,
    one byte too long. In a text without any LF it is CR that ends a line, as on old Macs.
    """
    rest, end = b"", b""
    for chunk in _chunks(stream):
        rest += chunk
        if not end and (b"\n" in chunk or len(rest) > MAX_BYTES):
            end = _line_end(rest)
        if end:
            *lines, rest = rest.split(end)
            yield from _groups(lines)
        rest = rest[: MAX_BYTES + 1]
    *lines, rest = rest.split(end or _line_end(rest))
    yield from _groups([*lines, rest] if rest else lines)


def _line_end(text: bytes) -> bytes:
    return b"\r" if b"\r" in text and b"\n" not in text else b"\n"


def _groups(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(lines), LINES_AT_ONCE):
        yield [line.removesuffix(b"\r") for line in lines[start : start + LINES_AT_ONCE]]


def _chunks(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """The bytes of a stream as they arrive; as UTF-8 where a byte-order mark tells UTF-16 or UTF-32."""
    first = b""
    while chunk := stream.read1(CHUNK_BYTES):
        first += chunk
        if not any(len(first) < len(mark) and mark.startswith(first) for mark in MARKS):  # it may be none as yet
            break
    encoding = next((MARKS[mark] for mark in MARKS if first.startswith(mark)), None)
    if encoding is None:
        yield first
        while chunk := stream.read1(CHUNK_BYTES):
            yield chunk
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).encode()
    while chunk := stream.read1(CHUNK_BYTES):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def written(answer: Answer, nbest: int, scores: bool) -> str:
    """The ``nbest`` output lines of an answer, each ended; blank where there are fewer outputs."""
    lines = [f"{score:.4f}\t{text}" if scores else text for score, text in answer.outputs]
    return "".join(f"{line}\n" for line in [*lines, *[""] * (nbest - len(lines))])
