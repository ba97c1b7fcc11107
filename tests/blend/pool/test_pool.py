"""The border: what comes in is checked and aligned; selecting videos is as if the others had never been there."""

import numpy as np
import pytest

from blend.pool import pool as pools
from extract.runtime.errors import InputError
from heads.abaw import test_list
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data.predictions import Predictions

VA = TASKS["va"]
PRIOR = np.array([0.1, -0.2], np.float32)


def annotation(video, length, invalid=()):
    valid = np.ones(length, bool)
    valid[list(invalid)] = False
    values = np.linspace(-1, 1, 2 * length, dtype=np.float32).reshape(length, 2) * valid[:, None]
    return Annotation(video, values, valid)


def made(**videos):
    rng = np.random.default_rng(len(videos))
    return Predictions(
        VA.outputs,
        {
            video: (np.array(frames, np.int32), rng.uniform(-1, 1, (len(frames), 2)).astype(np.float32))
            for video, frames in sorted(videos.items())
        },
    )


def test_a_timeline_is_as_long_as_the_annotation_or_the_last_prediction():
    found = {"h": made(a=[1, 3], b=[2, 6])}
    pool = pools.for_validation(VA, found, {"b": annotation("b", 4, [0]), "a": annotation("a", 5)}, PRIOR)
    assert pool.videos == ("a", "b")
    assert pool.offsets.tolist() == [0, 5, 11]
    assert pool.known_truth.rows.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert pool.video_of.tolist() == [0] * 5 + [1] * 3
    assert np.flatnonzero(pool.present).tolist() == [0, 2, 6, 10]
    np.testing.assert_array_equal(pool.scores[0, 0], found["h"].videos["a"][1][0])


def test_a_video_without_a_face_takes_the_prior_and_is_named():
    pool = pools.for_validation(VA, {"h": made(a=[1])}, {"a": annotation("a", 2), "b": annotation("b", 3)}, PRIOR)
    assert pool.without_face == ("b",)
    np.testing.assert_array_equal(pool.scores[0, 2:], np.tile(PRIOR, (3, 1)))


def test_the_order_of_heads_and_videos_does_not_matter():
    annotations = {"a": annotation("a", 4), "b": annotation("b", 4)}
    one, two = made(a=[1, 4], b=[2]), made(a=[1, 4], b=[2])
    first = pools.for_validation(VA, {"x": one, "y": two}, annotations, PRIOR)
    second = pools.for_validation(VA, {"y": two, "x": one}, dict(reversed(annotations.items())), PRIOR)
    assert first.heads == second.heads == ("x", "y")
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.known_truth.rows, second.known_truth.rows)


def test_heads_with_other_videos_are_refused():
    annotations = {"a": annotation("a", 4), "b": annotation("b", 4)}
    with pytest.raises(InputError, match="head 'y' lack the video 'b', which head 'x' has"):
        pools.for_validation(VA, {"x": made(a=[1], b=[1]), "y": made(a=[1])}, annotations, PRIOR)
    with pytest.raises(InputError, match="head 'x': the video 'c' has no annotation"):
        pools.for_validation(VA, {"x": made(a=[1], c=[1])}, annotations, PRIOR)
    with pytest.raises(InputError, match="no head has made predictions"):
        pools.for_validation(VA, {}, annotations, PRIOR)
    with pytest.raises(InputError, match="not one validly annotated frame"):
        pools.for_validation(VA, {"x": made(a=[1])}, {"a": annotation("a", 2, [0, 1])}, PRIOR)


def test_listed_videos_without_predictions_have_no_face_and_unlisted_ones_are_refused(tmp_path):
    listed = test_list.from_lengths({"a": 3, "b": 2, "c": 1}, VA, tmp_path / "list.txt")
    pool = pools.for_test(VA, {"x": made(a=[1, 5])}, listed, PRIOR)
    assert pool.offsets.tolist() == [0, 5, 7, 8]
    assert pool.without_face == ("b", "c")
    assert pools.for_test(VA, {"x": made(a=[1])}, listed, PRIOR).without_face == ("b", "c")
    with pytest.raises(InputError, match=r"the video 'z' is not in .*list\.txt"):
        pools.for_test(VA, {"x": made(z=[1])}, listed, PRIOR)
    with pytest.raises(ValueError, match="no truth"):
        _ = pool.known_truth


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_selected_videos_are_a_pool_of_their_own(make_pool, name):
    pool = make_pool(name)
    part = pool.select([1, 4])
    assert part.videos == ("video01", "video04")
    for new, old in enumerate([1, 4]):
        np.testing.assert_array_equal(
            part.scores[:, part.offsets[new] : part.offsets[new + 1]],
            pool.scores[:, pool.offsets[old] : pool.offsets[old + 1]],
        )
        np.testing.assert_array_equal(
            part.known_truth.values[part.video_of == new], pool.known_truth.values[pool.video_of == old]
        )
        np.testing.assert_array_equal(
            part.known_truth.rows[part.video_of == new] - part.offsets[new],
            pool.known_truth.rows[pool.video_of == old] - pool.offsets[old],
        )


def test_other_peoples_heads_must_have_the_videos_of_all_but_ours_may_lack_a_face():
    annotations = {"a": annotation("a", 4), "b": annotation("b", 4)}
    whole, part = made(a=[1], b=[2]), made(a=[1])
    pool = pools.for_validation(VA, {"ours": part, "theirs": whole}, annotations, PRIOR, external=["theirs"])
    assert pool.without_face == () and pool.count_gaps(np.arange(8)) == {"ours": 7, "theirs": 6}
    np.testing.assert_array_equal(pool.scores[0, 4:], np.tile(PRIOR, (4, 1)))
    with pytest.raises(InputError, match="head 'theirs' lack the video 'b', which head 'ours' has; give it at least"):
        pools.for_validation(VA, {"ours": whole, "theirs": part}, annotations, PRIOR, external=["theirs"])
    with pytest.raises(InputError, match="head 'x' lack the video 'b', which head 'y' has"):
        pools.for_validation(VA, {"x": part, "y": whole}, annotations, PRIOR, external=["x", "y"])
    with pytest.raises(InputError, match="head 'x' lack the video 'b', which head 'y' has; make them anew"):
        pools.for_validation(VA, {"x": part, "y": whole, "z": whole}, annotations, PRIOR, external=["z"])


def test_predictions_far_behind_a_videos_end_are_another_videos(tmp_path):
    with pytest.raises(InputError, match="video 'a' frame 1009, but the video ends at frame 4"):
        pools.for_validation(VA, {"x": made(a=[1, 1009])}, {"a": annotation("a", 4)}, PRIOR)
    assert pools.for_validation(VA, {"x": made(a=[1, 1008])}, {"a": annotation("a", 4)}, PRIOR).offsets[-1] == 1008


def test_filled_frames_are_counted_per_head_and_selected_with_their_videos():
    annotations = {"a": annotation("a", 4), "b": annotation("b", 3)}
    found = {"x": made(a=[1, 2], b=[1, 2, 3]), "y": made(a=[4], b=[2])}
    pool = pools.for_validation(VA, found, annotations, PRIOR)
    assert pool.count_gaps(np.arange(7)) == {"x": 2, "y": 5}
    assert pool.count_gaps(np.array([3, 5])) == {"x": 1, "y": 0}
    assert pool.select([1]).count_gaps(np.arange(3)) == {"x": 0, "y": 2}
    np.testing.assert_array_equal(pool.present, pool.coverage.all(0))
