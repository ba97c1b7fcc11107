"""Points, Optuna's parameters and params.json tell the same."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from blend.calibrate import threshold
from blend.config import BlendSettings
from blend.decision import combine
from blend.decision.params import Params
from blend.search import search
from blend.search.objective import Point
from blend.search.space import attributes, make_space

OPTIONS = [
    ("au", {}, {"w head0", "w head1", "w head2", "k"}),
    ("au", {"thresholds": "search", "kernels": ["box", "median"]}, {"kernel", "threshold AU1", "threshold AU26"}),
    ("expr", {"bias": "auto", "filter": "auto"}, {"w head0", "w head1", "w head2", "k"}),
    ("expr", {"bias": "prior", "filter": "head2"}, {"tau", "sure"}),
    ("expr", {"bias": "free"}, {"bias Neutral", "bias Other"}),
    ("va", {"scale": True}, {"w head0", "w head1", "w head2", "k"}),
]


@pytest.mark.parametrize(("name", "options", "names"), OPTIONS)
def test_a_start_is_a_point_where_nothing_optional_acts(make_pool, name, options, names):
    pool = make_pool(name)
    space = make_space(pool, BlendSettings(select="tuned", **options))
    distributions = space.distributions()
    assert names <= set(distributions) and (options or names == set(distributions))
    chosen = space.start([0.5, 0.5, 0.0], 3)
    assert set(chosen) == set(distributions)
    assert all(distributions[key]._contains(distributions[key].to_internal_repr(chosen[key])) for key in chosen)
    point = space.point(chosen)
    assert point.weights == (0.5, 0.5, 0.0) and point.k == 3 and point.kernel == "box"
    made = space.complete(point)
    assert Params.from_json(json.loads(json.dumps(made.as_json()))) == made
    if name == "expr":
        plain = combine.combine(pool, Params(name, pool.task.outputs, pool.heads, (0.5, 0.5, 0.0), "box", 3))
        np.testing.assert_array_equal(combine.combine(pool, made), plain)


def test_points_with_lists_survive_the_study(make_pool):
    pool = make_pool("expr")
    point = Point(
        ((0.5,) * 8, (0.25,) * 8, 0.25), "box", tuple(range(8)), None, 0.5, tuple(0.1 * i for i in range(8)), 0.9
    )
    stored = SimpleNamespace(params={}, user_attrs=json.loads(json.dumps(attributes(point))))
    assert make_space(pool, BlendSettings()).of(stored) == point


@pytest.mark.parametrize("rule", ["exact", "fixed", "bootstrap", "pulled", "plug-in"])
def test_thresholds_follow_the_rule(make_pool, rule):
    pool = make_pool("au")
    made = search.params(pool, (0.2, 0.3, 0.5), "box", 2, BlendSettings(thresholds=rule))
    blended, truth = combine.scores(pool, made.weights, "box", 2)[pool.known_truth.rows], pool.known_truth.values
    best, reached = threshold.best(blended, truth)
    if rule == "exact":
        np.testing.assert_array_equal(made.thresholds, best)
    if rule == "fixed":
        assert set(made.thresholds) == {0.5}
    f1 = threshold.f1_at(blended, truth, np.array(made.thresholds))
    assert (f1 <= reached + 1e-12).all()
    np.testing.assert_allclose(
        f1, pool.task.per_output(pool.known_truth.values, combine.combine(pool, made)[pool.known_truth.rows])
    )


@pytest.mark.parametrize(("scale", "shift"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kernel", ["box", "median"])
def test_moments_are_matched_on_the_pool(make_pool, scale, shift, kernel):
    pool = make_pool("va")
    settings = BlendSettings(scale=scale, shift=shift)
    made = search.params(pool, (0.2, 0.3, 0.5), kernel, 3, settings)
    blend = combine.scores(pool, made.weights, kernel, 3)[pool.known_truth.rows].astype(float)
    moved = np.array(made.scale) * blend + np.array(made.shift)
    truth = pool.known_truth.values
    np.testing.assert_allclose(moved.std(0), truth.std(0) if scale else blend.std(0), rtol=1e-4)
    np.testing.assert_allclose(moved.mean(0), truth.mean(0) if shift else blend.mean(0), atol=1e-5)
    from blend.search import objective

    space = make_space(pool, settings)
    parts = objective.make(pool, space.extras).parts(Point((0.2, 0.3, 0.5), kernel, 3))
    np.testing.assert_allclose(parts, pool.task.per_output(truth, moved.astype(np.float32)), atol=1e-5)
