"""Trees as arrays of numbers, kept as text; random forests of scikit-learn, scored without scikit-learn."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

NODES = {"start": "<i4", "column": "<i4", "threshold": "<f8", "left": "<i4", "right": "<i4", "value": "<f8"}
"""Arrays of one forest, its trees one after the other, and their types in the file."""


@dataclass(frozen=True)
class Forests:
    """One forest per fold."""

    columns: list[int]
    folds: list[dict[str, str]]
    """Each forest's arrays (NODES), base64; `value` [nodes, outputs] is what a leaf says."""

    @staticmethod
    def from_models(columns: list[int], models: list[Any], kind: str) -> Forests:
        """The forests of fitted scikit-learn models; `kind` is LightAutoML's task."""
        return Forests(
            columns, [encode([_tree(estimator.tree_, kind) for estimator in model.estimators_]) for model in models]
        )

    def scorer(self) -> Any:
        """The mean of the folds' scores; features [n, columns] -> [n, outputs]."""
        if not self.folds:
            raise ValueError("no forests")
        forests = [decode(fold) for fold in self.folds]

        def scores(x: NDArray[np.float32]) -> NDArray[np.float64]:
            values = np.ascontiguousarray(x[:, self.columns], np.float32)
            results: NDArray[np.float64] = np.mean([_mean_of_trees(values, forest) for forest in forests], axis=0)
            return results

        return scores


def _leaves(tree: Any, kind: str) -> NDArray[np.float64]:
    """What each node of a tree says, [nodes, outputs]: a value, or the chances of classes."""
    value = np.asarray(tree.value, np.float64)  # [nodes, outputs, classes]
    if kind in ("reg", "multi:reg"):
        return value[:, :, 0]
    chances = value / value.sum(2, keepdims=True)
    return chances[:, 0, :] if kind == "multiclass" else chances[:, :, 1]


def _tree(tree: Any, kind: str) -> dict[str, NDArray[Any]]:
    parts = (tree.feature, tree.threshold, tree.children_left, tree.children_right, _leaves(tree, kind))
    return dict(zip(("column", "threshold", "left", "right", "value"), parts, strict=True))


def encode(trees: list[dict[str, NDArray[Any]]]) -> dict[str, str]:
    """Trees, each as arrays of its nodes (NODES; its root first, `left` of a leaf below 0), as text."""
    start = np.cumsum([0] + [len(tree["left"]) for tree in trees])[:-1]
    arrays = {name: np.concatenate([tree[name] for tree in trees]) for name in NODES if name != "start"}
    arrays["start"] = start
    return {name: base64.b64encode(arrays[name].astype(kind).tobytes()).decode() for name, kind in NODES.items()}


def decode(fold: dict[str, str]) -> tuple[NDArray[Any], ...]:
    """A forest's arrays, in the order of NODES. Raises ValueError where they do not fit together."""
    start, column, threshold, left, right, value = (
        np.frombuffer(base64.b64decode(fold[name], validate=True), kind) for name, kind in NODES.items()
    )
    nodes = len(column)
    inner = left >= 0
    at = np.append(start, nodes)
    beyond = np.repeat(np.diff(at), np.diff(at))  # nodes of the tree that each node is of
    place = np.arange(nodes) - np.repeat(at[:-1], np.diff(at))
    fits = (
        len(threshold) == len(left) == len(right) == nodes
        and nodes > 0
        and len(value) > 0
        and len(value) % nodes == 0
        and np.isfinite(value).all()
        and not np.isnan(threshold).any()
        and (left[inner] > place[inner]).all()  # children come behind: a walk ends
        and (right[inner] > place[inner]).all()
        and (left[inner] < beyond[inner]).all()
        and (right[inner] < beyond[inner]).all()
        and (column[inner] >= 0).all()
    )
    if not fits:
        raise ValueError("the trees of a forest are damaged")
    return start, column, threshold, left, right, value.reshape(nodes, -1)


def _walk(
    x: NDArray[np.float32],
    start: NDArray[np.int32],
    column: NDArray[np.int32],
    threshold: NDArray[np.float64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    for r in range(len(x)):
        for first in start:
            node = first
            while left[node] >= 0:
                goes_left = np.float64(x[r, column[node]]) <= threshold[node]
                node = first + (left[node] if goes_left else right[node])
            for c in range(out.shape[1]):
                out[r, c] += value[node, c]


@cache
def compile_kernel(kernel: Callable[..., None]) -> Any:
    """A loop over rows in numba's machine code, which is kept beside the loop's own file."""
    import numba  # the settings of a head shall not wait for it

    return numba.njit(nogil=True, cache=True)(kernel)


def add_trees(x: NDArray[np.float32], forest: tuple[NDArray[Any], ...], out: NDArray[Any]) -> None:
    """Add to `out` [n, outputs] what each tree of `decode` says of features [n, columns], tree by tree.

    Raises IndexError for trees of more columns, or of other outputs.
    """
    if int(forest[1].max(initial=-1)) >= x.shape[1] or out.shape[1] != forest[-1].shape[1]:
        raise IndexError(
            f"these trees look at column {int(forest[1].max(initial=-1))} of {x.shape[1]}, for {forest[-1].shape[1]} "
            f"outputs of {out.shape[1]}"
        )
    compile_kernel(_walk)(x, *forest, out)


def _mean_of_trees(x: NDArray[np.float32], forest: tuple[NDArray[Any], ...]) -> NDArray[np.float64]:
    out = np.zeros((len(x), forest[-1].shape[1]))
    add_trees(x, forest, out)
    return out / len(forest[0])
