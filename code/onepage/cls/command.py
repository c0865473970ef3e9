"""``python -m onepage classify``: classify image files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onepage.errors import UserError
from onepage.runs import lookup
from onepage.terminal import streams
from onepage.terminal.options import PATH, model_option, out_option, picture_option

if TYPE_CHECKING:
    from onepage.cls.classify import Answer, Classifier


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=PATH)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Classes per IMAGE, best first.")
@picture_option("--gradcam", "With one IMAGE: draw the evidence for its most probable class (Grad-CAM), as PNG or PDF.")
@model_option
@out_option
def classify(images: tuple[Path, ...], top: int, gradcam: Path | None, model: Path | None, out: Path) -> None:
    """Classify each IMAGE with ResNet-18.

    The answer is always one of the run's classes (CIFAR-10 has ten), whatever the picture shows.

    Each IMAGE gives --top lines, most probable class first: FILE, tab, CLASS, tab, PROBABILITY. Probabilities are
    calibrated on validation images. Tabs and unprintable characters in FILE are written as escapes.

    An IMAGE may have any size and mode. It is rotated by its EXIF data, cropped to its central square, placed on white
    if it is transparent, reduced (antialiased) to 32x32 pixels, and resized to the run's evaluation size.

    Exit status: 0 if every IMAGE was classified, 1 if one was refused or nothing could be done, 2 for wrong options.
    """
    if gradcam is not None and len(images) != 1:
        raise click.UsageError("--gradcam draws one picture: give one IMAGE")
    with streams.ending_quietly():
        from onepage.cls.classify import Classifier

        model, which = lookup.chosen(model, out, "cls")
        classifier = Classifier(model)
        _introduce(classifier, which)
        output = streams.standard("stdout")
        refused = 0
        for path in images:
            try:
                answer = classifier.classify(path)
            except UserError as error:
                click.echo(f"onepage: {shown(path)} {shown(error)}; left out", err=True)
                refused += 1
                continue
            with streams.writing("answers"):
                for number in answer.ranked[:top]:
                    line = f"{shown(path)}\t{classifier.class_names[number]}\t{answer.probabilities[number]:.4f}\n"
                    output.write(line.encode())
                output.flush()
            if gradcam is not None:
                _draw(classifier, answer, path, gradcam)
        sys.exit(1 if refused else 0)


COMMANDS = (classify,)


def shown(name: object) -> str:
    """``name`` as one line of text, with escapes for line breaks and terminal control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def _introduce(classifier: "Classifier", which: str) -> None:
    """Say on standard error which run classifies, and its limits."""
    names = ", ".join(classifier.class_names)
    click.echo(f"onepage: classified by {classifier.run}{which}; the answer is always one of: {names}", err=True)
    if classifier.generated:
        click.echo("onepage: trained on generated textures: answers for real pictures mean nothing", err=True)


def _draw(classifier: "Classifier", answer: "Answer", path: Path, target: Path) -> None:
    from onepage.cls.figures.classified import draw

    draw(
        classifier.run, target, path.name, answer.picture, answer.pixels.shape[-1],
        answer.probabilities, classifier.class_names, classifier.explain(answer),
    )  # fmt: skip
    click.echo(f"onepage: Grad-CAM in {shown(target)}", err=True)
