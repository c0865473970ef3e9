"""A picture of an exact size, placed in millimetres from its top left corner, and the folder of pictures of one task.

Each picture is written as PNG (300 dpi, with its exact physical size) and PDF. The metadata hold its provenance and no
date, so that the same inputs give the same bytes. ``figures.json`` is written last.
"""

import contextlib
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image, PngImagePlugin

from onepage.errors import UserError
from onepage.figures import text as texts
from onepage.figures.style import DPI, INK, MM_PER_INCH, PT_PER_MM, SIZE_PT, STEP, WARNING
from onepage.files import read_json, sha256_file, write_bytes, write_json
from onepage.runs import exported, lookup, provenance

HALF, FULL, SHEET = 45.0, 93.0, 190.0  # widths in mm: half a column, a column, the page
HEADER = 3.6  # mm at the top for the title and the mark
GENERATED = "generated data"
# Pictures whose number depends on the run: a smaller model must not leave those of a larger one behind.
_NUMBERED = re.compile(r"gradcam_\d+|attention_layer\d+_head\d+")


class Sheet:
    """One figure; every place is in mm from the top left corner."""

    def __init__(self, width_mm: float, height_mm: float, title: str, *, generated: bool) -> None:
        self.width, self.height = width_mm, height_mm
        self.figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), dpi=DPI)
        FigureCanvasAgg(self.figure)
        room = width_mm - 1.2
        if generated:
            self.text(width_mm - 0.6, 0.5, GENERATED, colour=WARNING, weight="bold", ha="right")
            room -= texts.widest([GENERATED], "bold") + 1.5
        if title:
            self.text(0.6, 0.5, texts.fit(title, room * PT_PER_MM, "bold"), weight="bold")

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose plotting area is the given rectangle."""
        place = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(place)

    def image(self, x: float, y: float, width: float, height: float, pixels: np.ndarray) -> None:
        """Show ``pixels`` (rows, columns, 3), uint8, in the rectangle, pixel edges sharp."""
        # One pair of axes in mm holds all images of the sheet, because separate axes would cost 15 ms each.
        picture = AxesImage(self._ground, extent=(x, x + width, y + height, y), interpolation="nearest")
        picture.set_data(pixels)
        picture.set_clip_path(self._ground.patch)
        self._ground.add_image(picture)

    def bar(self, x: float, y: float, width: float, height: float, colour: str, *, edge: str | None = None) -> None:
        """A filled rectangle ("none": only its edge)."""
        self._ground.add_patch(Rectangle((x, y), width, height, fc=colour, ec=edge or "none", lw=0.5 if edge else 0))

    def hatch(self, x: float, y: float, width: float, height: float, *, colour: str) -> None:
        """Diagonal lines over a rectangle; matplotlib's own hatching is drawn thinner in PDF than in PNG."""
        segments = []
        for c in np.arange(0.6, width + height, 1.2):  # the diagonal on which x + y is c, from the corner
            segments.append([(x + max(0, c - height), y + min(c, height)), (x + min(c, width), y + max(0, c - width))])
        lines = LineCollection(segments, colors=colour, linewidths=0.5, zorder=1)
        self._ground.add_collection(lines, autolim=False)

    def grid(self, x: float, y: float, width: float, height: float, rows: int, columns: int, *, colour: str) -> None:
        """Thin lines between the cells of a table."""
        across = [[(x, y + i * height / rows), (x + width, y + i * height / rows)] for i in range(1, rows)]
        down = [[(x + j * width / columns, y), (x + j * width / columns, y + height)] for j in range(1, columns)]
        lines = LineCollection(across + down, colors=colour, linewidths=0.4, zorder=1)  # in turn with the bars
        self._ground.add_collection(lines, autolim=False)

    @cached_property
    def _ground(self) -> Axes:
        axes = self.axes(0, 0, self.width, self.height)
        axes.set(xlim=(0, self.width), ylim=(self.height, 0), zorder=-1)
        axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, content: str, *, colour: str = INK, weight: str = "normal", **look: Any) -> None:
        """Write clean text with its top at y, unless ``va`` is given; ``look``: matplotlib's text properties."""
        if "va" not in look and not look.get("rotation"):
            # The top is at a fixed distance above the baseline, so that the letters do not move a line up or down.
            y, look = y + 0.74 * SIZE_PT / PT_PER_MM, look | {"va": "baseline"}
        look = {"color": colour, "fontweight": weight, "va": "top"} | look
        self.figure.text(x / self.width, 1 - y / self.height, texts.clean(content), **look)

    def lines(self, x: float, y: float, lines: Iterable[str], **look: Any) -> float:
        """Write ``lines`` below each other, the first with its top at y; returns the top of the next line."""
        for line in lines:
            self.text(x, y, line, **look)
            y += STEP
        return y

    def labels_down(
        self, x: float, y: float, height: float, labels: Sequence[str], colours: Sequence[str] = ()
    ) -> None:
        """Write labels that end at x, each beside the middle of one row of a table ``height`` mm high."""
        for k, (label, colour) in enumerate(zip(labels, colours or [INK] * len(labels), strict=True)):
            place = y + (k + 0.5) * height / len(labels)
            self.text(x, place, label, colour=colour, ha="right", va="center_baseline")

    def labels_across(
        self, x: float, y: float, width: float, labels: Sequence[str], colours: Sequence[str] = (), rotation: float = 90
    ) -> None:
        """Write vertical labels that end at y, each under the middle of one column of a table ``width`` mm wide."""
        for k, (label, colour) in enumerate(zip(labels, colours or [INK] * len(labels), strict=True)):
            self.text(x + (k + 0.5) * width / len(labels), y, label, colour=colour, ha="center", rotation=rotation)

    def line(
        self, x: Sequence[float], y: Sequence[float], *, colour: str = INK, width: float = 0.5, style: Any = "-"
    ) -> None:
        """A line through points in mm."""
        points = ([value / self.width for value in x], [1 - value / self.height for value in y])
        self.figure.add_artist(Line2D(*points, color=colour, lw=width, ls=style, transform=self.figure.transFigure))


class Book:
    """The pictures of one task, drawn from one run (or a file by ``make export``) into one folder."""

    def __init__(self, run: Path, out: Path) -> None:
        self.run, self.out = Path(run), Path(out)
        self.metrics: dict[str, Any] = lookup.told(self.run, "metrics.json")
        self.generated = bool(self.metrics["generated"])
        of_file = self.run.is_file()
        self.digest = exported.read(run).metrics_sha256 if of_file else sha256_file(self.run / "metrics.json")
        host = read_json(self.run / "provenance.json") if (self.run / "provenance.json").is_file() else {}
        self.origin = provenance.short_form(self.metrics, self.digest, host)
        self.entries: list[dict[str, Any]] = []

    @property
    def top(self) -> float:
        """Top of the content of a sheet without a title, in mm: below the mark if the data is generated."""
        return HEADER if self.generated else 0.6

    def sheet(self, width_mm: float, height_mm: float, title: str = "") -> Sheet:
        """A new sheet, marked if the data is generated; the page adds the title of a picture."""
        return Sheet(width_mm, height_mm, title, generated=self.generated)

    def add(self, name: str, sheet: Sheet, alt: str, facts: Mapping[str, str] | None = None) -> None:
        """Write NAME.png and NAME.pdf; ``alt`` is the text alternative, with this run's numbers.

        ``facts``: {name: text} for the prose of the page.
        """
        alt = self._alt(alt)
        png, pdf = _png(sheet, name, alt, self.origin), _pdf(sheet, name, alt, self.origin)
        write_bytes(self.out / f"{name}.png", png)
        write_bytes(self.out / f"{name}.pdf", pdf)
        entry = {"name": name, "width_mm": sheet.width, "height_mm": sheet.height}
        entry |= {"sha256_png": hashlib.sha256(png).hexdigest(), "sha256_pdf": hashlib.sha256(pdf).hexdigest()}
        self.entries.append(entry | {"alt": alt} | ({"facts": dict(facts)} if facts else {}))

    def write(self, path: Path, sheet: Sheet, alt: str) -> None:
        """Write one picture to ``path``, as PDF if it has that suffix, otherwise as PNG; the manifest lacks it."""
        make = _pdf if path.suffix.lower() == ".pdf" else _png
        write_bytes(path, make(sheet, path.stem, self._alt(alt), self.origin))

    def _alt(self, alt: str) -> str:
        marked = f"Generated data. {alt}" if self.generated else alt
        return " ".join(marked.encode("utf-8", "replace").decode("utf-8").split())  # half a surrogate pair: unwritable

    def close(self) -> None:
        """Remove pictures of earlier drawings that this one did not make, then write the manifest."""
        names = {entry["name"] for entry in self.entries}
        old: set[str] = set()
        with contextlib.suppress(UserError, KeyError, TypeError):  # no earlier manifest, or one that cannot be read
            old = {str(entry["name"]) for entry in read_json(self.out / "figures.json")["figures"]}
        for path in sorted(self.out.iterdir()):
            ours = path.stem in old or _NUMBERED.fullmatch(path.stem)
            if path.suffix in (".png", ".pdf") and path.stem not in names and ours:
                path.unlink()
        manifest = {"task": self.metrics["task"], "run": provenance.label(self.metrics), "metrics_sha256": self.digest}
        write_json(self.out / "figures.json", manifest | {"figures": self.entries})


def _png(sheet: Sheet, name: str, alt: str, origin: str) -> bytes:
    canvas = sheet.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    info = PngImagePlugin.PngInfo()
    for key, value in (("Title", name), ("Description", alt), ("Source", origin), ("Software", "onepage, matplotlib")):
        info.add_itxt(key, value)
    # Whole pixels seldom make whole millimetres: the resolution is written so that the physical size is the exact one.
    dpi = (image.width / sheet.width * MM_PER_INCH, image.height / sheet.height * MM_PER_INCH)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=info, dpi=dpi, compress_level=6)
    return buffer.getvalue()


def _pdf(sheet: Sheet, name: str, alt: str, origin: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Title": name, "Subject": alt, "Keywords": origin, "Creator": "onepage", "CreationDate": None}
    sheet.figure.savefig(buffer, format="pdf", metadata=metadata)
    return buffer.getvalue()
