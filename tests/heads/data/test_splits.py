from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import splits


def names(videos: int) -> list[str]:
    return [f"v{i}" for i in range(videos)]


@pytest.mark.parametrize("task", TASKS)
def test_label_counts_against_a_loop(task: str) -> None:
    rng = np.random.default_rng(0)
    video = np.sort(rng.integers(0, 5, 200)).astype(np.int32)
    truth = {
        "au": rng.integers(0, 2, (200, 12)).astype(np.uint8),
        "expr": rng.integers(0, 8, 200).astype(np.int8),
        "va": rng.uniform(-1, 1, (200, 2)).astype(np.float32),
    }[task]
    counts = splits.label_counts(truth, video, 5, TASKS[task])
    for v in range(5):
        here = truth[video == v]
        if task == "au":
            naive = here.sum(0)
        elif task == "expr":
            naive = [(here == c).sum() for c in range(8)]
        else:
            naive = [np.histogram(here[:, i], np.linspace(-1, 1, 6))[0] for i in range(2)]
        np.testing.assert_array_equal(counts[v], np.ravel(naive))


def test_the_same_seed_chooses_the_same_videos_and_about_a_fifth() -> None:
    rng = np.random.default_rng(1)
    counts, frames = rng.integers(0, 50, (30, 8)), rng.integers(100, 200, 30)
    first = splits.dev_videos(counts, frames, seed=3)
    np.testing.assert_array_equal(first, splits.dev_videos(counts, frames, seed=3))
    assert (first != splits.dev_videos(counts, frames, seed=4)).any()
    assert first.sum() == 6


def test_a_label_that_two_videos_show_is_on_both_sides() -> None:
    for seed in range(20):
        counts = np.zeros((20, 3), int)
        counts[:, 0] = 50
        counts[[4, 11], 1] = 9  # two videos only
        counts[7, 2] = 9  # one video: nothing can be done
        dev = splits.dev_videos(counts, np.full(20, 60), seed)
        assert 0 < counts[dev, 1].sum() < 18


def test_the_slice_resembles_the_whole_more_than_random_draws_do() -> None:
    rng = np.random.default_rng(2)
    frames = rng.integers(50, 400, 40)
    counts = rng.dirichlet(np.full(8, 0.3), 40) * frames[:, None]
    rates = counts.sum(0) / frames.sum()

    def off(dev: np.ndarray) -> float:
        return float(np.abs(counts[dev].sum(0) / frames[dev].sum() - rates).sum())

    random = [off(rng.permutation(40) < 8) for _ in range(50)]
    assert off(splits.dev_videos(counts, frames, 0)) < np.quantile(random, 0.1)


def test_videos_without_labelled_frames_are_never_chosen_and_one_video_is_not_split() -> None:
    frames = np.array([0, 30, 0, 30, 30])
    for seed in range(10):
        dev = splits.dev_videos(np.ones((5, 2)) * frames[:, None], frames, seed)
        assert dev.sum() == 1 and not dev[[0, 2]].any()
    assert not splits.dev_videos(np.ones((2, 2)), np.array([0, 9]), 0).any()
    assert not splits.dev_videos(np.empty((0, 2)), np.empty(0, int), 0).any()


@pytest.mark.parametrize(("videos", "count"), [(6, 5), (3, 5), (12, 4), (1, 2)])
def test_folds_hold_every_video_once_and_only_known_videos_make_folds(videos: int, count: int) -> None:
    rng = np.random.default_rng(3)
    content = rng.uniform(1, 50, (videos, 4))
    folds = splits.folds(names(videos), content, np.ones(videos, bool), count, seed=0)
    assert len(folds) == min(videos, count)
    assert sorted(v for fold in folds for v in fold) == list(range(videos))
    assert folds == splits.folds(names(videos), content, np.ones(videos, bool), count, seed=0)
    known = np.arange(videos) == 0
    assert splits.folds(names(videos), content, known, count, seed=0) == [list(range(videos))]
    assert splits.folds(names(videos), content, np.zeros(videos, bool), count, seed=0) == []


@pytest.mark.parametrize(
    ("videos", "numbers"),
    [
        (["x_left", "x_right"], [0, 0]),
        (["x", "x_1", "x_left"], [0, 1, 0]),
        (["x_right", "y", "x", "x_left"], [0, 1, 0, 0]),
        (["x_left", "y_left", "y_right"], [0, 1, 1]),
        (["x_left", "y_right", "left", "x", "_left", "_right"], [0, 1, 2, 0, 3, 3]),
        (["x_left", "xx_right", "x_lefts", "x_leftx_left"], [0, 1, 2, 3]),
        ([], []),
    ],
)
def test_two_sides_are_one_recording_where_both_or_the_whole_are_there(videos: list[str], numbers: list[int]) -> None:
    assert splits.recordings(videos).tolist() == numbers


@pytest.mark.parametrize("side", ["_left", ""])
def test_sides_of_one_recording_stay_together_and_weigh_what_they_are(side: str) -> None:
    rng = np.random.default_rng(7)
    frames, content = rng.integers(100, 200, 12), rng.integers(0, 50, (12, 4))
    frames[[3, 9]] = 0  # a side without a label, and a whole recording
    frames[4] = 0
    content[frames == 0] = 0
    videos = [f"r{i // 2}{'_right' if i % 2 else side}" if i < 8 else f"r{i}{side}" for i in range(12)]
    whole = [[0, 1], [2, 3], [4, 5], [6, 7], [8], [9], [10], [11]]
    once = np.array([content[some].sum(0) for some in whole]), np.array([frames[some].sum() for some in whole])
    for seed in range(10):
        made = splits.folds(videos, np.column_stack([frames, content]), frames > 0, 3, seed)
        apart = splits.folds(names(8), np.column_stack([once[1], once[0]]), once[1] > 0, 3, seed)
        assert made == sorted(sorted(v for i in fold for v in whole[i]) for fold in apart)
    assert splits.folds(["x_left", "x_right"], np.ones((2, 2)), np.ones(2, bool), 5, 0) == [[0, 1]]


def test_videos_without_another_side_are_split_as_they_were_before_sides_were_known() -> None:
    rng = np.random.default_rng(0)
    counts, frames = rng.integers(0, 50, (12, 4)), rng.integers(100, 200, 12)
    counts[5], frames[5] = 0, 0
    content = np.column_stack([frames, counts]).astype(float)
    for videos in (names(12), [f"v{i}_left" for i in range(12)]):
        for seed in range(2):
            made = splits.folds(videos, content, frames > 0, 4, seed)
            assert made == [[0, 8, 9], [1, 4, 6], [2, 5, 7], [3, 10, 11]]


@pytest.mark.parametrize("task", TASKS)
def test_folds_of_annotations_hold_whole_recordings(tiny: Any, task: str) -> None:
    annotations = read.read_folder(tiny.folder / task / "train", TASKS[task])
    annotations["t3_left"], annotations["t3_right"] = annotations.pop("t1"), annotations.pop("t3")
    for seed in range(5):
        made = splits.fold_numbers(annotations, TASKS[task], 99, seed)
        assert len(made) == 5 and ["t3_left", "t3_right"] in made


@pytest.mark.parametrize("task", TASKS)
def test_folds_of_annotated_videos_do_not_hang_on_features_or_order(tiny: Any, task: str) -> None:
    annotations = read.read_folder(tiny.folder / task / "train", TASKS[task])
    annotations["t2"] = Annotation("t2", annotations["t2"].values, np.zeros(len(annotations["t2"].valid), bool))
    made = splits.fold_numbers(annotations, TASKS[task], 3, seed=1)
    assert sorted(video for fold in made for video in fold) == sorted(annotations) and len(made) == 3
    assert all(set(fold) - {"t2"} for fold in made), "an annotated video in each"
    assert splits.fold_numbers(dict(reversed(annotations.items())), TASKS[task], 3, seed=1) == made
    assert len(splits.fold_numbers(annotations, TASKS[task], 99, seed=1)) == 5


def before(counts: Any, frames: Any, seed: int, share: float = 0.2, draws: int = 200) -> Any:
    """dev_videos as it was before people were known."""
    usable, chosen = np.flatnonzero(frames > 0), np.zeros(len(frames), bool)
    if len(usable) < 2:
        return chosen
    counts, sizes = counts[usable], frames[usable].astype(np.float64)
    both, rates = (counts > 0).sum(0) >= 2, counts.sum(0) / sizes.sum()
    rng, size = np.random.default_rng(seed), min(max(1, round(share * len(usable))), len(usable) - 1)
    found: list[tuple[float, Any]] = []
    for _ in range(draws):
        draw = rng.permutation(len(usable))[:size]
        dev = counts[draw].sum(0)
        lacking = (both & ((dev == 0) | (dev == counts.sum(0)))).sum()
        off = np.abs(dev / sizes[draw].sum() - rates).sum() + abs(sizes[draw].sum() / sizes.sum() - share)
        found.append((1000.0 * lacking + off, draw))
    chosen[usable[min(found, key=lambda pair: pair[0])[1]]] = True
    return chosen


def test_without_people_the_dev_slice_is_that_of_before() -> None:
    rng = np.random.default_rng(11)
    for case in range(30):
        videos = int(rng.integers(0, 25))
        frames = rng.integers(0, 60, videos) * (rng.random(videos) < 0.8)
        counts = rng.integers(0, 9, (videos, 5)) * (frames > 0)[:, None]
        np.testing.assert_array_equal(splits.dev_videos(counts, frames, case), before(counts, frames, case))
        alone = np.arange(videos)  # people in one video each change nothing either
        np.testing.assert_array_equal(splits.dev_videos(counts, frames, case, of=alone), before(counts, frames, case))


def naive_groups(videos: list[str], people: dict[str, str] | None) -> list[set[str]]:
    """Merge whatever shares a recording or a person until nothing more does."""
    found = [{video} for video in videos]

    def tied(a: str, b: str) -> bool:
        same = splits.recording(a, videos) == splits.recording(b, videos)
        return same or (people is not None and a in people and people[a] == people.get(b))

    while True:
        pair = next(
            ((x, y) for i, x in enumerate(found) for y in found[:i] if any(tied(a, b) for a in x for b in y)), None
        )
        if pair is None:
            return found
        found = [one for one in found if one not in pair] + [pair[0] | pair[1]]


def test_groups_are_what_shares_a_recording_or_a_person_step_by_step() -> None:
    chain = ["x_left", "x_right", "y_left", "y_right", "z", "w"]
    told = {"x_left": "1", "x_right": "2", "y_left": "2", "y_right": "3", "z": "3"}
    assert splits.groups(chain, told).tolist() == [0, 0, 0, 0, 0, 1]
    assert splits.groups(chain).tolist() == splits.groups(chain, {}).tolist() == [0, 0, 1, 1, 2, 3]
    assert splits.groups(["b", "a"], {"a": "b"}).tolist() == [0, 1], "a person may be called as a video is"
    rng = np.random.default_rng(5)
    for _ in range(60):
        videos = [
            f"{'abcdef'[i // 3]}{('', '_left', '_right')[i % 3]}" for i in rng.permutation(18)[: rng.integers(1, 15)]
        ]
        people = {video: str(rng.integers(0, 8)) for video in videos if rng.random() < 0.7}
        for told in (people, None):
            numbers = splits.groups(videos, told)
            made = [{v for v, n in zip(videos, numbers, strict=True) if n == g} for g in range(numbers.max() + 1)]
            assert sorted(map(sorted, made)) == sorted(map(sorted, naive_groups(videos, told)))
            assert list(dict.fromkeys(numbers.tolist())) == list(range(numbers.max() + 1)), "in order of first videos"
        named = splits.name_groups(videos, people)
        some = [video for video in videos if rng.random() < 0.6]
        assert named is not None and set(named) == set(videos)
        whole = dict(zip(videos, splits.groups(videos, people).tolist(), strict=True))
        again = splits.groups(some, named).tolist()
        assert [again.index(n) for n in again] == [[whole[v] for v in some].index(whole[v]) for v in some]
    assert splits.name_groups(["a"], None) is None


def test_folds_and_dev_slices_hold_whole_people_and_resemble_the_whole() -> None:
    rng = np.random.default_rng(8)
    for seed in range(10):
        videos = names(30)
        people = {video: f"p{rng.integers(0, 9)}" for video in videos if rng.random() < 0.9}
        of = splits.groups(videos, people)
        frames = rng.integers(0, 80, 30)
        counts = rng.integers(0, 20, (30, 4)) * (frames > 0)[:, None]
        made = splits.folds(videos, np.column_stack([frames, counts]), frames > 0, 4, seed, people)
        assert sorted(v for fold in made for v in fold) == list(range(30)) and len(made) == 4
        assert sum(len(np.unique(of[fold])) for fold in made) == len(np.unique(of))
        dev = splits.dev_videos(counts, frames, seed, of=of)
        labelled = frames > 0
        assert not set(of[dev]) & set(of[~dev & labelled]) and dev.any() and not dev[~labelled].any()
        known = len(np.unique(of[labelled]))
        assert len(np.unique(of[dev])) == max(1, round(0.2 * known))
    assert not splits.dev_videos(np.ones((5, 2)), np.full(5, 9), 0, of=np.zeros(5, np.int64)).any(), "one person"
