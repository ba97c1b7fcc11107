"""A LightGBM booster's text, checked before the library parses it: that reads where the text says, without looking.

A model may be somebody else's. A child, a column or a length that points behind its array would read foreign memory, or
end the process.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from extract.runtime.errors import InputError

SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)
"""Where each tree begins in the text, by which it is parsed in parallel; without it, trees are parsed one by one."""

ODD = re.compile(r"[^\n\x20-\x7e]")
"""What no booster of ours has; where a line ends is then the same to everybody."""
MOST_CLASSES = 100


def booster(text: str) -> Any:
    """The booster of a text that was made here or has passed `check`."""
    import lightgbm

    return lightgbm.Booster(model_str=SIZES.sub("", text, count=1))


def check(text: str, source: object, columns: int | None = None) -> None:
    """Raise InputError, that begins with `source`, unless these are whole trees of numbers, of at most so many
    `columns` (None: as many as it says). Categories and linear leaves, which no head here learns, are none.
    """
    head, *trees = text.split("\nTree=")
    number = -1
    try:
        if odd := ODD.search(text):
            raise ValueError(f"the character {odd[0]!r}")
        facts = read_facts(head)
        widest, each = int(facts["max_feature_idx"]), int(facts["num_tree_per_iteration"])
        if not 1 <= each <= MOST_CLASSES or facts["num_class"] != str(each) or len(trees) % each:
            raise ValueError(f"{len(trees)} trees, {each} at a time, for {facts['num_class']} classes")
        if widest < 0 or (columns is not None and widest >= columns):
            raise ValueError(f"{widest + 1} columns")
        for tree in trees:
            number += 1
            _check_tree(read_facts(tree.partition("\n\n")[0]), widest)
    except (KeyError, ValueError, OverflowError) as error:
        what = f"tree {number}" if number >= 0 else "its head"
        raise InputError(f"{source}: no booster of ours: {what}: {error}; make the head anew") from None


def _check_tree(facts: dict[str, str], widest: int) -> None:
    leaves = int(facts["num_leaves"])
    if leaves < 1 or facts.get("num_cat", "0") != "0" or facts.get("is_linear", "0") != "0":
        raise ValueError(f"{leaves} leaves, or categories, or linear leaves")
    values = np.array(facts["leaf_value"].split(), float)
    if len(values) != leaves or not np.isfinite(values).all():
        raise ValueError(f"leaf_value has not {leaves} finite numbers")
    if leaves == 1:
        return
    at = np.arange(leaves - 1)
    results = {name: np.array(facts[name].split(), float) for name in ("split_feature", "threshold", "decision_type")}
    children = [np.array(facts[name].split(), np.int64) for name in ("left_child", "right_child")]
    if any(len(items) != leaves - 1 for items in (*results.values(), *children)):
        raise ValueError(f"its lists are not of {leaves - 1} splits")
    if not {*results["decision_type"].tolist()} <= {0, 2, 4, 6, 8, 10}:  # odd ones are of categories
        raise ValueError("a decision_type of categories")
    if np.isnan(results["threshold"]).any():
        raise ValueError("a threshold that is no number")
    if not ((results["split_feature"] >= 0) & (results["split_feature"] <= widest)).all():
        raise ValueError("a column that it does not have")
    for child in children:  # a split's number is above its parent's: no ring
        if not np.where(child >= 0, (child > at) & (child < leaves - 1), ~child < leaves).all():
            raise ValueError("a child that it does not have")


def read_facts(text: str) -> dict[str, str]:
    """The lines `key=value`. Raises ValueError for a key that is there twice: the library may take the other one."""
    pairs = [line.split("=", 1) for line in text.split("\n") if "=" in line]
    if len(facts := {key: value for key, value in pairs}) < len(pairs):
        raise ValueError("a key that is there twice")
    return facts
