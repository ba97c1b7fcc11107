"""Small panels: they say their numbers, and odd data do not stop them."""

from blend.report.html import charts_outputs


def test_a_threshold_panel_says_what_is_chosen_and_how_far_folds_differ():
    curves = {
        "cuts": [0.0, 0.5],
        "f1": {"AU1": [0.2, 0.6]},
        "f1_of_folds": [{"AU1": [0.1, 0.5]}, {"AU1": [0.3, 0.7]}],
        "found_without_fold": [[0.4], [0.55]],
    }
    svg = charts_outputs.threshold(0, "AU1", curves, 0.5, "AU1")
    assert "AU1: best F1 0.60; chosen threshold 0.50, from 0.40 to 0.55 over folds" in svg and "AU1 .50" in svg.replace(
        "  ", " "
    )
    alone = charts_outputs.threshold(0, "AU1", curves | {"f1_of_folds": [], "found_without_fold": []}, 0.5, "AU1")
    assert "over folds" not in alone


def test_reliability_of_a_single_bin_and_of_none():
    bins = {"predicted": [0.25], "observed": [1.0], "frames": [9], "error": 0.75}
    assert "predicted and observed 0.750" in charts_outputs.reliability(0, "AU1", bins, 0.0, "AU1")
    none = {"predicted": [0.0], "observed": [0.0], "frames": [0], "error": 0.0}
    assert charts_outputs.reliability(0, "AU1", none, 0.0, "AU1")


def test_density_draws_the_cells_that_hold_frames():
    svg = charts_outputs.density("truth", [[0, 4], [0, 1]], "valence", "arousal", True)
    assert svg.count("fill-opacity") == 1 and "5 frames" in svg  # the fullest cell is opaque


def test_balance_without_train_and_of_undefined_rates():
    svg = charts_outputs.balance([("AU1", None, 0.25), ("AU2", None, None)])
    assert "AU1 0.000 and 0.250" in svg
    assert "<path" in charts_outputs.histogram("valence", {"train": [0, 0], "validation": [1, 3]})
