"""Faults in predictions of test that no label is needed for: what agrees better when it is put differently.

Each fault that published submissions had is a hypothesis of its own. Scores x (a head's, or the decisions of a
submission) are compared with a reference y for the same frames (the other heads), and are wrong where y fits them
better in other columns, with the sign turned, some frames earlier, or for another video. That must hold in nearly all
draws of the groups of videos, must be more than a little, and must not be so on validation, where the files are
compared with labels and a fault would have been seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.pool.pool import Pool
from blend.unlabelled_test.agreement import LAGS, Agreement, agreement, fisher, standardise

DRAWS = 1000
SURE = 0.01
"""Part of the draws that may say otherwise."""
SURE_OF_TIME = 0.001
"""The same of a move in time: of 31 lags the best is taken."""
LOST_SHARE = 1 / 3
"""Of validation's agreement; where less is left, scores are of something else."""
MIN_CORRELATION = 0.2
"""Correlations below say nothing: there is no agreement that could be lost."""
COLUMN_GAIN = 0.2
"""How much Fisher's z must gain by other columns."""
SHIFT_GAIN = 0.02
"""How much Fisher's z must gain by moving scores in time."""
SHIFT_GAIN_ALONE = 0.06
"""The same where there is no validation to tell what is usual: smoothing alone may fit a frame earlier."""
VIDEO_LEVEL = 0.01
"""So often one of the videos of a set may be called foreign by chance."""
UNKNOWN = 0.7
"""Agreement that is expected where there is no validation to tell."""
SHORT = 40
"""Frames; shorter videos are not judged alone."""
RESTORED_SHARE = 0.7
"""Of validation's agreement; other columns, or other frames, must fit as well."""
HALF = 0.5
TINY = 1e-6

Fault = dict[str, Any]


def find(
    x: NDArray[np.floating], y: NDArray[np.floating], test: Pool, validation: Agreement | None, seed: int,
    rows: NDArray[np.bool_] | None = None,
) -> list[Fault]:  # fmt: skip
    """The faults of x against y, both [T, C] on the pool `test`, at the frames `rows` [T]; most serious first.

    `validation` is how the same two agree there, where that is known. Each fault has its `kind`, the correlation on
    test as it is (`own`), put differently (`other`), and as it is on validation (`usual`), None where it is not known,
    and what it is about:

    - "columns": `outputs` go with the `others` of y;
    - "order": all outputs together have nothing to do with y, or go against it;
    - "sign": the `output` goes against y's;
    - "frames": x is `lag` frames late (negative: early);
    - "video": the `video` has nothing to do with y's; it is `like` y's of another (None: of none of these). Here
      `usual` is the median of the other videos.
    """
    rows = test.present if rows is None else rows
    here = agreement(x, y, test, rows)
    drawn = here.draws(DRAWS, np.random.default_rng(seed))
    table, tables = here.outputs(), here.outputs(drawn)
    usual = None if validation is None else validation.outputs()
    names = test.task.outputs
    if columns := _columns(table, tables, usual, names):
        return columns
    if whole := _whole(table, tables, usual):
        return whole
    signs = _signs(table, tables, usual, names)
    frames = _frames(here, drawn, validation)
    return signs + (frames or _videos(x, y, test, rows, here, validation))


def _columns(
    table: NDArray[np.float64], tables: NDArray[np.float64], usual: NDArray[np.float64] | None, names: tuple[str, ...]
) -> list[Fault]:
    """Outputs that go with other outputs of the reference, as well as is usual: in rings of two, or more."""
    to = _assign(fisher(table))
    there = np.abs(table).max(1) > 0
    before = UNKNOWN if usual is None else _mean(usual, there) if there.any() else 0.0
    if not there.any() or table[there, to[there]].mean() < RESTORED_SHARE * before:
        return []
    results = []
    for ring in _rings(to):
        moved = ring[there[ring]]  # an output that is never decided says nothing
        if not len(moved) or _gain(table, moved, to) < COLUMN_GAIN:
            continue
        own, other = table[moved, moved].mean(), table[moved, to[moved]].mean()
        expected = UNKNOWN if usual is None else usual[moved, moved].mean()
        sure = np.quantile(_gain(tables, moved, to), SURE) >= 0
        if sure and other >= max(RESTORED_SHARE * expected, -own) and (usual is None or _gain(usual, moved, to) < 0):
            about = {"outputs": [names[c] for c in moved], "others": [names[c] for c in to[moved]]}
            results.append(_fault("columns", own, other, None if usual is None else expected, **about))
    return results


def _assign(likeness: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column of each row, each once, that are most alike together; [C, C] -> [C]."""
    if (np.diagonal(likeness) >= likeness.max(1)).all():  # as it mostly is: SciPy takes a while to import
        return np.arange(len(likeness))
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(-likeness)[1]  # type: ignore[no-any-return]


def _fault(kind: str, own: float, other: float | None, usual: float | None, **about: Any) -> Fault:
    """A fault with its correlations as plain numbers."""
    numbers = {"own": own, "other": other, "usual": usual}
    return {"kind": kind, **about} | {name: None if r is None else float(r) for name, r in numbers.items()}


def _gain(table: NDArray[np.float64], moved: NDArray[np.int64], to: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much better some outputs fit those that they go to than their own, in Fisher's z; table [..., C, C]."""
    return (fisher(table[..., moved, to[moved]]) - fisher(table[..., moved, moved])).mean(-1)


def _rings(to: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The cycles of a permutation [C] that are longer than one."""
    ring = np.arange(len(to))
    for _ in to:  # the lowest number goes round
        ring = np.minimum(ring, ring[to])
    return [np.flatnonzero(ring == lowest) for lowest in np.unique(ring) if (ring == lowest).sum() > 1]


def _whole(table: NDArray[np.float64], tables: NDArray[np.float64], usual: NDArray[np.float64] | None) -> list[Fault]:
    """Every output goes against the reference, or has nothing to do with it."""
    there = np.abs(table).max(1) > 0
    expected = np.full(len(table), MIN_CORRELATION) if usual is None else np.diag(usual)
    there &= expected >= MIN_CORRELATION
    if not there.any() or (np.diag(table)[there] >= HALF * expected[there]).any():
        return []
    own, drawn, before = (_mean(item, there) for item in (table, tables, np.diag(expected)))
    if np.quantile(drawn, 1 - SURE) >= LOST_SHARE * before:
        return []
    return [_fault("order", own, None, None if usual is None else before)]


def _mean(table: NDArray[np.float64], values: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean correlation of some outputs with the same outputs, [...]."""
    return np.diagonal(table, axis1=-2, axis2=-1)[..., values].mean(-1)


def _signs(
    table: NDArray[np.float64], tables: NDArray[np.float64], usual: NDArray[np.float64] | None, names: tuple[str, ...]
) -> list[Fault]:
    """Single outputs that go against the reference."""
    own, high = np.diag(table), np.quantile(np.diagonal(tables, axis1=1, axis2=2), 1 - SURE, axis=0)
    expected = np.full(len(own), MIN_CORRELATION) if usual is None else np.diag(usual)
    turned = np.flatnonzero((own < -MIN_CORRELATION) & (high < 0) & (expected >= MIN_CORRELATION))
    return [_fault("sign", own[c], None, None if usual is None else expected[c], output=names[c]) for c in turned]


def _frames(here: Agreement, drawn: NDArray[np.float64], validation: Agreement | None) -> list[Fault]:
    """Scores that fit better some frames earlier or later."""
    line, still = here.lags(), int(np.flatnonzero(LAGS == 0)[0])
    best = int(line.argmax())
    lines = fisher(here.lags(drawn))
    gain = float(fisher(line[best]) - fisher(line[still]))
    least = SHIFT_GAIN if validation is not None else SHIFT_GAIN_ALONE
    if gain < least or line[best] < MIN_CORRELATION or np.quantile(lines[:, best] - lines[:, still], SURE_OF_TIME) <= 0:
        return []
    usual = None if validation is None else validation.lags()
    if usual is not None and (
        line[best] < RESTORED_SHARE * usual[still] or fisher(usual[best]) - fisher(usual[still]) > gain / 2
    ):
        return []
    lag = int(LAGS[best])
    return [_fault("frames", line[still], line[best], None if usual is None else usual[still], lag=lag)]


def _videos(
    x: NDArray[np.floating], y: NDArray[np.floating], test: Pool, rows: NDArray[np.bool_], here: Agreement,
    validation: Agreement | None,
) -> list[Fault]:  # fmt: skip
    """Videos whose scores are not what the reference lets expect: much farther off than in all the other videos, or
    as near to the reference's for another video as others are to their own.
    """
    judged = np.flatnonzero(here.frames >= SHORT)
    own = _facts(here)
    known = np.zeros((3, 0)) if validation is None else _facts(validation)[:, validation.frames >= SHORT]
    results = []
    for v in judged:
        usual = np.concatenate([known, own[:, judged[judged != v]]], axis=1)
        cosine, inside, off = own[:, v]
        if usual.shape[1] < 3:
            break
        usual_off, middle = usual[2], np.median(usual[:2], axis=1)
        if np.tanh(middle[0]) < MIN_CORRELATION or off <= usual_off.max():
            continue
        if cosine >= HALF * middle[0] or inside >= HALF * middle[1]:
            continue
        far = (off - usual_off.mean()) / (usual_off.std(ddof=1) * np.sqrt(1 + 1 / len(usual_off)))
        like, near = _nearest(x, y, test, rows, here, v)
        foreign = np.log(near + TINY) <= min(usual_off.max(), off + np.log(HALF))
        if foreign or far > _highest(VIDEO_LEVEL / len(judged), len(usual_off) - 1):
            about = {"video": test.videos[v], "like": test.videos[like] if foreign else None}
            results.append(_fault("video", np.tanh(cosine), None, np.tanh(middle[0]), **about))
    return results


def _highest(level: float, freedom: int) -> float:
    """What Student's t exceeds so seldom."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, level))


def _facts(values: Agreement) -> NDArray[np.float64]:
    """Fisher's z about the set's mean and about the video's, and the logarithm of the residual: [3, V]."""
    return np.stack([fisher(values.cosines()), fisher(values.inside()), np.log(values.residuals() + TINY)])


def _nearest(
    x: NDArray[np.floating], y: NDArray[np.floating], test: Pool, rows: NDArray[np.bool_], here: Agreement, v: int
) -> tuple[int, float]:
    """The other video whose reference expects the scores of video v best, frame by frame from the first, and how far
    off they are (see `Agreement.residuals`).
    """
    x, y = standardise(x, rows), standardise(y, rows) * here.slope().astype(np.float32)
    whole = float(((x - y)[rows] ** 2).mean(0, dtype=np.float64) @ here.variance)
    own = x[test.offsets[v] : test.offsets[v + 1]]
    result = (v, np.inf)
    for u in range(len(test.videos)):
        there = y[test.offsets[u] : test.offsets[u + 1]]
        n = min(len(own), len(there))
        if u == v or 2 * n < len(own):
            continue
        off = float(((own[:n] - there[:n]) ** 2).mean(0, dtype=np.float64) @ here.variance) / max(whole, 1e-9)
        result = min(result, (u, off), key=lambda pair: pair[1])
    return result
