"""The page's part about the unlabelled test: how it is decided, beside validation."""

from __future__ import annotations

from typing import Any

from blend.page_values import cell, paragraph, section, table, words
from blend.unlabelled_words import KEY


def unlabelled(report: dict[str, Any]) -> str:
    """A table of every share, mean and spread on validation and on test, and how far draws of validation go."""
    facts = report.get(KEY)
    if not facts or not facts["shares"]:
        return ""
    path = (KEY, "shares", "statistics")
    rows = [
        (
            name,
            [
                cell(report, *path, name, "validation"),
                cell(report, *path, name, "low"),
                cell(report, *path, name, "high"),
                cell(report, *path, name, "test"),
                words("outside" if one["outside"] else ""),
            ],
        )
        for name, one in facts["shares"]["statistics"].items()
    ]
    text = (
        "How often each output is decided (of valence and arousal: mean and spread), how certain scores are, and how "
        "many frames have no face. Lowest and highest are of draws of as many validation videos as test has. Faults "
        "in test's predictions that need no labels to be seen are among what to worry about."
    )
    header = ("", "validation", "lowest", "highest", "test", "")
    return section("unlabelled", "Test beside validation", paragraph(text, "soft"), table(header, rows))
