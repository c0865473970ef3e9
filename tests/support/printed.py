"""The content of a printed page: the size of every text, also in pictures, and the size of every picture.

The reader follows the content streams as a printer does. It scales the font size of a text by the text matrix and by
all transformations around it, including those of its picture.
"""

import math
from pathlib import Path
from typing import Any

import pypdf
from pypdf.generic import ContentStream, DictionaryObject

Matrix = tuple[float, float, float, float, float, float]
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def product(inner: Matrix, outer: Matrix) -> Matrix:
    """The transformation that applies ``inner``, then ``outer`` (PDF 32000-1, 8.3.4)."""
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


class Printed:
    """sizes: the size of every text in points. forms: for every picture, (width, height) in points as printed, and as
    drawn. images: for every raster image, its width on the page in points, and in pixels."""

    def __init__(self, page: pypdf.PageObject) -> None:
        self.sizes: list[float] = []
        self.forms: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self.images: list[tuple[float, int]] = []
        self.reader = page.pdf
        contents = page.get_contents()
        assert contents is not None
        self._read(contents, page["/Resources"].get_object(), IDENTITY)

    def _read(self, stream: Any, resources: Any, outer: Matrix) -> None:
        state, stack = (outer, 0.0), []
        text = IDENTITY
        for operands, operator in ContentStream(stream, self.reader).operations:
            matrix, size = state
            numbers: Any = tuple(float(x) for x in operands) if operator in (b"cm", b"Tm") else ()
            if operator == b"q":
                stack.append(state)
            elif operator == b"Q":
                state = stack.pop()
            elif operator == b"cm":
                state = (product(numbers, matrix), size)
            elif operator == b"BT":
                text = IDENTITY
            elif operator == b"Tm":
                text = numbers
            elif operator == b"Tf":
                state = (matrix, float(operands[1]))
            elif operator in (b"Tj", b"TJ", b"'", b'"'):
                c, d = product(text, matrix)[2:4]
                self.sizes.append(size * math.hypot(c, d))
            elif operator == b"Do":
                self._do(resources["/XObject"][operands[0]].get_object(), resources, matrix)

    def _do(self, form: DictionaryObject, resources: Any, matrix: Matrix) -> None:
        if form["/Subtype"] == "/Image":
            self.images.append((math.hypot(*matrix[:2]), int(form["/Width"])))
            return
        own: Any = tuple(float(x) for x in form.get("/Matrix", IDENTITY))
        placed = product(own, matrix)
        left, bottom, right, top = (float(x) for x in form["/BBox"])
        drawn = (right - left, top - bottom)
        self.forms.append(((drawn[0] * math.hypot(*placed[:2]), drawn[1] * math.hypot(*placed[2:4])), drawn))
        self._read(form, form.get("/Resources", resources).get_object(), placed)


def fonts(reader: pypdf.PdfReader) -> dict[str, bool]:
    """{name: whether it is embedded} of every font in the file."""
    objects = [reader.get_object(number) for number in range(1, int(str(reader.trailer["/Size"])))]
    described = {}
    for item in objects:
        if isinstance(item, dict) and item.get("/Type") == "/Font" and item.get("/Subtype") != "/Type0":
            descriptor = item.get("/FontDescriptor", DictionaryObject()).get_object()
            described[str(item["/BaseFont"])] = any(f"/FontFile{kind}" in descriptor for kind in ("", 2, 3))
    return described


def text_of(path: Path) -> str:
    """The words of the first page of a PDF."""
    return " ".join(pypdf.PdfReader(path).pages[0].extract_text().split())
