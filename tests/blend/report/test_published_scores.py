"""The published curves are those that the recipe records."""

import re
from pathlib import Path

import pandas as pd
import pytest

from blend.report import published_scores

RECIPE = Path(__file__).parents[4] / "shared" / "recipe.md"


FRAMES = Path(__file__).parents[4] / "shared" / "data" / "affwild2_frames" / "frames.parquet"
NAMES = ["10-60-1280x720_right", "122-60-1920x1080-1", "102", "video10_1_left", "video5"]


def official(task):
    """Names and number of frames like those of the official validation part."""
    videos, frames = published_scores.VALIDATION[task]
    return [*NAMES, *(str(500 + i) for i in range(videos - len(NAMES)))], frames


def test_they_are_shown_for_aff_wild2s_validation_videos_alone():
    for task in published_scores.CURVES:
        videos, frames = official(task)
        assert published_scores.curves(task, videos, frames) is published_scores.CURVES[task]
        assert published_scores.curves(task, videos, round(frames * 1.005)), "another release"
        assert published_scores.curves(task, videos[:-1], frames) == {}, "a part of them"
        assert published_scores.curves(task, [*videos, "501_left"], frames) == {}
        assert published_scores.curves(task, videos, round(frames * 0.5)) == {}, "every second frame"
        assert published_scores.curves(task, ["album_7", *videos[1:]], frames) == {}
        assert published_scores.curves(task, [str(i) for i in range(len(videos))], frames) == {}, "numbered"
        assert published_scores.curves(task, [], 0) == {}


def test_every_name_of_aff_wild2_has_an_official_form():
    if not FRAMES.exists():
        pytest.skip("the frame index of Aff-Wild2 is not there")
    names = pd.read_parquet(FRAMES, columns=["video"])["video"].unique()
    assert len(names) == 594 and all(published_scores.NAME.fullmatch(name) for name in names)


def test_they_peak_where_the_papers_do():
    best = {
        task: max(curves[published_scores.SINGLE].items(), key=lambda kv: kv[1])
        for task, curves in published_scores.CURVES.items()
    }
    assert best == {"au": (3, 0.5457), "expr": (50, 0.42367), "va": (50, 0.54277)}
    assert max(published_scores.CURVES["au"][published_scores.BLEND].items(), key=lambda kv: kv[1]) == (5, 0.5539)


def in_order(scores, numbers):
    """Whether the scores are among the numbers, in this order."""
    rest = iter(numbers)
    return all(any(abs(score - number) < 1e-9 for number in rest) for score in scores)


@pytest.mark.parametrize("task", list(published_scores.CURVES))
def test_each_is_a_recorded_row_in_the_order_of_k(task):
    if not RECIPE.exists():
        pytest.skip("the recipe is not there")
    text = RECIPE.read_text()
    part = text[text.index("# 5. Recorded validation numbers") : text.index("# 6. ")].replace("*", "")
    rows = [[float(number) for number in re.findall(r"(?<![\d.])\.\d{3,5}", line)] for line in part.splitlines()]
    for curve in published_scores.CURVES[task].values():
        ks, scores = sorted(curve), [curve[k] for k in sorted(curve)]
        assert ks == list(curve)
        smoothed = scores[1:] if task == "va" else scores  # va's score before smoothing stands in another row
        assert any(in_order(smoothed, row) for row in rows), (task, curve)
        assert any(in_order(scores[:1], row) for row in rows)
