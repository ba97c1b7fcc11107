"""Reads a page as a browser's parser does: tags, texts, and the numbers that name their place in report.json."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """`numbers`: (pointer, text); `texts`: what people read; `ids`. AssertionError for tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.numbers: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        table = dict(attributes)
        assert "src" not in table, table
        if "href" in table:
            self.links.append(table["href"] or "")
        if "id" in table:
            self.ids.append(table["id"] or "")
        if tag not in VOID:
            self.open.append((tag, table.get("data-key")))
        if table.get("data-key"):
            self.numbers.append((table["data-key"], ""))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, tag

    def handle_data(self, data: str) -> None:
        if any(tag in ("script", "style") for tag, _ in self.open):
            return
        if self.open and self.open[-1][1]:
            pointer, text = self.numbers[-1]
            self.numbers[-1] = pointer, text + data
        if data.strip():
            self.texts.append(data.strip())


def agrees(text: str, value: object) -> bool:
    """Whether a number as shown is one of the report, rounded as shown."""
    if value is None:
        return text == "undefined"
    if isinstance(value, list):
        return text == "per output"
    assert isinstance(value, int | float)
    part = text.endswith("%")
    digits = text.rstrip("%").replace(",", "")
    shown = float(digits) / (100 if part else 1)
    places = len(digits.split(".")[1]) if "." in digits else 0
    if isinstance(value, int):
        return places == 0 and shown == value
    return abs(shown - value) <= 0.5 * 10.0 ** -(places + 2 * part) + 1e-9
