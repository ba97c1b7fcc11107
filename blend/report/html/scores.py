"""The page's parts about scores: leaderboard, folds, smoothing, weights, the search."""

from __future__ import annotations

from typing import Any

from blend.report import published
from blend.report.html import charts, charts_scores
from blend.report.leaderboard import HEADER, board
from blend.report.pointers import cell, details, figure, mark_numbers, paragraph, ref, section, table, wide, words
from blend.report.summary import TUNED_HERE

Report = dict[str, Any]
PUBLISHED = {published.SINGLE: 3, published.BLEND: 4}
"""Series of the published curves."""
LEAST = 0.005
"""Importance that is worth a bar."""
BREAK = "\n"


def scores(report: Report) -> str:
    """The leaderboard as a chart and as a table, and the folds."""
    rows = board(report)
    chosen = next((row["name"] for row in rows if row["submitted"]), "")
    header = ("", *HEADER[1:])
    lines = [(row["name"], _board_cells(report, row)) for row in rows]
    explained = (
        "Plain: unsmoothed, and for action units cut at 0.5. Tuned: smoothing, thresholds and all else chosen, "
        "scored on the same videos. Held out: the same, scored on videos that were left out; compare by this one. "
        "Below it the 95 % interval for the score on the test set."
    )
    return section(
        "scores",
        "Scores on validation",
        paragraph(f"{explained} {TUNED_HERE}" if report.get("heads_tuned_here") else explained, "soft"),
        '<div class="pair">',
        figure(charts_scores.leaderboard(rows), legend=charts_scores.leaderboard_legend()),
        table(header, lines, chosen),
        "</div>",
        _folds(report),
    )


def _board_cells(report: Report, row: dict[str, Any]) -> list[str]:
    def of(name: str) -> str:
        place = row["from"][name]
        return cell(report, *place) if place is not None else words()

    held, interval = of("held_out"), row["from"]["interval"]
    if interval is not None:
        band = mark_numbers(f"{ref(*row['from']['held_out'])}{BREAK}{ref(*interval, 0)} – {ref(*interval, 1)}", report)
        held = '<td class="n">' + band.replace(BREAK, '<br><span class="range">') + "</span></td>"
    return [of("plain"), of("tuned"), held, of("k")]


def _folds(report: Report) -> str:
    crossed = report["cross_fitted"]
    if crossed is None:
        return ""
    lines = [
        (f"fold {i + 1}", [cell(report, "cross_fitted", "folds", i), words(", ".join(videos))])
        for i, videos in enumerate(crossed["videos"])
    ]
    lines += [
        ("mean of the folds", [cell(report, "cross_fitted", "mean"), words()]),
        ("their standard deviation", [cell(report, "cross_fitted", "std"), words()]),
        ("all held-out videos together", [cell(report, "cross_fitted", "pooled"), words()]),
        ("optimism", [cell(report, "optimism"), words("what is gained on the videos it was made from")]),
    ]
    text = paragraph(
        "The blend was made again without each fold's videos and scored on them. A fold that lacks a class or a unit "
        "scores low, so all held-out videos together are what to go by.",
        "soft",
    )
    rows = "".join(f"<tr><th scope='row'>{name}</th>{''.join(cells)}</tr>" for name, cells in lines)
    head = '<tr><th></th><th class="n">score</th><th>videos</th></tr>'
    body = wide(f"<thead>{head}</thead><tbody>{rows}</tbody>", 3)
    return details("The folds: made without these videos, scored on them", text + body)


def smoothing(report: Report) -> str:
    """Score against k, beside the published curves where the corpus is theirs."""
    curve, k = report["score_against_k"], report["k"]
    lines = [_line("blend", curve["k"], curve["score"], 0, k if isinstance(k, int) else None)]
    heads = report.get("heads_against_k", {"k": [], "score": {}})
    for series, (name, values) in enumerate(heads["score"].items(), start=1):
        own = report["baselines"][name]["k"]
        title = "equal weights" if name == "equal" else name
        lines.append(_line(title, heads["k"], values, series, own if isinstance(own, int) else None) | {"of": name})
    label = f"k ({report['kernel']}; {'sigma' if report['kernel'] == 'gaussian' else 'the mean over 2k + 1 frames'})"
    if report["kernel"] == "median":
        label = "k (median of 2k + 1 frames)"
    own = "Every output has a k of its own, which no point here shows." if isinstance(k, list) else ""
    text = (
        "Each curve has everything but k as it was tuned; the large mark is the k in use. A flat top means that k "
        "hardly matters; a top at the right end asks for wider smoothing. Curves that fall far below their tops leave "
        "the chart; the table of numbers has all of them. " + own
    )
    legend = charts.legend([(charts.key(line["series"]), line["name"]) for line in lines])
    chart = charts_scores.against_k("smoothing-chart", curve["k"], lines, label)
    return section(
        "smoothing",
        "Score against smoothing",
        paragraph(text, "soft"),
        '<div class="pair">',
        figure(chart, legend=legend),
        _published(report, lines) or _chosen_ks(report, lines),
        "</div>",
        details("The numbers", _k_table(report)),
    )


def _line(name: str, ks: list[int], values: list[Any], series: int, chosen: int | None) -> dict[str, Any]:
    return {"name": name, "k": ks, "score": values, "series": series, "chosen": chosen}


def _chosen_ks(report: Report, lines: list[dict[str, Any]]) -> str:
    """What smoothing gives: each curve's score without it and at the k in use."""
    rows = []
    for line in lines:
        own = line["name"] == "blend"
        place = ("score_against_k", "score") if own else ("heads_against_k", "score", line["of"])
        found = [words(str(line["chosen"]) if line["chosen"] is not None else "per output", "n")]
        for k in (0, line["chosen"]):
            found.append(cell(report, *place, line["k"].index(k)) if k in line["k"] else words("", "n"))
        rows.append((line["name"], found))
    return table(("", "k in use", "without smoothing", "with it"), rows)


def _k_table(report: Report) -> str:
    heads = report.get("heads_against_k", {"k": [], "score": {}})
    names = list(heads["score"])
    rows = []
    for i, k in enumerate(report["score_against_k"]["k"]):
        cells = [cell(report, "score_against_k", "score", i)]
        if k in heads["k"]:
            j = heads["k"].index(k)
            cells += [cell(report, "heads_against_k", "score", name, j) for name in names]
        rows.append((str(k), cells))
    return table(("k", "blend", *("equal weights" if name == "equal" else name for name in names)), rows)


def _published(report: Report, lines: list[dict[str, Any]]) -> str:
    """The published curves with ours beside them."""
    videos = report.get("videos", [])
    frames = sum(one["labelled"] for one in videos)
    curves = published.curves(report["task"], [one["video"] for one in videos], frames)
    if not curves:
        return ""
    theirs = [_line(name, list(c), list(c.values()), PUBLISHED[name], None) for name, c in curves.items()]
    mine = [lines[0] | {"chosen": None}, *lines[1:2]]
    legend = charts.legend([(charts.key(line["series"]), line["name"]) for line in [*mine, *theirs]])
    ks = sorted({k for c in curves.values() for k in c})
    chart = charts_scores.against_k("published-chart", ks, [*mine, *theirs], "k (the mean over 2k + 1 frames)")
    caption = (
        "Ours beside the published curves (Savchenko 2023). Those were tuned on these videos and leave out frames "
        "without a face, so they compare with tuned scores, not with held-out ones."
    )
    return figure(chart, caption, legend)


def weights(report: Report) -> str:
    """Bars, or a table where every output has weights of its own."""
    given = report["weights"]
    each = any(isinstance(weight, list) for weight in given.values())
    mean = {head: sum(w) / len(w) if isinstance(w, list) else w for head, w in given.items()}
    ranked = dict(sorted(mean.items(), key=lambda pair: (-pair[1], pair[0])))
    chart = charts_scores.bars("weights-chart", "Weights", {head: w for head, w in ranked.items() if w > 0}, digits=3)
    if each:
        names = list(report["per_output"])
        lines = [
            (head, [cell(report, "weights", head, i) for i in range(len(names))])
            if isinstance(given[head], list)
            else (head, [cell(report, "weights", head)])
            for head in ranked
        ]
        numbers = table(("", *names), lines)
    else:
        numbers = table(("", "weight"), [(head, [cell(report, "weights", head)]) for head in ranked])
    text = "How much each head says. A head with weight 0 need not be run: the blend does not change without it."
    averaged = " The bars are means over outputs." if each else ""
    return section(
        "weights",
        "Weights",
        paragraph(text + averaged, "soft"),
        '<div class="pair">',
        figure(chart),
        numbers if not each else "",
        "</div>",
        numbers if each else "",
    )


def search(report: Report) -> str:
    """History and importance of the tuned blend's search."""
    found = report.get("search")
    if not found or not found["score"]:
        return ""
    flat = (
        "Where the line has been flat for long, more trials will hardly help; what matters most is worth a finer "
        "choice."
    )
    text = (
        "The search tries the single heads, equal weights and a greedy selection first, then draws, then refines "
        f"the best. {flat}"
    )
    if "grid" in found["start"]:
        text = "Every point of a grid of weights, kernels and widths was tried; nothing was drawn."
    elif "given" in found["start"]:
        text = "The weights are given. " + (flat if len(found["start"]) > 1 else "Nothing was left to search.")
    parts = [figure(charts_scores.history(found), legend=charts_scores.history_legend(found))]
    if found["importance"]:
        matter = {name: share for name, share in found["importance"].items() if share >= LEAST}
        chart = charts_scores.bars("importance-chart", "Importance", matter, 2)
        caption = "Share of the score's variance over the trials that each number explains (fANOVA)."
        numbers = table(
            ("", "share"), [(name, [cell(report, "search", "importance", name)]) for name in found["importance"]]
        )
        parts.append("<div>" + figure(chart, caption) + details("The numbers", numbers) + "</div>")
    else:
        parts.append(paragraph("Too few trials to say which numbers matter.", "soft"))
    return section("search", "The search", paragraph(text, "soft"), '<div class="pair">', *parts, "</div>")
