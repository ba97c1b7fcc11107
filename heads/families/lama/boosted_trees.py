"""Boosted trees of LightGBM as tables of bits: the same scores to the bit, at about a fifth of the time.

For LightAutoML every output has one booster per fold; of Aff-Wild2's validation part alone, LightGBM's own prediction
takes longer than a minute's limit leaves. Here, as in QuickScorer (Lucchese et al., SIGIR 2015): a tree's leaves, from
left to right, are bits; a value of a column rules out the leaves left of every threshold that it exceeds; what all
columns leave has the tree's leaf as its lowest bit. A row looks up one line of a table per column, for all trees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from heads.families.booster_text import read_facts
from heads.families.lama.random_forest import compile_kernel

BITS = 16
"""Leaves per tree at most."""
MOST_COLUMNS = 128
"""With more, a row has too many lines to look up."""
ALL_BITS = np.uint16(0xFFFF)
MAGIC, SHIFT = 0x09AF, 12
"""A power of 2 of 16 bits times MAGIC has other leading 4 bits than any other power of 2 (de Bruijn)."""
WORTH_A_KERNEL = 2**24
"""Rows times trees of one process from which on the kernel pays: numba takes half a second to be there, numpy seven
times as long for each.
"""
_scored_so_far = 0
"""Rows times trees of this process."""
PIECE = 2**13
"""Rows that are scored at a time: numpy needs some 30 bytes for each of their trees."""
ZERO = float(np.float32(1e-35))
"""LightGBM takes what is no further from 0 for 0."""
PLACE = np.array([i for _, i in sorted(((1 << i) * MAGIC % 2**BITS >> SHIFT, i) for i in range(BITS))])
"""[16]: leading 4 bits -> exponent."""


@dataclass(frozen=True)
class Forest:
    """The trees of one booster, ordered by class."""

    columns: NDArray[np.int64]
    """[C]: those that some tree looks at, rising."""
    thresholds: NDArray[np.float64]
    """All columns' different thresholds one after the other, each column's rising."""
    ends: NDArray[np.int64]
    """[C + 1]: where each column's thresholds start."""
    table: NDArray[np.uint16]
    """[thresholds + C, trees]: per column one line more than thresholds: leaves left when so many are exceeded."""
    leaves: NDArray[np.float64]
    """[trees, 16]."""
    classes: NDArray[np.int64]
    """[classes + 1]: where each class's trees start."""

    @staticmethod
    def from_text(text: str) -> Forest | None:
        """The trees of a booster's text (`Booster.model_to_string`); None of a kind that these tables are not for.

        These are trees of more than 16 leaves, many columns, categories, zeros or NaN taken for missing, linear leaves.
        """
        head, *parts = text.split("\nTree=")
        facts = read_facts(head)
        trees = [read_facts(part.partition("\n\n")[0]) for part in parts]
        fits = all(
            int(tree["num_leaves"]) <= BITS
            and set(tree.get("decision_type", "").split()) <= {"0", "2"}  # x <= threshold, nothing is missing
            and tree.get("is_linear", "0") == "0"
            for tree in trees
        )
        if not fits or "average_output" in head:
            return None
        classes = int(facts["num_tree_per_iteration"])
        trees = [tree for c in range(classes) for tree in trees[c::classes]]
        starts = np.cumsum([0] + [len(parts[c::classes]) for c in range(classes)])
        leaves = np.zeros((len(trees), BITS))
        nodes = [(i, *node) for i, tree in enumerate(trees) for node in _nodes(tree, leaves[i])]
        columns = sorted({column for _, column, _, _ in nodes})
        if len(columns) > MOST_COLUMNS:
            return None
        of_column = [np.unique([t for _, c, t, _ in nodes if c == column]) for column in columns]
        ends = np.cumsum([0] + [len(values) for values in of_column]).astype(np.int64)
        table = np.full((ends[-1] + len(columns), len(trees)), ALL_BITS)
        place = {column: i for i, column in enumerate(columns)}
        for i, column, threshold, left in nodes:
            at = place[column]
            above = ends[at] + at + int(np.searchsorted(of_column[at], threshold)) + 1
            table[above : ends[at + 1] + at + 1, i] &= ALL_BITS ^ np.uint16(left)
        thresholds = np.concatenate(of_column) if columns else np.empty(0)
        return Forest(np.array(columns, np.int64), thresholds, ends, table, leaves, starts.astype(np.int64))

    def raw(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw scores [n, classes] (margins) of finite features [n, columns], as `predict(x, raw_score=True)`."""
        if len(self.columns) and self.columns[-1] >= x.shape[1]:
            raise IndexError(f"these trees look at column {self.columns[-1]} of {x.shape[1]}")
        out = np.empty((len(x), len(self.classes) - 1))
        global _scored_so_far
        _scored_so_far += len(x) * len(self.leaves)
        if _scored_so_far < WORTH_A_KERNEL:
            for start in range(0, len(x), PIECE):
                self._score_by_numpy(x[start : start + PIECE], out[start : start + PIECE])
        else:
            arrays = (self.columns, self.thresholds, self.ends, self.table, self.leaves, self.classes)
            compile_kernel(_raw)(x, *arrays, PLACE, out)
        return out

    def _score_by_numpy(self, x: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        """What `_raw` does, to the bit."""
        left = np.full((len(x), self.table.shape[1]), ALL_BITS)
        for c, column in enumerate(self.columns):
            value = x[:, column].astype(np.float64)
            value[np.abs(value) <= ZERO] = 0.0
            start, end = self.ends[c : c + 2]
            left &= self.table[start + c + np.searchsorted(self.thresholds[start:end], value)]
        bits = left.astype(np.int64)
        chosen = self.leaves[np.arange(len(self.leaves)), PLACE[((bits & -bits) * MAGIC & 0xFFFF) >> SHIFT]]
        for k, (first, end) in enumerate(pairwise(self.classes)):
            out[:, k] = np.cumsum(chosen[:, first:end], axis=1)[:, -1] if end > first else 0.0  # tree by tree


def _nodes(tree: dict[str, str], leaves: NDArray[np.float64]) -> Iterator[tuple[int, float, int]]:
    """(column, threshold, bits of the leaves to its left) of each node; fills `leaves` [16], from left to right."""
    value = [float(v) for v in tree["leaf_value"].split()]
    if len(value) == 1:
        leaves[0] = value[0]
        return
    column, left, right = ([int(v) for v in tree[k].split()] for k in ("split_feature", "left_child", "right_child"))
    threshold = [float(v) for v in tree["threshold"].split()]
    order: list[int] = []  # leaves from left to right

    def walk(node: int) -> Iterator[tuple[int, float, int]]:
        if node < 0:
            leaves[len(order)] = value[~node]
            order.append(~node)
            return
        first = len(order)
        yield from walk(left[node])
        yield column[node], threshold[node], (1 << len(order)) - (1 << first)
        yield from walk(right[node])

    yield from walk(0)


def _raw(
    x: NDArray[np.float32],
    columns: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    ends: NDArray[np.int64],
    table: NDArray[np.uint16],
    leaves: NDArray[np.float64],
    classes: NDArray[np.int64],
    place: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    left = np.empty(table.shape[1], np.uint16)
    for r in range(len(x)):
        left[:] = ALL_BITS
        for c in range(len(columns)):
            value, low, high = np.float64(x[r, columns[c]]), ends[c], ends[c + 1]
            if abs(value) <= ZERO:
                value = np.float64(0.0)
            while low < high:  # how many thresholds are below the value
                middle = (low + high) // 2
                if thresholds[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            line = table[low + c]
            for t in range(len(left)):
                left[t] &= line[t]
        for k in range(len(classes) - 1):
            total = 0.0
            for t in range(classes[k], classes[k + 1]):
                bits = np.int64(left[t])
                total += leaves[t, place[((bits & -bits) * MAGIC & 0xFFFF) >> SHIFT]]
            out[r, k] = total
