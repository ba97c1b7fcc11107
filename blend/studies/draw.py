"""One pair of draws of `blend.studies.simulate`: two sets of videos, each in turn validation and test.

Using the sets both ways round cancels most of the luck of which set is the easier one. Test sets of other kinds come
from the same random numbers: the shifted one is the other set, moved; half and triple hold the other set's videos.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blend.config import BlendSettings
from blend.pool.pool import Pool
from blend.studies.simulation import population
from blend.studies.simulation.measure import measure

K_MAX = 20
"""Frames are thinned, so that narrower windows suffice."""
DRAWS = 500
"""Resamples for an interval."""
SIZES = {"fewest": (6, 15), "few": (20, 70), "official": None}
"""Videos of a set: a range, or as many as the official validation set."""
FEWEST = 6
"""Smaller test sets are not drawn: hardly any shows every class."""
SEARCH_PERIOD = 5
"""One of so many pairs has the search inside the folds, too, which only its own cross-fitted estimate needs."""
GOLDEN = 0.6180339887498949


def videos_of(task: str, size: str, number: int) -> int:
    """How many videos the sets of a pair have. Within a range the first pairs, however many, are spread evenly."""
    limits = SIZES[size]
    if limits is None:
        return population.OFFICIAL[task]
    low, high = limits
    return low + int((number * GOLDEN) % 1 * (high - low + 1))


def pair(
    task: str, size: str, of: str, number: int, seed: int, trials: int, parts: bool = False
) -> list[dict[str, Any]]:
    """Both ways round: what `simulation.measure` finds. `of` is one of `population.POPULATIONS`; the same arguments
    give the same numbers.
    """
    settings = BlendSettings(trials=trials, k_max=K_MAX, draws=DRAWS)
    sets = [_sets(task, size, of, number, seed, which) for which in range(2)]
    further = {"same": [pool for made in sets for pool in _later_thirds(made)]} if of == "same" else {}
    return [
        measure(own["validation"], {kind: other[kind] for kind in population.TEST_KINDS[of]}, settings, number,
                number % SEARCH_PERIOD == 0, parts, further)
        for own, other in (sets, sets[::-1])
    ]  # fmt: skip


def _later_thirds(made: dict[str, Pool]) -> list[Pool]:
    """The second and the third third of the triple set, those that show everything: neither set was made of them."""
    triple, videos = made["triple"], len(made["validation"].videos)
    thirds = [triple.select(range(first, first + videos)) for first in (videos, 2 * videos)]
    return [pool for pool in thirds if population.shows_all_labels(pool)]


def _sets(task: str, size: str, of: str, number: int, seed: int, which: int) -> dict[str, Pool]:
    """One set as "validation", and as each kind of test that its population has."""
    videos = videos_of(task, size, number)
    start = [seed, number, sorted(population.OFFICIAL).index(task), list(SIZES).index(size), which]
    if of != "same":
        kind = {"heavy": population.HEAVY, "people": population.PEOPLE}[of]
        rng = np.random.default_rng([*start, list(population.TEST_KINDS).index(of)])
        own = population.draw(task, videos, rng, kind)
        return {"validation": own, of: own}
    triple, own = _triple(task, videos, np.random.default_rng(start))
    shifted = population.draw(task, videos, np.random.default_rng(start), population.SHIFTS[task])
    return {"validation": own, "same": own, "shift": shifted, "half": _half(triple, videos), "triple": triple}


def _triple(task: str, videos: int, rng: np.random.Generator) -> tuple[Pool, Pool]:
    """Three times as many videos, of which the first third shows everything, and that third."""
    while True:
        triple = population.draw(task, 3 * videos, rng)
        own = triple.select(range(videos))
        if population.shows_all_labels(own):
            return triple, own


def _half(triple: Pool, videos: int) -> Pool:
    """Half as many videos in a row, the first that show everything."""
    half = max(FEWEST, videos // 2)
    for first in range(len(triple.videos) - half + 1):
        result = triple.select(range(first, first + half))
        if population.shows_all_labels(result):
            return result
    return triple.select(range(videos))
