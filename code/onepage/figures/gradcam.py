"""Grad-CAM pictures: the image, and what spoke for the predicted and for the true class at two depths.

A map is shown as it is at the layer's own resolution, bilinearly enlarged to the image. Its colour is laid as a glaze
over the image in pale grey, so that the image shows through and none of its colours passes for evidence; a line around
what exceeds half of the map's maximum says the same without colour, to every eye and in print.
"""

import numpy as np
from PIL import Image

from onepage.figures import text as texts
from onepage.figures.sheet import HALF, HEADER, Book, Sheet
from onepage.figures.style import BLUE, INK, LINE_PT, MUTED, PT_PER_MM, RED, YLORBR
from onepage.figures.text import percent

PIXELS = 192  # side of an enlarged picture: six times CIFAR's 32, and about 300 dpi at 15 mm
PALE = 135  # grey of what is black in the image; white stays white
STEP = LINE_PT / PT_PER_MM
UPSAMPLING = "bilinear upsampling; each map to its own max"
EDGE, SIDE, GAP = 0.9, 12.9, 1.0  # mm: margin, side of a picture, space between two maps
COLUMNS = (EDGE, HALF - EDGE - 2 * SIDE - GAP, HALF - EDGE - SIDE)


def draw_all(book: Book, explain: dict[str, np.ndarray]) -> None:
    """Draw gradcam_0, gradcam_1, ... for each explained image of explain.npz."""
    names = [str(name) for name in book.metrics["class_names"]]
    for k in range(len(explain["index"])):
        _draw(book, k, explain, names)


def enlarge(cam: np.ndarray, pixels: int = PIXELS) -> np.ndarray:
    """A map (rows, columns) in 0..1, bilinearly enlarged to (P, P); level outside the centres of the outer cells."""
    picture = Image.fromarray(np.ascontiguousarray(cam, dtype=np.float32))
    return np.clip(np.asarray(picture.resize((pixels, pixels), Image.Resampling.BILINEAR)), 0, 1)


def overlay(image: np.ndarray, cam: np.ndarray, pixels: int = PIXELS) -> np.ndarray:
    """The image (h, w, 3) uint8, enlarged, in pale grey, under the map ``cam`` (rows, columns): uint8 (P, P, 3)."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize((pixels, pixels), Image.Resampling.NEAREST))
    return _glaze(PALE + (255 - PALE) / 255 * grey.astype(np.float64), enlarge(cam, pixels))


def _glaze(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The colour of ``heat`` (0..1) multiplied by ``grey`` (0..255), as a glaze darkens what it is laid on."""
    return np.round(grey[..., None] * YLORBR(heat)[..., :3]).astype(np.uint8)


def _draw(book: Book, k: int, explain: dict[str, np.ndarray], names: list[str]) -> None:
    true, predicted = int(explain["labels"][k]), int(explain["predicted"][k])
    probability, image = explain["probabilities"][k], explain["images"][k]
    layers = [str(layer) for layer in explain["layers"]][:2]
    right = true == predicted
    sheet = book.sheet(HALF, HALF, f"Grad-CAM, test image {int(explain['index'][k])}")
    for i, layer in enumerate(layers, start=1):
        rows, columns = explain[f"cam_{layer}_predicted"][k].shape
        sheet.text(COLUMNS[i] + SIDE / 2, HEADER, f"{layer}, {rows}×{columns}", colour=MUTED, align="center")
    sheet.text(COLUMNS[0] + SIDE / 2, HEADER, "image", colour=MUTED, align="center")
    sheet.image(COLUMNS[0], HEADER + 2 * STEP, SIDE, SIDE, image)
    if right:
        shown = [("predicted", predicted, "right: ", INK)]
    else:
        shown = [("predicted", predicted, "predicted: ", RED), ("true", true, "true: ", BLUE)]
    said = []
    for number, (kind, which, word, colour) in enumerate(shown):
        y = HEADER + STEP + number * (SIDE + STEP + 0.4)
        share = f" {percent(probability[which])}"
        room = (2 * SIDE + GAP) * PT_PER_MM - texts.width(word + share)
        sheet.text(COLUMNS[1], y, word + texts.fit(names[which], room) + share, colour=colour)
        for i, layer in enumerate(layers, start=1):
            cam = explain[f"cam_{layer}_{kind}"][k]
            draw_map(sheet, COLUMNS[i], y + STEP, image, cam)
            said.append(f"{layer} ({cam.shape[0]}×{cam.shape[1]}) for {names[which]}: {where(cam)}")
    _probabilities(sheet, HEADER + 2 * STEP + SIDE, probability, names, predicted, true)
    draw_scale(sheet, HALF - 2 * STEP - 0.2)
    sheet.text(EDGE, HALF - STEP - 0.2, UPSAMPLING, colour=MUTED)
    verdict = "right" if right else f"wrong, the true class {names[true]} got {percent(probability[true])}"
    alt = (
        f"Grad-CAM heat maps, bilinearly enlarged, over test image {int(explain['index'][k])}, predicted "
        f"{names[predicted]} with {percent(probability[predicted])} ({verdict}). Strongest evidence, {'; '.join(said)}."
    )
    book.add(f"gradcam_{k}", sheet, alt)


def draw_map(
    sheet: Sheet, x: float, y: float, image: np.ndarray, cam: np.ndarray, side: float = SIDE, pixels: int = PIXELS
) -> None:
    """One map over its image, ``side`` mm wide, with a line around what exceeds half of its maximum."""
    sheet.image(x, y, side, side, overlay(image, cam, pixels))
    heat = enlarge(cam, pixels)
    half = float(heat.max()) / 2
    if not cam.any():
        sheet.text(x + side / 2, y + side / 2 - STEP / 2, "no evidence", align="center")
    elif heat.min() < half:  # else the line lies outside the picture
        axes = sheet.axes(x, y, side, side)
        places = (np.arange(pixels) + 0.5) / pixels
        axes.contour(places, places, heat, [half], colors=[INK], linewidths=0.5)
        axes.set(xlim=(0, 1), ylim=(1, 0))
        axes.set_axis_off()


def _probabilities(
    sheet: Sheet, y: float, probability: np.ndarray, names: list[str], predicted: int, true: int
) -> None:
    """The most probable classes as thin bars: under the image, or across the sheet where there is no second row.

    The true class is among them, last, however improbable it was.
    """
    x, wide = COLUMNS[0], predicted == true
    count = 4 if wide else 3
    ranked = [int(which) for which in np.argsort(-probability, kind="stable")]
    listed = sorted(ranked[:count], key=ranked.index)
    if true not in listed:
        listed[-1] = true
    width = HALF - 2 * x if wide else SIDE
    y += 0.9 if wide else 0.4
    for rank, which in enumerate(listed):
        share, label = float(probability[which]), percent(probability[which])
        colour = INK if wide else {predicted: RED, true: BLUE}.get(which, INK)
        if wide:
            line = y + rank * (STEP + 0.75)
            bar_x, bar_width, bar_y = x + 13.0, width - 13.0 - 7.4, line + 0.75
            sheet.text(x, line, texts.fit(names[which], 12.4 * PT_PER_MM))
            sheet.text(HALF - x, line, label, align="right")
        else:
            line = y + rank * (STEP + 1.6)
            bar_x, bar_width, bar_y = x, width, line + STEP + 0.1
            sheet.text(x, line, texts.fit(names[which], width * PT_PER_MM), colour=colour)
        height = 1.3 if wide else 0.8
        sheet.bar(bar_x, bar_y, bar_width, height, "#e8e8e8")
        sheet.bar(bar_x, bar_y, share * bar_width, height, "#444444" if colour == INK else colour)


def draw_scale(sheet: Sheet, y: float) -> None:
    """The colour bar, with what colour and line mean."""
    x, width, top, height = 14.6, 9.0, y + 0.45, 1.8
    sheet.text(EDGE, y, "evidence")
    sheet.text(x - 0.6, y, "0", align="right")
    heat = np.linspace(0, 1, 64)[None, :]
    sheet.image(x, top, width, height, _glaze(np.full_like(heat, 255), heat))
    for edge in (top, top + height):
        sheet.line([x, x + width], [edge, edge], colour=MUTED, width=0.3)
    sheet.line([x, x], [top, top + height], colour=MUTED, width=0.3)
    sheet.line([x + width / 2] * 2, [top - 0.2, top + height + 0.2])
    sheet.text(x + width + 0.6, y, "max, line at half")


def where(cam: np.ndarray) -> str:
    """In words, in which part of the image the map is strongest."""
    if not cam.any():
        return "none"
    row, column = np.unravel_index(int(cam.argmax()), cam.shape)
    vertical = ("top", "middle", "bottom")[min(2, int(3 * (row + 0.5) / cam.shape[0]))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (column + 0.5) / cam.shape[1]))]
    return f"{vertical} {horizontal}"
