"""ResNet-18's answer for a picture: the picture, Grad-CAM over it, and the most probable classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from onepage.cls.figures.gradcam import EDGE, GAP, OWN, STEP, UPSAMPLING, draw_map, draw_scale, where
from onepage.figures import text as texts
from onepage.figures.sheet import FULL, HEADER, Book
from onepage.figures.style import DPI, MM_PER_INCH, MUTED, PT_PER_MM, onepage_style
from onepage.figures.text import percent

SIDE = (FULL - 2 * EDGE - 2 * GAP) / 3  # mm, of the picture and of each of two maps
PIXELS = round(SIDE / MM_PER_INCH * DPI)
NAMES = 20.0  # mm, for the names of the classes
LISTED = 4
TITLE = 55.0  # mm, for the name of the file


def draw(
    run: Path,
    path: Path,
    name: str,
    picture: Image.Image,
    size: int,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    maps: Mapping[str, np.ndarray],
) -> None:
    """Draw the answer to ``picture`` (square, RGB, of the file ``name``) to ``path``: PNG, or PDF by its name.

    ``size``: side in pixels of the model's input. ``probabilities``: (classes,), of ``class_names``. ``maps``: {layer:
    (h, w)} in 0..1, of the most probable class, for two layers. Raises UserError if the run is not evaluated (the
    picture holds the digest of its metrics) or the file cannot be written.
    """
    book = Book(run, path.parent)
    if picture.width > PIXELS:
        picture = picture.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    image = np.asarray(picture)
    ranked = [int(which) for which in np.argsort(-probabilities, kind="stable")][:LISTED]
    best, share = class_names[ranked[0]], percent(probabilities[ranked[0]])
    note = f"The answer is one of {len(class_names)} classes, whatever the picture shows. The model saw the square in "
    note += f"its middle at {size}×{size} pixels. Probabilities calibrated on validation images."
    with onepage_style():
        lines = texts.wrap(note, (FULL - 2 * EDGE) * PT_PER_MM)
        top = HEADER + STEP
        bars = top + SIDE + 0.9
        scale = bars + len(ranked) * (STEP + 0.75) + 0.4
        height = round(scale + (1 + len(lines)) * STEP + 1.2, 1)
        sheet = book.sheet(FULL, height, f"Grad-CAM, {texts.fit(name, TITLE * PT_PER_MM, 'bold')}")
        sheet.text(EDGE + SIDE / 2, HEADER - 0.1, "picture", colour=MUTED, ha="center")
        sheet.image(EDGE, top, SIDE, SIDE, image)
        said = []
        for number, (layer, cam) in enumerate(maps.items(), start=1):
            x = EDGE + number * (SIDE + GAP)
            label = f", {layer}, {cam.shape[0]}×{cam.shape[1]}"
            label = texts.fit(best, SIDE * PT_PER_MM - texts.width(label)) + label
            sheet.text(x + SIDE / 2, HEADER - 0.1, label, colour=MUTED, ha="center")
            draw_map(sheet, x, top, image, cam, SIDE, PIXELS)
            said.append(f"{layer} ({cam.shape[0]}×{cam.shape[1]}): {where(cam)}")
        for rank, which in enumerate(ranked):
            y, width = bars + rank * (STEP + 0.75), FULL - 2 * EDGE - NAMES - 7.4
            sheet.text(EDGE, y, texts.fit(class_names[which], (NAMES - 0.6) * PT_PER_MM))
            sheet.bar(EDGE + NAMES, y + 0.75, width, 1.3, "#e8e8e8")
            sheet.bar(EDGE + NAMES, y + 0.75, width * float(probabilities[which]), 1.3, "#444444")
            sheet.text(FULL - EDGE, y, percent(probabilities[which]), ha="right")
        draw_scale(sheet, scale)
        sheet.text(FULL - EDGE, scale, f"{UPSAMPLING}; {OWN}", colour=MUTED, ha="right")
        sheet.lines(EDGE, scale + STEP, lines, colour=MUTED)
        alt = (
            f"Grad-CAM heat maps, bilinearly enlarged, over the picture {name}, classified as {best} with {share}, one "
            f"of {len(class_names)} classes. Strongest evidence for it, {'; '.join(said)}."
        )
        book.write(path, sheet, alt)
