"""Grad-CAM pictures: the image, and the evidence for the predicted and for the true class at two depths.

A map has the layer's own resolution, bilinearly enlarged to the image. Its colour is a glaze over the image in pale
grey: the image shows through, and none of its own colours looks like evidence. A line around all values over half of
the map's maximum shows the same without colour.
"""

import numpy as np
from PIL import Image

from onepage.figures import text as texts
from onepage.figures.sheet import HALF, HEADER, Book, Sheet
from onepage.figures.style import BLUE, INK, MUTED, PT_PER_MM, RED, STEP, YLORBR
from onepage.figures.text import percent

MISTAKES = 4  # mistakes shown with their evidence, in the columns of the grid of mistakes
PIXELS = 192  # side of an enlarged picture: six times CIFAR's 32, and about 300 dpi at 16 mm
PALE = 135  # grey level for black in the image; white stays white
UPSAMPLING = "bilinear upsampling"
OWN = "each scaled to its maximum"  # colours do not compare the evidence for two classes
EDGE, GAP = 0.9, 1.0  # mm, here and in classified.py: margin, space between two maps
SIDE, SIDE_RIGHT = 15.3, 17.8  # mm, side of a map: with four maps, or with two (correct predictions)
INNER, OUTER = 0.7, 0.6  # mm: between two maps, and at the margins


def draw_all(book: Book, explain: dict[str, np.ndarray]) -> None:
    """Draw gradcam_0, gradcam_1, ... for each explained image of explain.npz."""
    for k in range(len(explain["index"])):
        _draw(book, k, explain, book.metrics["class_names"])


def image_side(columns: int) -> float:
    """Side in mm of an image if ``columns`` of them share half a column, with small gaps."""
    return HALF / columns - 1.05


def draw_mistakes(book: Book, explain: dict[str, np.ndarray], predictions: dict[str, np.ndarray]) -> None:
    """Draw gradcam_mistakes: the first images of the grid of mistakes, in its columns, with two rows of evidence.

    The maps are of one layer, in whole cells, not interpolated. If there is no mistake, the picture says so.
    """
    index, names, layer = explain["explored_index"][:MISTAKES], book.metrics["class_names"], str(explain["layers"][0])
    classes = {"predicted": predictions["logits"][index].argmax(1), "true": predictions["labels"][index]}
    images = explain["explored_images"][:MISTAKES][classes["predicted"] != classes["true"]]  # mistakes stand first
    sheet = book.sheet(HALF, HALF)
    cell, side, y = HALF / MISTAKES, image_side(MISTAKES), book.top
    said: dict[str, list[str]] = {}
    rows = (("image", ""), ("evidence for the prediction", "predicted"), ("evidence for the true class", "true"))
    for label, kind in rows if len(images) else ():
        sheet.text(HALF / 2, y, label, colour=RED if kind == "predicted" else INK, ha="center")
        for k, image in enumerate(images):
            x, line = k * cell + (cell - side) / 2, y + STEP
            if not kind:
                sheet.image(x, line, side, side, image)
                continue
            cam = explain[f"explored_cam_{layer}_{kind}"][k] / np.float32(255)
            draw_map(sheet, x, line, image, cam, side, cells=True)
            place = f"image {k + 1} ({names[int(classes[kind][k])]}) {where(cam)}"
            said.setdefault(label.removeprefix("evidence "), []).append(place)
        y += STEP + side + 0.9
    if len(images):
        size = "{}×{}".format(*explain[f"explored_cam_{layer}_true"][0].shape)
        draw_scale(sheet, HALF - STEP - 0.1, f"{layer}, {size}")
        alt = f"The {len(images)} most confident mistakes with Grad-CAM of {layer} ({size} cells), "
        places = "; ".join(f"{kind}: {', '.join(part)}" for kind, part in said.items())
        alt += f"each scaled to its maximum. Strongest evidence {places}."
    else:
        alt = "No test image is misclassified."
        sheet.text(HALF / 2, HALF / 2 - STEP, alt, colour=MUTED, ha="center")
    book.add("gradcam_mistakes", sheet, alt)


def enlarge(cam: np.ndarray, pixels: int = PIXELS) -> np.ndarray:
    """A map (rows, columns) in 0..1, bilinearly enlarged to (P, P); level outside the centres of the outer cells."""
    picture = Image.fromarray(np.ascontiguousarray(cam, dtype=np.float32))
    return np.clip(np.asarray(picture.resize((pixels, pixels), Image.Resampling.BILINEAR)), 0, 1)


def in_cells(cam: np.ndarray, pixels: int = PIXELS) -> np.ndarray:
    """A map (rows, columns) in 0..1 as (P, P) pixels, each value one cell."""
    rows, columns = (np.arange(pixels) * size // pixels for size in cam.shape)
    return np.clip(cam[np.ix_(rows, columns)], 0, 1)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image (h, w, 3) uint8, enlarged, in pale grey, under an enlarged map (P, P): uint8 (P, P, 3)."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize(heat.shape, Image.Resampling.NEAREST))
    return _glaze(PALE + (255 - PALE) / 255 * grey.astype(np.float64), heat)


def _glaze(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The colour of ``heat`` (0..1) multiplied by ``grey`` (0..255), like a glaze."""
    return np.round(grey[..., None] * YLORBR(heat)[..., :3]).astype(np.uint8)


def _draw(book: Book, k: int, explain: dict[str, np.ndarray], names: list[str]) -> None:
    """A row of maps for each class, a column for each layer; for a correct prediction, a row for each layer.

    On the left is the image, and below it the key of the colours.
    """
    true, predicted = int(explain["labels"][k]), int(explain["predicted"][k])
    probability, image = explain["probabilities"][k], explain["images"][k]
    layers = [str(layer) for layer in explain["layers"]][:2]
    right = true == predicted
    sheet = book.sheet(HALF, HALF, f"Grad-CAM, test image {int(explain['index'][k])}")
    sizes = ["{}×{}".format(*explain[f"cam_{layer}_predicted"][k].shape) for layer in layers]
    if right:
        shown, side, first = [("predicted", predicted, "right: ", INK)], SIDE_RIGHT, HEADER + STEP
        places = [(HALF - OUTER - side, first + i * (side + STEP + 0.2)) for i in range(2)]
    else:
        shown = [("predicted", predicted, "predicted: ", RED), ("true", true, "true: ", BLUE)]
        side, first = SIDE, HEADER + 2 * STEP
        places = [(HALF - OUTER - (2 - i) * side - (1 - i) * INNER, first) for i in range(2)]
    for (x, y), layer, size in zip(places, layers, sizes, strict=False):
        line = y - STEP if right else HEADER
        sheet.text(x + side / 2, line, f"{layer}, {size}", colour=MUTED, ha="center")
    said = []
    for number, (kind, which, word, colour) in enumerate(shown):
        down = number * (side + STEP + 0.3)
        x, room = (OUTER, HALF - 3 * OUTER - side) if right else (places[0][0], 2 * side + INNER)
        share = f" {percent(probability[which])}"
        room = room * PT_PER_MM - texts.width(word + share)
        sheet.text(x, first + down - STEP, word + texts.fit(names[which], room) + share, colour=colour)
        for (x, y), layer, size in zip(places, layers, sizes, strict=False):
            cam = explain[f"cam_{layer}_{kind}"][k]
            draw_map(sheet, x, y + down, image, cam, side)
            said.append(f"{layer} ({size}) for {names[which]}: {where(cam)}")
    width = places[0][0] - OUTER - (1.6 if right else 0.9)
    of_image = min(width, side)
    if not right:
        sheet.text(OUTER + of_image / 2, HEADER + STEP, "image", colour=MUTED, ha="center")
    sheet.image(OUTER, first, of_image, of_image, image)
    _legend(sheet, OUTER, first + of_image + 0.6, width)
    verdict = "right" if right else f"wrong, the true class {names[true]} got {percent(probability[true])}"
    alt = (
        f"Grad-CAM heat maps, bilinearly enlarged, {OWN}, over test image {int(explain['index'][k])}, predicted "
        f"{names[predicted]} with {percent(probability[predicted])} ({verdict}). Strongest evidence, {'; '.join(said)}."
    )
    book.add(f"gradcam_{k}", sheet, alt)


def _legend(sheet: Sheet, x: float, y: float, width: float) -> None:
    """The key of colour and line, in lines at most ``width`` mm wide."""
    y = sheet.lines(x, y, ["evidence", "0"])
    start, end = x + 2.0, x + min(width, 16.0) - texts.widest(["max"]) - 0.6
    _bar(sheet, start, y - STEP + 0.45, end - start)
    sheet.text(end + 0.6, y - STEP, "max")
    for said, colour in (("line at half", INK), (OWN, INK), (UPSAMPLING, MUTED)):
        y = sheet.lines(x, y, texts.wrap(said, width * PT_PER_MM), colour=colour) + 0.5


def draw_map(
    sheet: Sheet,
    x: float,
    y: float,
    image: np.ndarray,
    cam: np.ndarray,
    side: float = SIDE,
    pixels: int = PIXELS,
    cells: bool = False,
) -> None:
    """One map over its image, ``side`` mm wide, with a line around all values over half of its maximum.

    The map is enlarged bilinearly, or in whole ``cells``.
    """
    heat = (in_cells if cells else enlarge)(cam, pixels)
    sheet.image(x, y, side, side, overlay(image, heat))
    half = float(heat.max()) / 2
    if not cam.any():
        sheet.text(x + side / 2, y + side / 2 - STEP / 2, "no evidence", ha="center")
    elif heat.min() < half:  # otherwise the line is outside the picture
        axes = sheet.axes(x, y, side, side)
        places = (np.arange(pixels) + 0.5) / pixels
        axes.contour(places, places, heat, [half], colors=[INK], linewidths=0.5)
        axes.set(xlim=(0, 1), ylim=(1, 0))
        axes.set_axis_off()


def draw_scale(sheet: Sheet, y: float, layer: str = "") -> None:
    """The colour bar with its key, in one line, then the layer."""
    x, width = 14.6, 9.0
    sheet.text(EDGE, y, "evidence")
    sheet.text(x - 0.6, y, "0", ha="right")
    _bar(sheet, x, y + 0.45, width)
    sheet.text(x + width + 0.6, y, "max" if layer else "max, line at half")
    sheet.text(sheet.width - EDGE, y, layer, colour=MUTED, ha="right")


def _bar(sheet: Sheet, x: float, top: float, width: float) -> None:
    foot, end = top + 1.8, x + width
    heat = np.linspace(0, 1, 64)[None, :]
    sheet.image(x, top, width, 1.8, _glaze(np.full_like(heat, 255), heat))
    for across, down in (([x, end], [top, top]), ([x, end], [foot, foot]), ([x, x], [top, foot])):
        sheet.line(across, down, colour=MUTED, width=0.3)
    sheet.line([x + width / 2] * 2, [top - 0.2, foot + 0.2])


def where(cam: np.ndarray) -> str:
    """The part of the image where the map is strongest, in words."""
    if not cam.any():
        return "none"
    row, column = np.unravel_index(int(cam.argmax()), cam.shape)
    vertical = ("top", "middle", "bottom")[min(2, int(3 * (row + 0.5) / cam.shape[0]))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (column + 0.5) / cam.shape[1]))]
    return f"{vertical} {horizontal}"
