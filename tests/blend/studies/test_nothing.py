"""Heads that know nothing: the pools, the rows, the command."""

import numpy as np
import pytest

from blend.studies import nothing


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_the_heads_know_nothing(task):
    pool = nothing.draw(task, 200, np.random.default_rng(1))
    assert pool.scores.shape == (5, 200 * nothing.FRAMES, len(pool.task.outputs)) and len(pool.videos) == 200
    found = []
    for c in range(len(pool.task.outputs)):
        truth = pool.known_truth.values == c if task == "expr" else pool.known_truth.values[:, c]
        found += [np.corrcoef(truth, scores)[0, 1] for scores in pool.scores[:, :, c]]
    assert abs(np.mean(found)) < 0.03 and np.abs(found).max() < 0.15, "as chance has it in about 500 free frames"
    if task == "au":
        np.testing.assert_allclose(pool.known_truth.values.mean(0), nothing.RATE, atol=0.04)
    again = nothing.draw(task, 200, np.random.default_rng(1))
    np.testing.assert_array_equal(pool.scores, again.scores)


def test_a_row_is_a_mean_and_its_standard_error():
    found = [
        {"held": 0.1, "test": 0.05, "k": 1.0},
        {"held": None, "test": 0.01, "k": 4.0},
        {"held": 0.03, "test": 0.0, "k": 2.0},
    ]
    row = nothing.row("va", 10, "auto", found)
    errors = np.array([0.05, -0.01, 0.03])
    assert row["error"] == pytest.approx(errors.mean()) and row["se"] == pytest.approx(errors.std(ddof=1) / 3**0.5)
    assert row["k"] == 2 and not row["holds"], "within two standard errors, but larger than .01"
    small = [{"held": value, "test": 0.0, "k": 0.0} for value in (0.004, 0.006, 0.005)]
    assert not nothing.row("va", 10, "auto", small)["holds"], "small, but beyond two standard errors"
    assert nothing.row("va", 10, "auto", [*small, {"held": -0.01, "test": 0.0, "k": 0.0}])["holds"]


def test_draws_are_kept_and_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nothing, "VIDEOS", (4,))
    monkeypatch.setattr(nothing, "FRESH", 8)
    out = tmp_path / "out.jsonl"
    rows = nothing.main(["va"], 2, 1, 1, out)
    assert [(row["task"], row["videos"], row["settings"], row["draws"]) for row in rows] == [
        ("va", 4, "default", 2),
        ("va", 4, "auto", 2),
    ]
    monkeypatch.setattr(nothing, "measure_draw", None)  # nothing is made again
    assert nothing.main(["va"], 2, 1, 1, out) == rows
    nothing.command("va", draws=2, workers=1, out=out, as_markdown=True)
    shown = capsys.readouterr().out
    assert shown.count("| va, 4 |") == 2 and f"{rows[0]['error']:+.4f}" in shown
