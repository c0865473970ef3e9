"""Grad-CAM pictures: the image, and what spoke for the predicted and for the true class at two depths.

A map is shown as it is at the layer's own resolution, bilinearly enlarged to the image; its colour and its opacity both
grow with the evidence, over the image in grey, so that no colour of the image passes for evidence.
"""

import numpy as np
from PIL import Image

from onepage.figures import text as texts
from onepage.figures.sheet import HALF, HEADER, Book, Sheet
from onepage.figures.style import BLUE, INCANDESCENT, INK, LINE_PT, MUTED, PT_PER_MM, RED
from onepage.figures.text import percent

PIXELS = 192  # side of an enlarged picture: six times CIFAR's 32, and about 300 dpi at 15 mm
OPACITY = 0.85  # of the strongest evidence
STEP = LINE_PT / PT_PER_MM


def draw_all(book: Book, explain: dict[str, np.ndarray]) -> None:
    """Draw gradcam_0, gradcam_1, ... for each explained image of explain.npz."""
    names = [str(name) for name in book.metrics["class_names"]]
    for k in range(len(explain["index"])):
        _draw(book, k, explain, names)


def overlay(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """The image (h, w, 3) uint8 in grey, enlarged, under the map ``cam`` (rows, columns) in 0..1: uint8 (P, P, 3)."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize((PIXELS, PIXELS), Image.Resampling.NEAREST))
    enlarged = Image.fromarray(np.ascontiguousarray(cam, dtype=np.float32)).resize(
        (PIXELS, PIXELS), Image.Resampling.BILINEAR
    )
    heat = np.clip(np.asarray(enlarged), 0, 1)
    return _blend(60 + 0.72 * grey.astype(np.float64), heat)


def _blend(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    opacity = (OPACITY * heat**0.8)[..., None]
    colour = 255 * INCANDESCENT(heat)[..., :3]
    return np.round((1 - opacity) * grey[..., None] + opacity * colour).astype(np.uint8)


def _draw(book: Book, k: int, explain: dict[str, np.ndarray], names: list[str]) -> None:
    true, predicted = int(explain["labels"][k]), int(explain["predicted"][k])
    probability, image = explain["probabilities"][k], explain["images"][k]
    layers = [str(layer) for layer in explain["layers"]]
    right = true == predicted
    sheet = book.sheet(HALF, HALF, f"Grad-CAM, test image {int(explain['index'][k])}")
    side, gap, top = 12.9, 1.0, HEADER
    columns = [0.9, HALF - 0.9 - 2 * side - gap, HALF - 0.9 - side]
    rows = [("predicted", predicted, RED if not right else INK)] + ([] if right else [("true", true, BLUE)])
    for i, layer in enumerate(layers[:2], start=1):
        cam = explain[f"cam_{layer}_predicted"][k]
        label = f"{layer}, {cam.shape[0]}×{cam.shape[1]}"
        sheet.text(columns[i] + side / 2, top, label, colour=MUTED, align="center")
    sheet.text(columns[0] + side / 2, top, "image", colour=MUTED, align="center")
    said = []
    for number, (kind, which, colour) in enumerate(rows):
        y = top + STEP + number * (side + STEP + 0.4)
        label = f" {percent(probability[which])}"
        word = "right: " if right else f"{kind}: "
        room = (2 * side + gap) * PT_PER_MM - texts.width(word + label)
        text = word + texts.fit(names[which], room) + label
        sheet.text(columns[1], y, text, colour=colour, weight="normal")
        if number == 0:
            sheet.image(columns[0], y + STEP, side, side, image)
        for i, layer in enumerate(layers[:2], start=1):
            cam = explain[f"cam_{layer}_{kind}"][k]
            sheet.image(columns[i], y + STEP, side, side, overlay(image, cam))
            if not cam.any():
                sheet.text(columns[i] + side / 2, y + STEP + side / 2, "no evidence", colour="white", align="center")
            said.append(f"{layer} for {names[which]}: {_where(cam)}")
    bottom = top + 2 * STEP + side
    _probabilities(sheet, columns[0], bottom, side, probability, names, right)
    _scale(sheet)
    verdict = "right" if right else f"wrong, the true class {names[true]} got {percent(probability[true])}"
    alt = (
        f"Grad-CAM heat maps over test image {int(explain['index'][k])}, predicted {names[predicted]} with "
        f"{percent(probability[predicted])} ({verdict}). Strongest evidence, {'; '.join(said)}."
    )
    book.add(f"gradcam_{k}", sheet, alt)


def _probabilities(
    sheet: Sheet, x: float, y: float, side: float, probability: np.ndarray, names: list[str], wide: bool
) -> None:
    """The most probable classes as thin bars: under the image, or across the sheet where there is no second row."""
    width = HALF - 2 * x if wide else side
    count = 3 if not wide else 4
    y += 0.9 if wide else 0.4
    for rank, which in enumerate(np.argsort(-probability, kind="stable")[:count]):
        share, label = float(probability[which]), percent(probability[which])
        if wide:
            line = y + rank * (STEP + 0.75)
            bar_x, bar_width, bar_y = x + 13.0, width - 13.0 - 7.4, line + 0.75
            sheet.text(x, line, texts.fit(names[which], 12.4 * PT_PER_MM))
            sheet.text(HALF - x, line, label, align="right")
        else:
            line = y + rank * (STEP + 1.6)
            bar_x, bar_width, bar_y = x, width, line + STEP + 0.1
            sheet.text(x, line, texts.fit(names[which], width * PT_PER_MM))
        height = 1.3 if wide else 0.8
        sheet.bar(bar_x, bar_y, bar_width, height, "#e8e8e8")
        sheet.bar(bar_x, bar_y, share * bar_width, height, "#444444")


def _scale(sheet: Sheet) -> None:
    """The colour bar, over mid-grey, with what it means and how the maps were enlarged."""
    y = HALF - 2 * STEP - 0.2
    heat = np.linspace(0, 1, 64)[None, :]
    x, width = 21.4, 8.6
    sheet.text(0.9, y, "evidence for class:")
    sheet.text(x - 0.6, y, "0", align="right")
    sheet.image(x, y + 0.45, width, 1.8, _blend(np.full_like(heat, 150), heat))
    sheet.text(x + width + 0.6, y, "max of map")
    sheet.text(0.9, y + STEP, "bilinear upsampling; each map to its own max", colour=MUTED)


def _where(cam: np.ndarray) -> str:
    """In words, in which part of the image the map is strongest."""
    if not cam.any():
        return "none"
    row, column = np.unravel_index(int(cam.argmax()), cam.shape)
    vertical = ("top", "middle", "bottom")[min(2, int(3 * (row + 0.5) / cam.shape[0]))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (column + 0.5) / cam.shape[1]))]
    return f"{vertical} {horizontal}"
