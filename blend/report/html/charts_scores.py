"""The report's charts of scores: leaderboard, score against k, weights, videos, the search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from blend.report.html import charts
from blend.report.html.charts import DASHES, INK, LINE, MARKERS, PAPER, SERIES, SOFT, Tip
from blend.report.schema import Video

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 34
"""Pixels of a leaderboard's row."""
BELOW = 0.1
"""How far below the lowest top a curve of score against k is followed."""
WORST = 5
"""Videos that are numbered in the chart."""
BESIDE = ((9, 0), (-9, 0), (0, 11), (0, -11), (17, 11), (-17, 11), (17, -11), (-17, -11), (21, 0), (-21, 0))
"""Places of a number beside its point, pixels; the first that is free is taken."""
APART = 12.0
"""Pixels between two numbers, at least."""
LONGEST = 20
"""Letters of a blend's shortened path."""


def leaderboard(rows: Sequence[dict[str, Any]]) -> Markup:
    """Dots for the scores of each row of `blend.report.leaderboard.board`, the best estimate filled."""

    def draw(axes: Axes) -> list[Tip]:
        tips = []
        for i, row in enumerate(rows):
            y = -i
            axes.axhline(y, color=LINE, linewidth=0.7)
            tips += _band(axes, y, row["interval"], row["name"], row["from"]["interval"])
            for key, marker, face in (("plain", "|", SOFT), ("tuned", "o", PAPER), ("held_out", "o", SERIES[0])):
                if row[key] is not None:
                    edge = SOFT if key == "plain" else SERIES[0]
                    size = 7.5 if key == "plain" else 4.6
                    axes.plot([row[key]], [y], marker, markersize=size, color=edge, markerfacecolor=face)
                    name = f"{row['name']}, {key.replace('_', ' ')}"
                    tips.append(Tip(row[key], y, name, row[key], row["from"][key]))
        _list(axes, [row["name"] for row in rows])
        return tips

    says = "Scores of every head and blend: " + "; ".join(
        f"{row['name']}: tuned {row['tuned'] or 0:.3f}, held out {row['held_out'] or 0:.3f}" for row in rows
    )
    size = (charts.WIDE[0], ROW * len(rows) + 32)
    return charts.chart("leaderboard", says, size, draw, left=6, bottom=26, top=6)


def _band(axes: Axes, y: float, interval: list[float] | None, name: str, place: tuple[str | int, ...]) -> list[Tip]:
    """An interval as a band, with a tip at either end; none where there is none."""
    if interval is None:
        return []
    axes.plot(interval, [y, y], color=SERIES[0], linewidth=4, alpha=0.28, solid_capstyle="butt")
    ends = enumerate(zip(("from", "to"), interval, strict=True))
    return [Tip(bound, y, f"{name}, 95 % interval {end}", bound, (*place, i)) for i, (end, bound) in ends]


def _list(axes: Axes, names: Sequence[str]) -> None:
    """Lines at 0, -1, ..., each with its name above, and scores below all of them."""
    for i, name in enumerate(names):
        axes.annotate(name, (0, -i), (1, 4), ("axes fraction", "data"), "offset points", color=INK, va="bottom")
    axes.set(ylim=(-len(names) + 0.4, 0.75), yticks=[])
    axes.spines["left"].set_visible(False)
    charts.score_ticks(axes, "x", 6)
    charts.grid(axes, "x")


def against_k(name: str, ks: Sequence[int], lines: Sequence[dict[str, Any]], label: str) -> Markup:
    """Scores over k; its steps are evenly spaced, because k spans orders of magnitude.

    A line: name, k, score, series, chosen (its own k, marked large; None: not marked), place in the report, if any.
    Every line's top is in view; where one falls far below, it leaves the chart, because what is asked of it is which k
    is best.
    """
    every = sorted({*ks, *(k for line in lines for k in line["k"])})
    at = {k: i for i, k in enumerate(every)}

    def draw(axes: Axes) -> list[Tip]:
        for line in reversed(lines):  # the first on top
            points = [(at[k], s) for k, s in zip(line["k"], line["score"], strict=True) if s is not None]
            series = line["series"]
            colour = SERIES[series % len(SERIES)]
            axes.plot(
                *np.array(points).reshape(-1, 2).T, color=colour, linestyle=DASHES[series], marker=MARKERS[series],
                markersize=3.0, linewidth=1.9 if series == 0 else 1.2, markerfacecolor=PAPER if series else colour,
            )  # fmt: skip
            if (own := dict(points).get(at.get(line["chosen"]))) is not None:
                axes.plot([at[line["chosen"]]], [own], MARKERS[series], color=colour, markersize=6.5)
        step = max(1, -(-len(every) // 12))
        axes.set_xticks(range(0, len(every), step), [str(k) for k in every[::step]])
        charts.score_ticks(axes, count=7)
        axes.set(xlabel=label, ylim=tops(lines))
        charts.grid(axes)
        return [
            Tip(at[k], score, f"{line['name']}, k = {k}", score, (*line["place"], i) if "place" in line else ())
            for line in lines
            for i, (k, score) in enumerate(zip(line["k"], line["score"], strict=True))
            if score is not None
        ]

    says = "Score against k. " + "; ".join(_best_of(line) for line in lines)
    return charts.chart(name, says, charts.WIDE, draw, left=38, bottom=40, top=8)


def tops(lines: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Lowest and highest score in view: all tops and BELOW beneath the lowest of them, or everything, if that is less.

    (0, 1) where no score is defined.
    """
    known = [[score for score in line["score"] if score is not None] for line in lines]
    if not any(known):
        return 0.0, 1.0
    highest = max(max(scores) for scores in known if scores)
    lowest = max(min(map(min, filter(None, known))), min(map(max, filter(None, known))) - BELOW)
    room = 0.06 * max(highest - lowest, 0.01)
    return lowest - room, highest + room


def _best_of(line: dict[str, Any]) -> str:
    known = [(score, k) for k, score in zip(line["k"], line["score"], strict=True) if score is not None]
    if not known:
        return f"{line['name']}: not defined"
    score, k = max(known, key=lambda pair: pair[0])
    return f"{line['name']}: best {score:.3f} at k = {k}"


def bars(
    name: str, says: str, values: dict[str, float], series: int = 0, digits: int = 2, place: tuple[str, ...] = ()
) -> Markup:
    """Horizontal bars with the name above and the number behind each; `place`: where the report has them by name."""

    def draw(axes: Axes) -> list[Tip]:
        largest = max([*values.values(), 1e-9])
        for i, (label, value) in enumerate(values.items()):
            axes.barh([-i], [value / largest], height=0.34, color=SERIES[series])
            axes.annotate(label, (0, -i), (0, 6), ("data", "data"), "offset points", color=INK, va="bottom")
            text = f"{value:.{digits}f}"
            axes.annotate(text, (value / largest, -i), (4, 0), "data", "offset points", color=SOFT, va="center")
        axes.set(xlim=(0, 1.16), ylim=(-len(values) + 0.55, 0.8))
        axes.axis("off")
        return [
            Tip(value / largest, -i, label, value, (*place, label) if place else ())
            for i, (label, value) in enumerate(values.items())
        ]

    heard = f"{says}: " + ", ".join(f"{label} {value:.2f}" for label, value in values.items())
    return charts.chart(name, heard, (charts.WIDE[0], 34 * len(values) + 8), draw, left=4, bottom=4, top=4)


def shorten(names: Iterable[str]) -> dict[str, str]:
    """Paths without the folders that all of them begin and end with, and without what is too long at their begin."""
    parts = {name: name.split("/") for name in names}
    first, last = _shared(parts.values()), _shared(item[::-1] for item in parts.values())
    texts = {name: "/".join(item[first : len(item) - last]) or name for name, item in parts.items()}
    return {name: text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}" for name, text in texts.items()}


def _shared(items: Iterable[list[str]]) -> int:
    """How many parts all of them begin with."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*items, strict=False)))


def differences(items: Sequence[dict[str, Any]]) -> Markup:
    """The `differences` of blend.compare: how much one is better than another, with the 95 % interval, about zero."""
    named = [f"{item['of']} against {item['against']}" for item in items]
    short = shorten({name: None for item in items for name in (item["against"], item["of"])})

    def draw(axes: Axes) -> list[Tip]:
        tips = []
        axes.axvline(0, color=SOFT, linewidth=0.9)
        for i, (item, name) in enumerate(zip(items, named, strict=True)):
            tips += _band(axes, -i, item["interval"], name, ("differences", i, "interval"))
            if item["difference"] is not None:
                axes.plot([item["difference"]], [-i], "o", color=SERIES[0])
                place = ("differences", i, "difference")
                tips.append(Tip(item["difference"], -i, name, item["difference"], place))
        _list(axes, [f"{short[item['of']]} against {short[item['against']]}" for item in items])
        axes.margins(0.06, None)
        return tips

    says = "Differences: " + "; ".join(
        f"{name} {'not defined' if item['difference'] is None else format(item['difference'], '+.3f')}"
        for item, name in zip(items, named, strict=True)
    )
    size = (charts.WIDE[0], ROW * len(items) + 32)
    return charts.chart("differences", says, size, draw, left=6, bottom=26, top=6)


def videos(rows: Sequence[Video], metric: str) -> Markup:
    """Score within each video against its annotated frames; those that pull the score down most are numbered."""
    known = {row["video"]: (score, max(row["labelled"], 1)) for row in rows if (score := row["score"]) is not None}
    number_of = {row["video"]: i for i, row in enumerate(rows)}

    def draw(axes: Axes) -> list[Tip]:
        from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

        worst = worst_of(rows)
        for name, (x, y) in known.items():
            number = worst.index(name) + 1 if name in worst else 0
            axes.plot(
                [x], [y], "s" if number else "o", color=SERIES[1] if number else SERIES[0], alpha=1 if number else 0.6,
                markerfacecolor=PAPER if number else SERIES[0],
            )  # fmt: skip
        axes.set(yscale="log", xlabel=f"{metric} within the video")
        axes.margins(0.06, 0.12)
        axes.set_title("annotated frames", color=SOFT)
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        charts.score_ticks(axes, "x", 6)
        charts.grid(axes, "both")
        _number(axes, [known.get(name) for name in worst])
        return [Tip(x, y, name, x, ("videos", number_of[name], "score")) for name, (x, y) in known.items()]

    says = f"{len(known)} videos by score and length; the lowest is " + (
        min(known, key=lambda name: known[name][0]) if known else "not defined"
    )
    return charts.chart("videos", says, charts.WIDE, draw, left=54, bottom=40, top=24)


def _number(axes: Axes, points: Sequence[tuple[float, float] | None]) -> None:
    """Write 1, 2, ... beside the points, where no other number is."""
    taken: list[Any] = []
    for number, point in enumerate(points, start=1):
        if point is None:
            continue
        at = axes.transData.transform(point)
        free = [spot for spot in BESIDE if all(np.hypot(*(at + spot - other)) > APART for other in taken)]
        spot = np.array(free[0] if free else BESIDE[0])
        taken.append(at + spot)
        axes.annotate(str(number), point, spot * 0.72, "data", "offset points", ha="center", va="center", color=INK)


def worst_of(rows: Sequence[Video], count: int = WORST) -> list[str]:
    """Videos that pull the score down most, the worst first; none that raises it."""
    pulling = [row for row in rows if row["influence"] is not None and row["influence"] < 0]
    return [row["video"] for row in sorted(pulling, key=lambda row: (row["influence"], row["video"]))[:count]]


STARTS = (("single heads", 2), ("equal weights", 3), ("greedy selection", 4), ("drawn", 0), ("refined", 1),
          ("grid", 0), ("given weights", 5))  # fmt: skip
"""Kinds of trials and their series."""
KINDS = {None: "drawn", "equal": "equal weights", "greedy": "greedy selection", "refined": "refined", "grid": "grid",
         "given": "given weights"}  # fmt: skip
"""What a trial started as -> its kind; of the others, the names of heads, it is "single heads"."""


def kind_of(start: str | None) -> str:
    """The kind of trial, as `STARTS` names it."""
    return KINDS.get(start, "single heads")


def history(search: dict[str, Any]) -> Markup:
    """Every trial's score by what it was, and the best so far."""
    scores = np.array([np.nan if s is None else s for s in search["score"]])
    kinds = [kind_of(start) for start in search["start"]]

    def draw(axes: Axes) -> list[Tip]:
        best = np.fmax.accumulate(scores)
        axes.step(np.arange(1, len(scores) + 1), best, where="post", color=INK, linewidth=1.2)
        for name, series in STARTS:
            at = np.array([i for i, kind in enumerate(kinds) if kind == name], int)
            if len(at):
                axes.plot(
                    at + 1, scores[at], MARKERS[series], color=SERIES[series], markersize=3, alpha=0.75, linestyle="",
                    markeredgewidth=0.4,
                )  # fmt: skip
        finite = scores[np.isfinite(scores)]
        if len(finite) > 20:  # a few bad trials would press the others together
            low, high = np.quantile(finite, 0.05), finite.max()
            axes.set_ylim(low - 0.15 * (high - low) - 1e-6, high + 0.08 * (high - low) + 1e-6)
        axes.set_xlabel("trial")
        charts.score_ticks(axes)
        charts.grid(axes)
        return [
            Tip(i + 1, score, f"trial {i + 1}, {kind}", score, ("search", "score", i))
            for i, (score, kind) in enumerate(zip(search["score"], kinds, strict=True))
            if score is not None
        ]

    says = f"{len(scores)} trials; the best scores {np.nanmax(scores) if np.isfinite(scores).any() else 0:.4f}"
    return charts.chart("history", says, charts.WIDE, draw, left=38, bottom=40, top=8)


def kinds(search: dict[str, Any]) -> list[dict[str, Any]]:
    """The kinds of trials that there were, by name, and each one's series."""
    there = {kind_of(start) for start in search["start"]}
    return [{"name": name, "series": series} for name, series in STARTS if name in there]
