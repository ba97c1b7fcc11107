"""Charts as inline SVG, drawn by matplotlib: text stays text, colours are the page's own (light or dark), bytes repeat.

Every chart is as wide as it is to be read; one that stands alone is drawn twice, for wide and for narrow screens: its
text is not shrunk. Charts carry their numbers as tips, which tips.js shows at the mouse, a finger or by arrow keys.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from blend.html import templates
from blend.report.pointers import format_number, pointer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, LINE, PAPER = "#1b1f24", "#5d6673", "#d5d9e0", "#fefefe"
SERIES = ("#2f62a8", "#b4531c", "#17766a", "#8a4a9e", "#7d6608", "#4b5563")
"""Told apart by markers and dashes, too (`MARKERS`, `DASHES`)."""
VARIABLES = {
    INK: "ink", SOFT: "soft", LINE: "line", PAPER: "paper", **{colour: f"s{i}" for i, colour in enumerate(SERIES)}
}  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 1)), (0, (8, 2)))
SMALL, WIDE, NARROW = (170, 138), (640, 320), 408
"""Pixels: one of many outputs; a chart that stands alone, and its width where there is less room."""
FONT = 12
"""Pixels."""
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif", "font.size": FONT * 0.72,
    "text.color": INK, "text.parse_math": False,  # names may have dollars in them
    "axes.unicode_minus": False, "axes.edgecolor": LINE, "axes.labelcolor": SOFT, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.titlesize": FONT * 0.76,
    "axes.titlecolor": INK, "axes.titlelocation": "left", "axes.titlepad": 4.0,
    "xtick.color": LINE, "xtick.labelcolor": SOFT, "xtick.major.size": 3.0,
    "ytick.color": LINE, "ytick.labelcolor": SOFT, "ytick.major.size": 0.0,
    "lines.linewidth": 1.4, "lines.markersize": 4.2, "hatch.linewidth": 0.6,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip
"""matplotlib thinks in points: a pixel is 0.72 of one at 100 pixels to the inch."""


@dataclass(frozen=True)
class Tip:
    """A point of a chart, in its data's coordinates, that tells a number: what it is, and its place in the report."""

    x: float
    y: float
    name: str
    number: float | None
    place: tuple[str | int, ...] = ()
    """Empty: it is none of the report's."""


def chart(
    name: str, says: str, size: tuple[int, int], draw: Callable[[Axes], Iterable[Tip]], *,
    left: int, bottom: int, top: int, right: int = 8,
) -> Markup:  # fmt: skip
    """An SVG element of `size` pixels: `draw` is given axes with these margins (pixels), and returns the chart's tips.
    Of a WIDE one there are two, of which the page shows one.

    `name` is unique on the page; `says` is read to those who do not see it.
    """
    margins = left, bottom, top, right
    if size[0] < WIDE[0]:
        return _draw(name, says, size, draw, margins)
    narrow = _draw(f"{name}-narrow", says, (NARROW, size[1]), draw, margins, " at-narrow")
    return _draw(name, says, size, draw, margins, " at-wide") + narrow


def _draw(
    name: str, says: str, size: tuple[int, int], draw: Callable[[Axes], Iterable[Tip]],
    margins: tuple[int, int, int, int], kind: str = "",
) -> Markup:  # fmt: skip
    import matplotlib
    from matplotlib.figure import Figure

    (width, height), (left, bottom, top, right) = size, margins
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # the page's reader has the letters; matplotlib only guesses how wide they are
        warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib currently does not support")
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
        axes, out = figure.add_axes(place), io.StringIO()
        tips = list(draw(axes))
        figure.savefig(out, format="svg", dpi=100, metadata={"Date": None, "Creator": None, "Type": None})
    return _inline(out.getvalue(), name, says, size, kind, _tell(axes, tips, height))


def _tell(axes: Axes, tips: list[Tip], height: int) -> Markup:
    """The tips that are in view as JSON: x and y in the SVG's units, name, number, place."""
    if not tips:
        return Markup()
    points = axes.transData.transform([(tip.x, tip.y) for tip in tips])
    seen = axes.get_window_extent().padded(3)
    rows = [
        [round(x * 0.72, 1), round((height - y) * 0.72, 1), tip.name, format_number(tip.number, 3), pointer(*tip.place)]
        for tip, (x, y) in zip(tips, points, strict=True)
        if tip.number is not None and seen.contains(x, y)
    ]
    return Markup('<script type="application/json">{}</script>').format(htmlsafe_json_dumps(rows, **templates.JSON))


def _inline(text: str, name: str, says: str, size: tuple[int, int], kind: str, tips: Markup) -> Markup:
    """matplotlib's file as an element of a page: no prologue, no names but those that are used, the page's colours."""
    width, height = size
    body = text[text.index('<g id="figure_1"') : text.rindex("</svg>")]
    used = set(re.findall(r'(?:url\(#|xlink:href="#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|xlink:href="#)([^")]+)', rf"\g<1>{name}-\g<2>", body)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)  # matplotlib before 3.11
    body = re.sub(r"font-family: [^;\"]*; ", "", body)  # the page's own
    body = re.sub(r">\s+<", "><", body)
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), body)  # text keeps its digits
    box = f"{width * 0.72:g} {height * 0.72:g}"
    frame = Markup('<svg class="chart{}" role="img" aria-label="{}" viewBox="0 0 {}" width="{}" height="{}">{}{}</svg>')
    return frame.format(kind, says, box, width, height, Markup(body), tips)


def grid(axes: Axes, axis: Any = "y") -> None:
    """Thin lines to read values by."""
    axes.grid(True, axis=axis, color=LINE, linewidth=0.7)


def score_ticks(axes: Axes, axis: str = "y", count: int = 5) -> None:
    """Few round numbers, without a leading zero's clutter."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    item = axes.yaxis if axis == "y" else axes.xaxis
    item.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))
    item.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """.25, -.5, 0, 1: as papers print scores."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else (text or "0").replace("-0", "0", 1)
