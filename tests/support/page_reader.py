"""An HTML page as a parser sees it: its elements in order, the text that is shown, its data, style and program."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """``elements``: [(name, {attribute: value})]; ``text``: the text outside of style and scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text, self.data, self.style, self.script = "", "", "", ""
        self._place = "text"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {key: value or "" for key, value in attrs}
        self.elements.append((tag, attributes))
        if tag in ("style", "script"):
            self._place = "data" if attributes.get("type") == "application/json" else tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._place = "text"

    def handle_data(self, data: str) -> None:
        setattr(self, self._place, getattr(self, self._place) + data)


def read(source: str) -> Reader:
    """Parse the page ``source``."""
    reader = Reader()
    reader.feed(source)
    reader.close()
    return reader
