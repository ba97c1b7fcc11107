"""Everything that a run finds out on validation: both ways of selecting, and what heads are worth alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blend.calibrate import video_counts
from blend.config import BlendSettings
from blend.crossfit import estimate
from blend.crossfit.fold_process import FoldProcess
from blend.crossfit.selection import SelectedBlend, Selection
from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.search.search import SearchResult

TUNED_WAY, CROSS_FITTED_WAY, EQUAL_WAY = "tuned", "cross_fitted", "equal"


@dataclass(frozen=True)
class BlendResult:
    """What the search, the selection and the baselines found."""

    search: SearchResult
    ways: dict[str, SelectedBlend]
    """By the values of `select`: "cross_fitted" and "tuned"."""
    baselines: dict[str, SelectedBlend]
    """Every head, and "equal": kernel, k and thresholds tuned, nothing else."""
    select: str
    """The way whose params are used."""
    test_groups: int | None = None
    """People (or recordings) of the test set that intervals are for; None: as many as in validation."""

    @property
    def selected_blend(self) -> SelectedBlend:
        """The way whose params are used."""
        return self.ways[self.select]

    def rank(self) -> list[str]:
        """The heads, the best alone on other videos first."""
        alone = [head for head in self.baselines if head != EQUAL_WAY]
        return sorted(alone, key=lambda head: (-self.baselines[head].worth, head))

    def distinct(self) -> list[str]:
        """The same without heads that are copies of others."""
        copies = dict(self.search.copies)
        return [head for head in self.rank() if head not in copies]


class ResultBuilder:
    """From a finished search to the outcome. `params` are known at once, everything else with `finish`."""

    def __init__(
        self,
        pool: Pool,
        settings: BlendSettings,
        seed: int,
        result: SearchResult,
        test_groups: int | None = None,
        train: Pool | None = None,
    ) -> None:
        """`test_groups`: people or recordings of the test set that intervals are for (None: as many as here). `train`:
        out-of-fold predictions of the same heads.
        """
        self.pool, self.settings, self.seed, self.search, self.test_groups = pool, settings, seed, result, test_groups
        self.selection = Selection(pool, settings, seed, test_groups=test_groups, train=train)
        self._selected = self.selection.select() if settings.select == CROSS_FITTED_WAY else None

    @property
    def params(self) -> Params:
        """Those of the way that settings ask for."""
        return self.search.params if self._selected is None else self._selected.params

    def finish(self, on_trial: Callable[[], None] = lambda: None, helper: FoldProcess | None = None) -> BlendResult:
        """Cross-fit the search (which calls `on_trial`, and may have a helper), and see what heads are worth alone."""
        crossed = estimate.cross_fit(self.pool, self.settings, self.seed, on_trial, self.test_groups, helper)
        score = self.pool.score(combine.combine(self.pool, self.search.params))
        tuned = SelectedBlend(self.search.params, video_counts.encode_number(score), crossed)
        selected = self._selected if self._selected is not None else self.selection.select()
        ways = {CROSS_FITTED_WAY: selected, TUNED_WAY: tuned}
        return BlendResult(self.search, ways, self._baselines(), self.settings.select, self.test_groups)

    def _baselines(self) -> dict[str, SelectedBlend]:
        distinct, copies = self.selection.pool.heads, dict(self.search.copies)
        alone = {head: self.selection.tune_with_weights(np.eye(len(distinct))[h]) for h, head in enumerate(distinct)}
        results = {head: alone[copies.get(head, head)] for head in self.pool.heads}
        return results | {EQUAL_WAY: self.selection.tune_with_weights(np.full(len(distinct), 1 / len(distinct)))}
