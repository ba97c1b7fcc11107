"""A pair of draws, and everything that is measured on it."""

import numpy as np
import pytest

from blend.config import BlendSettings
from blend.decision import combine
from blend.decision.params import Params
from blend.studies import draw
from blend.studies.simulation import population
from blend.studies.simulation.measure import PARTS, PLAIN_WAY, WAYS, measure


def test_sizes_are_spread_evenly_however_many_pairs_there_are():
    for size, (low, high) in (("fewest", (6, 15)), ("few", (20, 70))):
        for pairs in (10, 100):
            videos = [draw.videos_of("va", size, number) for number in range(pairs)]
            assert min(videos) >= low and max(videos) <= high
            assert abs(np.mean(videos) - (low + high) / 2) < 0.08 * (high - low)
    assert {draw.videos_of("va", "official", number) for number in range(9)} == {76}


def test_a_pair_goes_both_ways_round_and_repeats_itself():
    both = draw.pair("va", "fewest", "same", 0, 1, 12)
    one, other = both
    assert one != other and one["videos"] == other["videos"] == 6
    for result in both:
        assert set(result["test"]) == {"same", "shift", "half", "triple"}
        assert all(set(scores) == set(WAYS) for scores in result["test"].values())
        for way in ("tuned", "cross_fitted"):
            said = result["said"][way]
            assert said["own"] > said["held"] and said["interval"][0] < said["held"] < said["interval"][1]
    again = draw.pair("va", "fewest", "people", 1, 1, 12)  # not one of EVERY: no search inside the folds
    assert again == draw.pair("va", "fewest", "people", 1, 1, 12) != draw.pair("va", "fewest", "people", 1, 2, 12)
    result = again[0]
    assert set(result["test"]) == {"people"} and result["said"]["tuned"]["held"] is None
    assert result["said"]["cross_fitted"]["held"] is not None


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_kinds_of_test_are_of_the_other_set(task):
    made = draw._sets(task, "fewest", "same", 5, 1, 0)
    own, triple = made["validation"], made["triple"]
    assert made["same"] is own and len(triple.videos) == 3 * len(own.videos)
    assert len(made["half"].videos) == max(draw.FEWEST, len(own.videos) // 2)
    np.testing.assert_array_equal(triple.scores[:, : own.offsets[-1]], own.scores)
    assert made["shift"].scores.shape[1] > 0 and made["shift"].videos == own.videos
    assert all(population.shows_all_labels(one) for one in made.values())


def test_further_test_sets_share_no_video_with_validation_or_its_first_test_set():
    sets = [draw._sets("va", "fewest", "same", 5, 1, which) for which in range(2)]
    videos = len(sets[0]["validation"].videos)
    further = [pool for made in sets for pool in draw._later_thirds(made)]
    assert 0 < len(further) <= 4 and all(len(pool.videos) == videos for pool in further)
    for pool in further:
        starts = {pool.scores[0, pool.offsets[v] : pool.offsets[v] + 20, 0].tobytes() for v in range(videos)}
        own = {
            made["validation"].scores[0, o : o + 20, 0].tobytes()
            for made in sets
            for o in made["validation"].offsets[:-1]
        }
        assert len(starts) == videos and not starts & own
    both = draw.pair("va", "fewest", "same", 5, 1, 12)
    assert [len(result["further"]["same"]) for result in both] == [len(further)] * 2
    assert draw.pair("va", "fewest", "people", 1, 1, 12)[0]["further"] == {}


def test_every_way_scores_what_its_params_decide():
    """Against scores that are reckoned here, for the ways whose params are known beforehand."""
    rng = np.random.default_rng(4)
    validation, test = (population.draw("au", 8, rng) for _ in range(2))
    settings = BlendSettings(trials=12, k_max=3, draws=100, folds=3, select_folds=3)
    found = measure(validation, {"one": test, "two": validation}, settings, 0, False, True, {"one": [validation, test]})
    assert found["further"] == {"one": [found["test"][name]["cross_fitted"] for name in ("two", "one")]}
    plain = Params("au", test.task.outputs, test.heads, (1 / 6,) * 6)
    assert found["test"]["one"][PLAIN_WAY] == test.score(combine.combine(test, plain))
    assert found["test"]["two"]["tuned"] == found["said"]["tuned"]["own"], "its own videos"
    assert found["test"]["two"]["cross_fitted"] == found["said"]["cross_fitted"]["own"]
    alone = {}
    for k in (0, 1, 2, 3):
        params = Params("au", test.task.outputs, test.heads, (1 / 6,) * 6, "box", k)
        alone[k] = validation.score(combine.combine(validation, params))
    assert found["said"]["smoothed"]["own"] in [pytest.approx(one, abs=1e-6) for one in alone.values()]
    assert found["said"]["equal"]["own"] > max(alone.values()), "its thresholds are tuned"
    assert found["best_head"] in validation.heads and found["said"]["best_head"]["held"] is not None
    assert {name.removeprefix("part ") for name in found["test"]["one"] if name.startswith("part ")} == set(PARTS["au"])


def test_one_person_cannot_be_measured():
    pool = population.draw("va", 4, np.random.default_rng(0), population.PEOPLE)
    with pytest.raises(ValueError, match="cannot be cross-fitted"):
        measure(pool, {"same": pool}, BlendSettings(trials=12, k_max=2, draws=100), 0, folded=False)
