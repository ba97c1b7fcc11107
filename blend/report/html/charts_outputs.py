"""The report's charts with one small panel per unit, class or dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from blend.report.html import charts
from blend.report.html.charts import INK, PAPER, SERIES, SOFT, Tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SQUARE = (170, 178)
MOST_FOLDS = 5
"""Folds with a curve of their own."""


def threshold(number: int, name: str, curves: dict[str, Any], chosen: float, told: str) -> Markup:
    """F1 of one unit over the threshold; thin: of each fold's videos alone; ticks: thresholds found without a fold.
    Tips call the unit `told`.
    """
    cuts, f1 = curves["cuts"], curves["f1"][name]
    results = [curve[number] for curve in curves["found_without_fold"]]

    def draw(axes: Axes) -> list[Tip]:
        for fold in curves["f1_of_folds"][:MOST_FOLDS]:
            axes.plot(cuts, fold[name], color=SOFT, linewidth=0.5, alpha=0.55)
        if results:
            axes.axvspan(min(results), max(results), color=SERIES[1], alpha=0.14, linewidth=0)
        axes.plot(cuts, f1, color=SERIES[0], linewidth=1.6)
        axes.axvline(chosen, color=SERIES[1], linewidth=1.1, linestyle=(0, (3, 1.5)))
        height = float(np.interp(chosen, cuts, f1))
        axes.plot([chosen], [height], "s", color=SERIES[1], markersize=4)
        axes.plot(results, [0.02] * len(results), "|", color=SERIES[1], markersize=6)
        _square(axes, (0, 0.5, 1), f"{name}  {_hundredths(chosen)}")
        charts.grid(axes)
        place = ("threshold_curves", "f1", name)
        tips = [
            Tip(cut, y, f"{told}, F1 at {cut:.2f}", y, (*place, i))
            for i, (cut, y) in enumerate(zip(cuts, f1, strict=True))
        ]
        return [Tip(chosen, height, f"{told}, threshold in use", chosen, ("thresholds", number)), *tips]

    spread = f", from {min(results):.2f} to {max(results):.2f} over folds" if results else ""
    says = f"{name}: best F1 {max(f1):.2f}; chosen threshold {chosen:.2f}{spread}"
    return charts.chart(f"threshold{number}", says, charts.SMALL, draw, left=22, bottom=20, top=22)


def reliability(number: int, name: str, bins: dict[str, Any], low: float, told: str) -> Markup:
    """Mean truth over mean prediction in bins; on the diagonal, predictions mean what they say. Area: frames."""
    p, t, n = bins["predicted"], bins["observed"], np.array(bins["frames"], float)

    def draw(axes: Axes) -> list[Tip]:
        axes.plot([low, 1], [low, 1], color=SOFT, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.plot(p, t, color=SERIES[0], linewidth=1.1)
        for x, y, weight in zip(p, t, n / max(n.max(), 1), strict=True):
            size = 2 + 4 * float(np.sqrt(weight))
            axes.plot([x], [y], "o", color=SERIES[0], markersize=size, alpha=0.85, clip_on=False)
        _square(axes, (low, (1 + low) / 2, 1), f"{name}  ±{_hundredths(bins['error'])}")
        charts.grid(axes, "both")
        return [
            Tip(x, y, f"{told}, {bins['frames'][i]:,} frames predicted as {x:.2f}, observed", y, (*place, i))
            for i, (x, y) in enumerate(zip(p, t, strict=True))
        ]

    place = ("reliability", name, "observed")
    says = f"{name}: mean distance between predicted and observed {bins['error']:.3f}"
    return charts.chart(f"reliability{number}", says, SQUARE, draw, left=24, bottom=22, top=22)


def density(name: str, cells: list[list[int]], across: str, up: str, diagonal: bool) -> Markup:
    """Frames per cell of [-1, 1] x [-1, 1]: the darker, the more (by the square root)."""
    table = np.array(cells, float)
    side = len(table)
    shade = np.sqrt(table / max(table.max(), 1))

    def draw(axes: Axes) -> list[Tip]:
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgba

        y, x = np.nonzero(table)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        polygons = (np.stack([x, y], 1)[:, None] + corners) * 2 / side - 1
        colours = [to_rgba(SERIES[0], round(0.08 + 0.92 * float(shade[i, j]), 2)) for i, j in zip(y, x, strict=True)]
        axes.add_collection(PolyCollection(list(polygons), facecolors=colours, linewidths=0))
        if diagonal:
            axes.plot([-1, 1], [-1, 1], color=SERIES[1], linewidth=0.9, linestyle=(0, (3, 2)))
        axes.axhline(0, color=SOFT, linewidth=0.5)
        axes.axvline(0, color=SOFT, linewidth=0.5)
        _square(axes, (-1, 0, 1), name)
        axes.set_xlabel(across)
        axes.set_ylabel(up, labelpad=0)
        middle = [(i + 0.5) * 2 / side - 1 for i in range(side)]
        return [
            Tip(
                middle[j], middle[i], f"{across} {middle[j]:.2f}, {up} {middle[i]:.2f}, frames", cells[i][j],
                ("density", name, int(i), int(j)),
            )
            for i, j in zip(y, x, strict=True)
        ]  # fmt: skip

    says = f"{name}: density of {up} against {across}, {int(table.sum()):,} frames"
    return charts.chart(f"density-{name}", says, (232, 232), draw, left=38, bottom=36, top=22)


def balance(rows: Sequence[tuple[str, float | None, float | None]]) -> Markup:
    """How often each output occurs in train (hollow) and validation (filled): (output, train, validation)."""
    what = "part of the annotated frames"

    def draw(axes: Axes) -> list[Tip]:
        for i, (_, train, here) in enumerate(rows):
            if train is not None and here is not None:
                axes.plot([train, here], [-i, -i], color=SOFT, linewidth=1)
            if train is not None:
                axes.plot([train], [-i], "s", color=SERIES[1], markerfacecolor=PAPER, markersize=5)
            if here is not None:
                axes.plot([here], [-i], "o", color=SERIES[0], markersize=5)
        axes.set_yticks([-i for i in range(len(rows))], [name for name, _, _ in rows])
        axes.tick_params("y", labelcolor=INK)
        axes.set(ylim=(-len(rows) + 0.5, 0.5), xlabel=what)
        axes.spines["left"].set_visible(False)
        charts.score_ticks(axes, "x", 6)
        charts.grid(axes, "both")
        return [
            Tip(rate, -i, f"{name}, {part}", rate, ("data", part, "outputs", name, "rate"))
            for i, (name, *rates) in enumerate(rows)
            for part, rate in zip(("train", "validation"), rates, strict=True)
            if rate is not None
        ]

    says = f"{what}, train and validation: " + ", ".join(
        f"{name} {train or 0:.3f} and {here or 0:.3f}" for name, train, here in rows
    )
    size = (charts.WIDE[0], 20 * len(rows) + 56)
    return charts.chart("balance", says, size, draw, left=72, bottom=42, top=6, right=14)


def histogram(name: str, counts: dict[str, list[int]]) -> Markup:
    """va: shares of the frames in equal parts of [-1, 1], train (outline) and validation (filled)."""
    shares = {part: np.array(values, float) / max(sum(values), 1) for part, values in counts.items()}

    def draw(axes: Axes) -> list[Tip]:
        for part, values in shares.items():
            edges = np.linspace(-1, 1, len(values) + 1)
            if part == "validation":
                axes.stairs(values, edges, fill=True, color=SERIES[0], alpha=0.35)
            else:
                axes.stairs(values, edges, color=SERIES[1], linewidth=1.4, linestyle=(0, (4, 1.5)))
        axes.set(xlim=(-1, 1), ylim=(0, None), title=name)
        charts.score_ticks(axes, "y", 4)
        charts.score_ticks(axes, "x", 5)
        charts.grid(axes)
        return [
            Tip(
                (low + high) / 2, shares[part][i], f"{part}, {charts.short(low)} to {charts.short(high)}, frames",
                count, ("data", part, "outputs", name, "frames", i),
            )
            for part, values in counts.items()
            for i, count in enumerate(values)
            for low, high in [(i * 2 / len(values) - 1, (i + 1) * 2 / len(values) - 1)]
        ]  # fmt: skip

    says = f"Distribution of {name} in train and validation"
    return charts.chart(f"balance-{name}", says, (charts.WIDE[0], 150), draw, left=34, bottom=22, top=22)


def _square(axes: Axes, ticks: tuple[float, float, float], title: str) -> None:
    """Both axes from the first tick to the last."""
    ends, names = (ticks[0], ticks[-1]), [charts.short(tick) for tick in ticks]
    axes.set(xlim=ends, ylim=ends, title=title)
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)


def _hundredths(value: float) -> str:
    """.05, .50: always two digits."""
    return f"{value:.2f}".replace("0.", ".", 1)
