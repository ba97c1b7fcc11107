"""What is found on a subset comes from its videos alone, and its tables are those of its decisions."""

from dataclasses import replace

import numpy as np
import pytest

from blend.calibrate import threshold
from blend.crossfit import fold_pools
from blend.crossfit.solvers import Candidate, Solution, average, make_solver
from blend.decision import combine
from blend.decision.params import Params

FOLDS = [[0, 4], [1, 2], [3, 5]]
CANDIDATES = {
    "au": [Candidate("box", 2, part=rule) for rule in ("fixed", "exact", "bootstrap", "pulled", "plug-in")]
    + [Candidate("box", 1, "best", "pulled-plug-in", strength=0.5)],
    "expr": [Candidate("box", 2, part=rule) for rule in ("off", "prior", "free", "pulled")]
    + [Candidate("box", 1, "best", "pulled", strength=0.5)]
    + [Candidate("box", 2, part="off", filter="head0"), Candidate("box", 1, "each", "pulled", "head2")],
    "va": [Candidate("box", 2, part=part) for part in ("", "scale", "shift", "scale shift")],
}
CANDIDATES = {
    task: [*some, Candidate("gaussian", 1, "equal", some[-1].part), replace(some[0], weights="each")]
    for task, some in CANDIDATES.items()
}
HEADS = (0, 1, 2)
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
            pool,
            scores=pool.scores * np.float32(0.3),
            truth=replace(pool.known_truth, values=pool.known_truth.values / 4),
        )
    solver = make_solver(fold_pools.fold_pool(pool, FOLDS), 0)
    found = solver.solve(candidate, (1,), HEADS)
    if name == "au":
        found = replace(found, thresholds=np.ceil(found.thresholds * 256) / 256)
    decided = combine.combine(pool, as_params(pool, candidate, found))[pool.known_truth.rows]
    expected = pool.blend_task.count(pool.known_truth.values, decided, pool.video_of, len(pool.videos))
    np.testing.assert_allclose(solver.table(candidate, found), expected, atol=1e-3 if name == "va" else 0)


@pytest.mark.parametrize(("name", "candidate"), ALL)
def test_a_solution_does_not_hang_on_the_folds_left_out(make_pool, name, candidate):
    pool = make_pool(name)
    for left_out in ((1,), (0, 2)):
        truth = pool.known_truth.values.copy()
        held = np.isin(pool.video_of, [v for f in left_out for v in FOLDS[f]])
        truth[held] = np.random.default_rng(0).permutation(truth[held])
        other = replace(pool, truth=replace(pool.known_truth, values=truth))
        one, two = (
            make_solver(fold_pools.fold_pool(some, FOLDS), 0).solve(candidate, left_out, HEADS)
            for some in (pool, other)
        )
        for key, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(two, key)) if value is not None else None


def test_numbers_go_a_part_of_the_way():
    found = Solution(
        np.ones((1, 2)), np.array([0.9, 0.1]), np.array([2.0, -2.0]), None, np.array([3.0, 1.0]), np.ones(2)
    )
    half = found.shrunk(0.5)
    np.testing.assert_allclose(half.thresholds, [0.7, 0.3])
    np.testing.assert_allclose(half.bias, [1, -1])
    np.testing.assert_allclose(half.scale, [2, 1])
    np.testing.assert_allclose(half.shift, [0.5, 0.5])
    assert half.sure is None and found.shrunk(1.0) is found


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_weights_of_one_head_alone_and_equal_ones(make_pool, name):
    """Heads are of falling quality; one that is a copy elsewhere has no share."""
    pool = make_pool(name, videos=12, length=(100, 120))
    solver = make_solver(fold_pools.fold_pool(pool, [[v] for v in range(12)]), 0)
    best = solver.weights(Candidate("box", 1, "best"), (3,), HEADS)
    np.testing.assert_array_equal(best[:, 0], [1, 0, 0])
    equal = solver.weights(Candidate("box", 1, "equal"), (3,), (0, 2))
    np.testing.assert_allclose(equal, np.repeat([[0.5], [0], [0.5]], len(pool.task.outputs), axis=1))


def test_long_videos_count_less_per_frame(make_pool):
    """Moments of n frames weigh as n^(1 - POWER); thresholds come from counts that are weighted so."""
    pool = make_pool("va", length=(10, 90))
    some = fold_pools.fold_pool(pool, FOLDS)
    frames = np.bincount(pool.video_of, minlength=6)
    np.testing.assert_allclose(some.video_weight, (frames / fold_pools.TYPICAL) ** -fold_pools.POWER)
    moments = some.moments("box", 2)
    np.testing.assert_allclose(
        some.sums("box", 2, (1,)), sum(moments[v] * some.video_weight[v] for v in (0, 3, 4, 5)), rtol=1e-9
    )


def test_exact_thresholds_are_found_among_the_frames_when_it_matters(make_pool):
    pool = make_pool("au")
    candidate = Candidate("box", 1, part="exact")
    found = make_solver(fold_pools.fold_pool(pool, FOLDS), 0, exactly=True).solve(candidate, (1,), HEADS)
    some = pool.select([0, 3, 4, 5])
    blended = combine.scores(some, found.weights.tolist(), "box", 1)[some.known_truth.rows]
    np.testing.assert_array_equal(
        found.thresholds, threshold.best(blended, some.known_truth.values.astype(np.uint8))[0]
    )


def test_the_average_of_solutions():
    one = Solution(np.zeros((2, 3)), thresholds=np.array([0.1, 0.2, 0.3]))
    two = Solution(np.ones((2, 3)), thresholds=np.array([0.3, 0.2, 0.9]))
    mean = average([one, two])
    np.testing.assert_array_equal(mean.weights, np.full((2, 3), 0.5))
    np.testing.assert_allclose(mean.thresholds, [0.2, 0.2, 0.6])
    assert mean.bias is None and mean.sure is None
