"""The pictures of a reference result's Markdown page: small, with their provenance."""

import re
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from onepage.errors import UserError
from onepage.files import write_with
from onepage.tasks import TASKS

FOLDER = "pictures"
DPI = 150
COLOURS = 256  # a palette of the picture's own: a third of the bytes
PICTURE = re.compile(r'<img src="([^"]+)" alt="([^"]*)"([^>]*)>')  # as report.md.j2 writes it


def keep(markdown: str, page: Path, folder: Path) -> str:
    """Copy the pictures of the Markdown page in ``page`` to ``folder``/pictures; returns the text with new links.

    The text alternative replaces a missing picture.
    """

    def kept(found: re.Match[str]) -> str:
        link, alt, size = found.groups()
        source = page / link
        if not source.is_file():
            return f"Picture, left out here: {alt}"
        name = f"{FOLDER}/{source.parent.name}/{source.name}"
        reduce(source, folder / name)
        return f'<img src="{name}" alt="{alt}"{size}>'

    return PICTURE.sub(kept, markdown)


def reduce(source: Path, target: Path) -> None:
    """Write the PNG ``source`` to ``target`` at 150 dpi, in 256 colours, with its metadata texts.

    Raises UserError for a file that is not a PNG or is damaged.
    """
    try:
        with Image.open(source, formats=["PNG"]) as image:
            image.load()
            texts = dict(getattr(image, "text", {}))
            factor = min(1.0, DPI / image.info.get("dpi", (DPI, DPI))[0])
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{source} is damaged ({error}); draw it again: make {' '.join(TASKS)} report") from None
    about = PngInfo()
    for key, text in texts.items():
        about.add_itxt(key, text)
    # this method keeps rare colours, such as those of a label; the default averages them away
    palette = small.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_with(target, lambda file: palette.save(file, "PNG", optimize=True, dpi=(DPI, DPI), pnginfo=about))
