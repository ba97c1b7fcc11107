"""The published curves are those that the recipe records."""

import re
from pathlib import Path

import pytest

from blend import published

RECIPE = Path(__file__).parents[3] / "shared" / "recipe.md"


def test_they_are_shown_for_aff_wild2_alone():
    assert published.curves("affwild2", "au") and published.curves("Aff-Wild2_val", "expr")
    assert published.curves("demo", "va") == {}


def test_they_peak_where_the_papers_do():
    best = {
        task: max(curves[published.SINGLE].items(), key=lambda kv: kv[1]) for task, curves in published.CURVES.items()
    }
    assert best == {"au": (3, 0.5457), "expr": (50, 0.42367), "va": (50, 0.54277)}
    assert max(published.CURVES["au"][published.BLEND].items(), key=lambda kv: kv[1]) == (5, 0.5539)


def in_order(scores, numbers):
    """Whether the scores are among the numbers, in this order."""
    rest = iter(numbers)
    return all(any(abs(score - number) < 1e-9 for number in rest) for score in scores)


@pytest.mark.parametrize("task", list(published.CURVES))
def test_each_is_a_recorded_row_in_the_order_of_k(task):
    if not RECIPE.exists():
        pytest.skip("the recipe is not there")
    text = RECIPE.read_text()
    part = text[text.index("# 5. Recorded validation numbers") : text.index("# 6. ")].replace("*", "")
    rows = [[float(number) for number in re.findall(r"(?<![\d.])\.\d{3,5}", line)] for line in part.splitlines()]
    for curve in published.CURVES[task].values():
        ks, scores = sorted(curve), [curve[k] for k in sorted(curve)]
        assert ks == list(curve)
        smoothed = scores[1:] if task == "va" else scores  # va's score before smoothing stands in another row
        assert any(in_order(smoothed, row) for row in rows), (task, curve)
        assert any(in_order(scores[:1], row) for row in rows)
