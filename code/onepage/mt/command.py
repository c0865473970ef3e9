"""``python -m onepage translate``: translate lines of text."""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from onepage.runs import lookup
from onepage.terminal import streams
from onepage.terminal.options import model_option, out_option, picture_option

if TYPE_CHECKING:
    from onepage.mt.translate import Answer, Translator


@click.command()
@click.option("--text", "texts", multiple=True, help="Translate this instead of standard input; may be repeated.")
@click.option("--nbest", type=click.IntRange(1, 100), default=1, show_default=True, help="Outputs per line.")
@click.option("--scores", is_flag=True, help="Put the score and a tab before each output.")
@click.option("--beam", "beam_size", type=click.IntRange(1, 100), help="Beam size; 1 is greedy. [as evaluated]")
@click.option("--length-penalty", type=click.FloatRange(0, 10), help="alpha of Wu et al. 2016. [as evaluated]")
@picture_option("--attention", "With one --text: draw which source words each output word attends to, as PNG or PDF.")
@model_option
@out_option
def translate(
    texts: tuple[str, ...],
    nbest: int,
    scores: bool,
    beam_size: int | None,
    length_penalty: float | None,
    attention: Path | None,
    model: Path | None,
    out: Path,
) -> None:
    """Translate sentences, one per line, from standard input or --text, to standard output.

    Text is UTF-8, or UTF-16 or UTF-32 with a byte-order mark. Typographic quotes and dashes are replaced by plain ones,
    as in the training data.

    Every input line gives one output line, or N with --nbest N: best first, blank if there are fewer. With --scores a
    line is SCORE, tab, TEXT; the score is the log-probability (nats) divided by the length penalty. An empty line gives
    an empty line. A line that cannot be translated (not UTF-8, too long, no known piece) gives an empty line, and a
    message with its number on standard error.

    Exit status: 0 if every line was translated, 1 if one was refused or nothing could be done, 2 for wrong options.
    """
    if attention is not None and (
        len(texts) != 1 or "\n" in texts[0] or "\r" in texts[0].strip() or not texts[0].strip()
    ):
        raise click.UsageError("--attention draws one sentence: give one --text")
    with streams.ending_quietly():
        from onepage.mt import translate as translation

        model, which = lookup.chosen(model, out, "mt")
        translator = translation.Translator(model, beam_size, length_penalty, nbest)
        _introduce(translator, which, bool(texts))
        groups = iter([_lines(texts)])
        if not texts:
            given = streams.standard("stdin", ", or give sentences by --text")
            groups = translation.batches(cast(io.BufferedIOBase, given))
        output = streams.standard("stdout")
        number, refused, made_plain, last = 1, 0, False, None
        for group in groups:
            for last in translator.answers(group, number):
                if last.remark:
                    what = f"line {last.number}: {last.remark}" + ("; refused" if last.refused else "")
                    click.echo(f"onepage: {what}", err=True)
                if last.made_plain and not made_plain:
                    what = "typographic quotes and dashes are read as plain ones, here and below"
                    click.echo(f"onepage: line {last.number}: {what}", err=True)
                refused, made_plain = refused + last.refused, made_plain or last.made_plain
                with streams.writing("translations"):
                    output.write(translation.written(last, nbest, scores).encode())
            number += len(group)
            with streams.writing("translations"):
                output.flush()
        if attention is not None and last is not None and last.outputs:
            _draw(translator, last, attention)
        sys.exit(1 if refused else 0)


COMMANDS = (translate,)


def _lines(texts: tuple[str, ...]) -> list[bytes]:
    """The lines of all texts; a line break at the end of a text ends its last line, as in a file."""
    from onepage.mt.translate import batches

    lines: list[bytes] = []
    for text in texts:
        lines += [line for group in batches(io.BytesIO(os.fsencode(text))) for line in group] or [b""]
    return lines


def _introduce(translator: "Translator", which: str, given: bool) -> None:
    """Say on standard error which run translates, and its limits."""
    ask = "; one sentence per line, Ctrl-D ends" if not given and sys.stdin is not None and sys.stdin.isatty() else ""
    click.echo(f"onepage: {' to '.join(translator.languages)} by {translator.run}{which}{ask}", err=True)
    if translator.generated:
        click.echo("onepage: trained on generated sentences: it cannot translate real text", err=True)


def _draw(translator: "Translator", answer: "Answer", path: Path) -> None:
    from onepage.mt.figures.alignment import draw

    weights, written, read = translator.alignment(answer)
    draw(translator.run, path, weights, written, read, " to ".join(translator.languages))
    click.echo(f"onepage: attention in {path}", err=True)
