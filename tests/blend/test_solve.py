"""What is found on a subset comes from its videos alone, and its tables are those of its decisions."""

from dataclasses import replace

import numpy as np
import pytest

from blend import combine, counts, folded, threshold
from blend.params import Params
from blend.solve import SOLVERS, Candidate, Solution, average

FOLDS = [[0, 4], [1, 2], [3, 5]]
CANDIDATES = {
    "au": [Candidate("box", 2, part=rule) for rule in ("fixed", "exact", "bootstrap", "pulled", "plug-in")],
    "expr": [Candidate("box", 2, part=rule) for rule in ("off", "prior", "free", "pulled")]
    + [Candidate("box", 2, part="off", filter="head0"), Candidate("box", 1, "each", "pulled", "head2")],
    "va": [Candidate("box", 2, part=part) for part in ("", "scale", "shift", "scale shift")],
}
CANDIDATES = {
    task: [*some, Candidate("gaussian", 1, "equal", some[-1].part), replace(some[0], weights="each")]
    for task, some in CANDIDATES.items()
}
ALL = [(task, candidate) for task, some in CANDIDATES.items() for candidate in some]


def as_params(pool, candidate, solution):
    """The same numbers as anybody would apply them."""
    lists = {key: getattr(solution, key) for key in ("thresholds", "bias", "scale", "shift")}
    optional = {key: tuple(value.tolist()) for key, value in lists.items() if value is not None}
    weights = tuple(tuple(row.tolist()) for row in solution.weights)
    sure = (candidate.filter, float(solution.sure)) if solution.sure is not None else None
    task = pool.task
    return Params(
        task.name, task.outputs, pool.heads, weights, candidate.kernel, candidate.k, **optional, filter=sure
    )  # fmt: skip


@pytest.mark.parametrize(("name", "candidate"), ALL)
def test_its_tables_are_those_of_deciding(make_pool, name, candidate):
    """au cuts at 1/256ths, va does not clip; scores are made to fit both."""
    pool = make_pool(name)
    if name == "va":
        pool = replace(
            pool, scores=pool.scores * np.float32(0.3), truth=replace(pool.known, values=pool.known.values / 4)
        )
    solver = SOLVERS[name](folded.of(pool, FOLDS), 0)
    found = solver.solve(candidate, 1)
    if name == "au":
        found = replace(found, thresholds=np.ceil(found.thresholds * 256) / 256)
    decided = combine.combine(pool, as_params(pool, candidate, found))[pool.known.rows]
    expected = counts.per_video(name, pool.known.values, decided, pool.video_of, len(pool.videos))
    np.testing.assert_allclose(solver.table(candidate, found), expected, atol=1e-3 if name == "va" else 0)


@pytest.mark.parametrize(("name", "candidate"), ALL)
def test_a_solution_does_not_hang_on_the_fold_left_out(make_pool, name, candidate):
    pool = make_pool(name)
    truth = pool.known.values.copy()
    held = np.isin(pool.video_of, FOLDS[1])
    truth[held] = np.random.default_rng(0).permutation(truth[held])
    other = replace(pool, truth=replace(pool.known, values=truth))
    one, two = (SOLVERS[name](folded.of(some, FOLDS), 0) for some in (pool, other))
    for key, value in vars(one.solve(candidate, 1)).items():
        again = getattr(two.solve(candidate, 1), key)
        np.testing.assert_array_equal(value, again) if value is not None else None
    table = one.held(candidate)
    for f, fold in enumerate(FOLDS):
        np.testing.assert_array_equal(table[fold], one.table(candidate, one.solve(candidate, f))[fold])


def test_exact_thresholds_are_found_among_the_frames_when_it_matters(make_pool):
    pool = make_pool("au")
    candidate = Candidate("box", 1, part="exact")
    found = SOLVERS["au"](folded.of(pool, FOLDS), 0, exactly=True).solve(candidate, 1)
    some = pool.select([0, 3, 4, 5])
    blended = threshold.columns(combine.scores(some, found.weights.tolist(), "box", 1), some.known.rows)
    np.testing.assert_array_equal(found.thresholds, threshold.best(blended, some.known.values.T.astype(np.uint8))[0])


def test_the_average_of_solutions():
    one = Solution(np.zeros((2, 3)), thresholds=np.array([0.1, 0.2, 0.3]))
    two = Solution(np.ones((2, 3)), thresholds=np.array([0.3, 0.2, 0.9]))
    mean = average([one, two])
    np.testing.assert_array_equal(mean.weights, np.full((2, 3), 0.5))
    np.testing.assert_allclose(mean.thresholds, [0.2, 0.2, 0.6])
    assert mean.bias is None and mean.sure is None
