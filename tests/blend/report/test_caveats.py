"""Each worry appears where its cause is, and nowhere else."""

import copy

import pytest

from blend.report import pointers
from blend.report.caveats import list_caveats


@pytest.fixture
def calm():
    """A report without anything to worry about."""
    outputs = {name: {"rate": 0.2, "videos": 9} for name in ("AU1", "AU2", "AU4")}
    return {
        "task": "au",
        "interval": [0.48, 0.54],
        "optimism": 0.01,
        "select": "cross_fitted",
        "submitted": 0.52,
        "searched": 0.53,
        "expected": 0.51,
        "cross_fitted": {"pooled": 0.51},
        "baselines": {"mlp": {"cross_fitted": 0.49}, "equal": {"cross_fitted": 0.5}},
        "ways": {"cross_fitted": {"cross_fitted": 0.51}, "tuned": {"cross_fitted": 0.5}},
        "k": 5,
        "score_against_k": {"k": [0, 5, 10], "score": [0.1, 0.2, 0.1]},
        "per_output": {"AU1": 0.5, "AU2": 0.5, "AU4": 0.4},
        "per_output_held_out": {"AU1": 0.5, "AU2": 0.5, "AU4": 0.4},
        "videos": [{"video": "a", "influence": -0.005}, {"video": "b", "influence": None}],
        "people": None,
        "alike": None,
        "unlabelled_test": None,
        "frames": {"filled": 4, "labelled": 100, "videos": 9, "people_known": False},
        "submission": {"filled": 5, "frames": 100},
        "data": {"train": {"outputs": copy.deepcopy(outputs)}, "validation": {"outputs": copy.deepcopy(outputs)}},
    }


def change(report, pointer, value):
    *path, last = pointer.split("/")[1:]
    for part in path:
        report = report[int(part) if isinstance(report, list) else part]
    report[int(last) if isinstance(report, list) else last] = value


def test_nothing_is_said_of_a_report_where_nothing_is_wrong(calm):
    assert list_caveats(calm) == []


@pytest.mark.parametrize(
    ("pointer", "value", "said"),
    [
        ("/interval/1", 0.7, "The interval is wide, 0.4800 to 0.7000: 9 validation videos"),
        ("/interval", None, "could not be estimated"),
        ("/optimism", 0.08, "scores 0.0800 more than on held-out ones"),
        (
            "/baselines/mlp/cross_fitted",
            0.51,
            "the leader is the head mlp alone, not the submitted blend (0.5100 against",
        ),
        (
            "/baselines/equal/cross_fitted",
            0.6,
            "is equal weights, not the submitted blend (0.6000 against 0.5100): choos",
        ),
        (
            "/ways/tuned/cross_fitted",
            0.55,
            'is the other way to a blend (select = "tuned"), not the submitted blend (0.55',
        ),
        ("/k", 10, "k = 10 is the widest that was tried"),
        ("/videos/0/influence", -0.05, "pull the score down: a (-0.0500)"),
        ("/per_output_held_out/AU4", 0.05, "Far below the others: AU4 (0.0500)"),
        ("/data/validation/outputs/AU2/videos", 2, "fewer than 3 validation videos, so hardly tested: AU2 (2)"),
        ("/frames/filled", 6, "6 of 100 annotated validation frames have no face"),
        ("/submission/filled", 6, "6 of 100 submitted frames"),
        ("/data/validation/outputs/AU2/rate", 0.5, "AU2 (0.2000 of the frames in train, 0.5000 in validation)"),
    ],
)
def test_each_cause_is_said_and_nothing_else(calm, pointer, value, said):
    change(calm, pointer, value)
    found = [pointers.plain(line, calm) for line in list_caveats(calm)]
    assert len(found) == 1 and said in found[0], found


def test_a_report_of_one_video_still_says_what_it_can(calm):
    calm |= {"interval": None, "optimism": None, "cross_fitted": None, "expected": None, "per_output_held_out": None}
    calm["baselines"]["mlp"]["cross_fitted"] = None
    calm["baselines"]["equal"]["cross_fitted"] = None
    calm["ways"] = {"tuned": {"cross_fitted": None}}
    calm["k"] = [1, 2, 3]
    assert len(list_caveats(calm)) == 1
    calm["per_output"] = {"AU1": None}
    assert len(list_caveats(calm)) == 1
