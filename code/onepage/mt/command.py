"""``python -m onepage translate``: the Transformer for people."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from onepage.runs import lookup
from onepage.terminal import streams
from onepage.terminal.options import out_option

if TYPE_CHECKING:
    from onepage.mt.translate import Answer, Stream, Translator


@click.command()
@click.option("--text", "texts", multiple=True, help="Translate this instead of standard input; may stand repeatedly.")
@click.option("--nbest", type=click.IntRange(1, 100), default=1, show_default=True, help="Outputs a line, best first.")
@click.option("--scores", is_flag=True, help="Put the score and a tab before each output.")
@click.option(
    "--beam",
    "beam_size",
    type=click.IntRange(1, 100),
    help="Partial outputs kept; 1 is greedy. [as the run was evaluated]",
)
@click.option(
    "--length-penalty",
    type=click.FloatRange(0, 10),
    help="alpha of Wu et al. 2016; 0 for none. [as the run was evaluated]",
)
@click.option(
    "--attention",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With one --text: draw which words it looked at for each word written, as PNG or PDF.",
)
@click.option("--run", type=click.Path(path_type=Path), help="Trained run folder. [the one evaluated last]")
@out_option
def translate(
    texts: tuple[str, ...],
    nbest: int,
    scores: bool,
    beam_size: int | None,
    length_penalty: float | None,
    attention: Path | None,
    run: Path | None,
    out: Path,
) -> None:
    """Translate sentences, one a line, from standard input (UTF-8) to standard output, or those of --text.

    Every line gives one line; with --nbest N it gives N, best first, blank where there are fewer. An empty line gives
    an empty one. With --scores a line reads SCORE, tab, TEXT; the score is the log-probability (nats) over the length
    penalty. A line that cannot be translated (not UTF-8, too long, nothing in it that the model knows) gives an empty
    one and a message with its number on standard error.

    Exit status: 0 when every line was translated, 1 when one was refused or nothing could be done, 2 for wrong options.
    """
    if attention is not None and (len(texts) != 1 or "\n" in texts[0] or not texts[0].strip()):
        raise click.UsageError("--attention draws one sentence: give it by one --text")
    if attention is not None and attention.suffix.lower() not in (".png", ".pdf"):
        raise click.UsageError(f"--attention: a file that ends in .png or .pdf, not {attention.name!r:.60}")
    with streams.ending_quietly():
        from onepage.mt import translate as translation

        run, which = lookup.chosen(run, out, "mt")
        translator = translation.Translator(run, beam_size, length_penalty, nbest)
        _introduce(translator, which, bool(texts))
        groups: Iterator[list[bytes]] = iter([_lines(texts)])
        if not texts:
            groups = translation.batches(cast("Stream", streams.standard("stdin", ", or give sentences by --text")))
        output = streams.standard("stdout")
        number, refused, last = 1, 0, None
        for group in groups:
            for last in translator.answers(group, number):
                if last.remark:
                    what = f"line {last.number}: {last.remark}" + ("; refused" if last.refused else "")
                    click.echo(f"onepage: {what}", err=True)
                refused += last.refused
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
    lines = [line for text in texts for line in os.fsencode(text).removesuffix(b"\n").split(b"\n")]
    return [line.removesuffix(b"\r") for line in lines]


def _introduce(translator: "Translator", which: str, given: bool) -> None:
    """Say on standard error who translates, and what it is not."""
    ask = "; a sentence a line, Ctrl-D ends" if not given and sys.stdin is not None and sys.stdin.isatty() else ""
    click.echo(f"onepage: {' to '.join(translator.languages)} by {translator.run}{which}{ask}", err=True)
    if translator.generated:
        click.echo("onepage: trained on generated sentences: it knows their few words and no real language", err=True)


def _draw(translator: "Translator", answer: "Answer", path: Path) -> None:
    from onepage.mt.figures.alignment import draw

    weights, written, read = translator.alignment(answer)
    draw(translator.run, path, weights, written, read, " to ".join(translator.languages))
    click.echo(f"onepage: attention in {path}", err=True)
