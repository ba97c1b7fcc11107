"""Validation videos that look like one person's, as the report has them: where nobody says who is in which video."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from blend.config import Config
from blend.ingredients import Ingredients
from blend.page_values import at
from extract import networks
from heads import labels, resemblance

MOST = 20
"""Pairs in report.json."""


def facts(config: Config, made_of: Ingredients, work: Path) -> dict[str, Any] | None:
    """`network`, `videos` (how many were compared), `count` of pairs that look like one person and the `pairs` most
    alike (heads.resemblance); None where nothing is compared: people are known, or no head of ours looks at faces.
    """
    seen = [name for name in config.features.networks if name in networks.NETWORKS or name in config.networks]
    if made_of.people is not None or not made_of.ours:
        return None
    val, train = (labels.videos(folder, made_of.task) for folder in (made_of.paths.val, made_of.paths.train))
    found = resemblance.find(work, seen, val, train)
    if found is None:
        return None
    pairs = [asdict(pair) for pair in found.pairs[:MOST]]
    return {"network": found.network, "videos": found.videos, "count": len(found.pairs), "pairs": pairs}


def worry(report: dict[str, Any]) -> list[str]:
    """A sentence with the pair that is most alike, with places in the report; empty where there is none."""
    found = report.get("alike")
    if not found or not found["count"]:
        return []
    first = found["pairs"][0]
    other = "validation video" if first["part"] == "val" else "training video"
    return [
        f"The validation video {first['video']} looks like the same person as the {other} {first['other']} (cosine "
        f"{at('alike', 'pairs', 0, 'cosine')}, {at('alike', 'count')} such pairs): folds by video put a person on both "
        f"sides, so scores may say too much of others. Name who is in which video with corpus.people, a table "
        f"video,person: then everything goes by person."
    ]
