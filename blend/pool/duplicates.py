"""Heads that are copies of another: they are no second opinion, and are searched as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from blend.config import BlendSettings
from blend.pool.pool import Pool


def find_duplicates(pool: Pool) -> dict[str, str]:
    """Each head whose scores equal those of an earlier one, byte by byte -> that one."""
    first: dict[bytes, str] = {}
    results = {}
    for head, scores in zip(pool.heads, pool.scores, strict=True):
        mark = hashlib.blake2b(np.ascontiguousarray(scores).data).digest()
        if mark in first:
            results[head] = first[mark]
        first.setdefault(mark, head)
    return results


def drop_duplicates(pool: Pool) -> Pool:
    """The pool without copies; itself where there are none."""
    copies = find_duplicates(pool)
    if not copies:
        return pool
    keep = [h for h, head in enumerate(pool.heads) if head not in copies]
    heads = tuple(pool.heads[h] for h in keep)
    return replace(pool, heads=heads, scores=np.ascontiguousarray(pool.scores[keep]))


def drop_duplicates_without(pool: Pool, folds: Sequence[Sequence[int]]) -> dict[int | None, tuple[int, ...]]:
    """Numbers of the heads that are no copies of earlier ones on the videos outside a fold, for each fold; None: on all
    videos.
    """
    rows = [pool.rows_of(fold) for fold in folds]
    marks = [[hashlib.blake2b(np.ascontiguousarray(own[at]).data).digest() for at in rows] for own in pool.scores]
    results: dict[int | None, tuple[int, ...]] = {}
    for without in (None, *range(len(folds))):
        first: dict[bytes, int] = {}
        for h, mark in enumerate(marks):
            first.setdefault(b"".join(m for f, m in enumerate(mark) if f != without), h)
        results[without] = tuple(first.values())
    return results


def expand_weights(
    pool: Pool, heads: tuple[str, ...], weights: tuple[float | tuple[float, ...], ...]
) -> tuple[float | tuple[float, ...], ...]:
    """Weights of some heads -> weights of all heads of the pool; the others weigh nothing."""
    weight = dict(zip(heads, weights, strict=True))
    return tuple(weight.get(head, 0.0) for head in pool.heads)


def rename_duplicates(pool: Pool, settings: BlendSettings) -> BlendSettings:
    """Settings that name a copy (as the filter's head, or with a given weight) name the head that it is a copy of."""
    result = find_duplicates(pool)
    update: dict[str, Any] = {}
    if settings.filter in result:
        update["filter"] = result[settings.filter]
    if settings.weights is not None and result.keys() & settings.weights.keys():
        merged: dict[str, Any] = {}
        for head, weight in settings.weights.items():
            name = result.get(head, head)
            merged[name] = (np.asarray(merged.get(name, 0.0)) + weight).tolist()
        update["weights"] = merged
    return settings.model_copy(update=update) if update else settings


def to_search(pool: Pool, settings: BlendSettings) -> tuple[Pool, BlendSettings]:
    """The pool of distinct heads, and settings that name no other. Where weights are given nothing is searched among
    heads: the pool as it is, so that the blend is the one that is written.
    """
    if settings.weights is not None:
        return pool, settings
    return drop_duplicates(pool), rename_duplicates(pool, settings)
