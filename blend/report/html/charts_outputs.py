"""The report's charts with one small panel per unit, class or dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from blend.report.html import charts
from blend.report.html.charts import INK, PAPER, SERIES, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SQUARE = (170, 178)
MOST_FOLDS = 5
"""Folds with a curve of their own."""


def threshold(number: int, name: str, curves: dict[str, Any], chosen: float, at_half: bool = True) -> Markup:
    """F1 of one unit over the threshold; thin: of each fold's videos alone; ticks: thresholds found without a fold."""
    cuts, f1 = curves["cuts"], curves["f1"][name]
    results = [curve[number] for curve in curves["found_without_fold"]]

    def draw(figure: Figure, axes: Axes) -> None:
        for fold in curves["f1_of_folds"][:MOST_FOLDS]:
            axes.plot(cuts, fold[name], color=SOFT, linewidth=0.5, alpha=0.55)
        if results:
            axes.axvspan(min(results), max(results), color=SERIES[1], alpha=0.14, linewidth=0)
        axes.plot(cuts, f1, color=SERIES[0], linewidth=1.6)
        axes.axvline(chosen, color=SERIES[1], linewidth=1.1, linestyle=(0, (3, 1.5)))
        axes.plot([chosen], [float(np.interp(chosen, cuts, f1))], "s", color=SERIES[1], markersize=4)
        axes.plot(results, [0.02] * len(results), "|", color=SERIES[1], markersize=6)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_title(f"{name}  {_hundredths(chosen)}")
        charts.grid(axes)

    spread = f", from {min(results):.2f} to {max(results):.2f} over folds" if results else ""
    says = f"{name}: best F1 {max(f1):.2f}; chosen threshold {chosen:.2f}{spread}"
    return charts.chart(f"threshold{number}", says, charts.SMALL, draw, left=22, bottom=20, top=22)


def reliability(number: int, name: str, bins: dict[str, Any], low: float) -> Markup:
    """Mean truth over mean prediction in bins; on the diagonal, predictions mean what they say. Area: frames."""
    p, t, n = bins["predicted"], bins["observed"], np.array(bins["frames"], float)

    def draw(figure: Figure, axes: Axes) -> None:
        axes.plot([low, 1], [low, 1], color=SOFT, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.plot(p, t, color=SERIES[0], linewidth=1.1)
        for x, y, weight in zip(p, t, n / max(n.max(), 1), strict=True):
            size = 2 + 4 * float(np.sqrt(weight))
            axes.plot([x], [y], "o", color=SERIES[0], markersize=size, alpha=0.85, clip_on=False)
        axes.set_xlim(low, 1)
        axes.set_ylim(low, 1)
        middle = (1 + low) / 2
        ticks = [low, middle, 1]
        axes.set_xticks(ticks, [charts.short(v) for v in ticks])
        axes.set_yticks(ticks, [charts.short(v) for v in ticks])
        axes.set_title(f"{name}  ±{_hundredths(bins['error'])}")
        charts.grid(axes, "both")

    says = f"{name}: mean distance between predicted and observed {bins['error']:.3f}"
    return charts.chart(f"reliability{number}", says, SQUARE, draw, left=24, bottom=22, top=22)


def density(name: str, title: str, cells: list[list[int]], across: str, up: str, diagonal: bool) -> Markup:
    """Frames per cell of [-1, 1] x [-1, 1]: the darker, the more (by the square root)."""
    table = np.array(cells, float)
    side = len(table)
    shade = np.sqrt(table / max(table.max(), 1))

    def draw(figure: Figure, axes: Axes) -> None:
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
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
        axes.set_xlabel(across)
        axes.set_ylabel(up, labelpad=0)
        axes.set_title(title)

    says = f"{title}: density of {up} against {across}, {int(table.sum()):,} frames"
    return charts.chart(f"density-{name}", says, (232, 232), draw, left=38, bottom=36, top=22)


def balance(rows: Sequence[tuple[str, float | None, float | None]], what: str) -> Markup:
    """Train (hollow) and validation (filled) side by side: (output, train, validation)."""

    def draw(figure: Figure, axes: Axes) -> None:
        for i, (_, train, here) in enumerate(rows):
            if train is not None and here is not None:
                axes.plot([train, here], [-i, -i], color=SOFT, linewidth=1)
            if train is not None:
                axes.plot([train], [-i], "s", color=SERIES[1], markerfacecolor=PAPER, markersize=5)
            if here is not None:
                axes.plot([here], [-i], "o", color=SERIES[0], markersize=5)
        axes.set_yticks([-i for i in range(len(rows))], [name for name, _, _ in rows])
        axes.tick_params("y", labelcolor=INK)
        axes.set_ylim(-len(rows) + 0.5, 0.5)
        axes.set_xlabel(what)
        axes.spines["left"].set_visible(False)
        charts.score_ticks(axes, "x", 6)
        charts.grid(axes, "both")

    says = f"{what}, train and validation: " + ", ".join(
        f"{name} {train or 0:.3f} and {here or 0:.3f}" for name, train, here in rows
    )
    size = (charts.WIDE[0], 20 * len(rows) + 56)
    return charts.chart("balance", says, size, draw, left=72, bottom=42, top=6, right=14)


def histogram(name: str, counts: dict[str, list[int]]) -> Markup:
    """va: shares of the frames in equal parts of [-1, 1], train (outline) and validation (filled)."""
    shares = {part: _shares(values) for part, values in counts.items()}

    def draw(figure: Figure, axes: Axes) -> None:
        for part, values in shares.items():
            edges = np.linspace(-1, 1, len(values) + 1)
            if part == "validation":
                axes.stairs(values, edges, fill=True, color=SERIES[0], alpha=0.35)
            else:
                axes.stairs(values, edges, color=SERIES[1], linewidth=1.4, linestyle=(0, (4, 1.5)))
        axes.set_xlim(-1, 1)
        axes.set_ylim(0)
        axes.set_title(name)
        charts.score_ticks(axes, "y", 4)
        charts.score_ticks(axes, "x", 5)
        charts.grid(axes)

    says = f"Distribution of {name} in train and validation"
    return charts.chart(f"balance-{name}", says, (charts.WIDE[0], 150), draw, left=34, bottom=22, top=22)


def _hundredths(value: float) -> str:
    """.05, .50: always two digits."""
    return f"{value:.2f}".replace("0.", ".", 1)


def _shares(values: list[int]) -> NDArray[np.float64]:
    return np.array(values, float) / max(sum(values), 1)
