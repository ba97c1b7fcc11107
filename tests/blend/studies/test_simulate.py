"""The simulation's population, draws and table; the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest

from blend import combine, search, simulate, simulate_draw, simulate_table
from blend import simulate_population as population

TASKS = ["au", "expr", "va"]
WIDTH = {"au": 2, "expr": 5, "va": 5}


@pytest.mark.parametrize("task", TASKS)
def test_sets_of_videos_are_whole_and_repeat_themselves(task):
    pool, again = (population.draw(task, 25, np.random.default_rng(3)) for _ in range(2))
    assert len(pool.videos) == 25 and pool.scores.shape[1] == pool.offsets[-1] == len(pool.known.rows)
    np.testing.assert_array_equal(pool.scores, again.scores)
    np.testing.assert_array_equal(pool.known.values, again.known.values)
    lengths = np.diff(pool.offsets)
    assert lengths.min() >= population.SHORTEST and lengths.max() <= population.LONGEST
    assert pool.scores.dtype == np.float32 and np.isfinite(pool.scores).all()
    values = pool.known.values
    if task == "au":
        assert values.dtype == np.uint8 and values.any(0).all() and (pool.scores >= 0).all()
    elif task == "expr":
        assert values.dtype == np.int8 and set(values) == set(range(8))
        np.testing.assert_allclose(pool.scores.sum(2), 1, atol=1e-5)
    else:
        assert values.dtype == np.float32 and np.abs(values).max() <= 1 and np.abs(pool.scores).max() <= 1


@pytest.mark.parametrize(
    ("task", "level", "gain", "spread"),
    [("au", (0.50, 0.57), (0.005, 0.02), (0.015, 0.03)),
     ("expr", (0.37, 0.48), (0.02, 0.06), (0.04, 0.075)),
     ("va", (0.50, 0.60), (0.04, 0.08), (0.03, 0.06))],
)  # fmt: skip
def test_it_scores_smooths_and_spreads_as_published_systems_do(task, level, gain, spread):
    """Equal weights on many videos; the standard deviation between sets as large as a published fold."""
    big = population.draw(task, 400, np.random.default_rng(1))
    weights = (1 / 6,) * 6
    made = {k: search.params(big, weights, "box", k) for k in (0, WIDTH[task])}
    plain, smoothed = (big.score(combine.combine(big, made[k])) for k in made)
    assert level[0] < smoothed < level[1]
    assert gain[0] < smoothed - plain < gain[1]
    sets = [population.draw(task, population.FOLD_VIDEOS[task], np.random.default_rng(100 + i)) for i in range(25)]
    scores = [one.score(combine.combine(one, made[WIDTH[task]])) for one in sets]
    assert spread[0] < np.std(scores, ddof=1) < spread[1]


@pytest.mark.parametrize("task", TASKS)
def test_rates_are_about_those_of_aff_wild2(task):
    values = population.draw(task, 400, np.random.default_rng(2)).known.values
    if task == "au":
        np.testing.assert_allclose(values.mean(0), population.RATES, atol=0.05)
    elif task == "expr":
        np.testing.assert_allclose(np.bincount(values, minlength=8) / len(values), population.PRIOR, atol=0.06)
    else:
        assert (values.mean(0) > 0.1).all() and (values.std(0) > 0.15).all()


def test_a_draw_goes_both_ways_round_and_its_errors_are_differences():
    one, other = simulate_draw.pair("va", "few", 0, 3, 0, 20)
    assert simulate_draw.videos_of("va", "few", 0, 3) == 20 and simulate_draw.videos_of("va", "few", 2, 3) == 70
    assert simulate_draw.videos_of("va", "official", 1, 3) == 76
    assert set(one["test"]) == {"plain", "smoothed", "equal", "tuned", "cross_fitted"} | {
        f"rule {rule}" for rule in simulate_draw.RULES["va"]
    }
    assert one["test"]["cross_fitted"] == one["test"][f"rule {one['chosen']['part']}"]
    assert one != other
    for result in (one, other):
        for way in ("tuned", "cross_fitted"):
            said, reached = result[way], result["test"][way]
            assert said["own"] > said["held"] and said["width"] > 0
            assert -1 < reached + said["held"] < 1
    assert simulate_draw.pair("va", "few", 0, 3, 0, 20) == [one, other]
    for result in simulate_draw.pair("va", "few", 1, 3, 0, 20):
        assert set(result["tuned"]) == {"own"} and set(result["cross_fitted"]) == {"own", "held", "inside", "width"}


def made_up(own, held, inside, tuned, crossed):
    """One result of a draw; the search was made inside the folds only where the interval holds the test score."""
    said = {"own": own, "held": held, "inside": inside, "width": 0.2}
    test = {"plain": 0.4, "smoothed": 0.42, "equal": 0.45, "tuned": tuned, "cross_fitted": crossed, "rule exact": tuned}
    return {"test": test, "tuned": said if inside else {"own": own}, "cross_fitted": said}


def test_the_table_adds_up(capsys):
    results = [
        made_up(0.1, 0.01, False, 0.5, 0.52),
        made_up(0.3, -0.03, False, 0.6, 0.6),
        made_up(0.1, 0.02, True, 0.5, 0.53),
        made_up(0.1, 0.0, True, 0.4, 0.43),
    ]
    table = simulate_table.summarise(results)
    assert table["draws"] == 4
    assert table["test"]["tuned"]["mean"] == pytest.approx(0.5)
    assert table["test"]["cross_fitted"]["over_tuned"] == pytest.approx(0.02)
    assert table["test"]["cross_fitted"]["se"] == pytest.approx(np.std([0.01, 0.03], ddof=1) / np.sqrt(2))
    assert table["over_plain"] == pytest.approx(0.12)
    assert table["tuned"]["own"]["signed"] == pytest.approx(0.15)
    assert table["cross_fitted"]["held"]["signed"] == pytest.approx(0.0, abs=1e-12)
    assert table["cross_fitted"]["held"]["absolute"] == pytest.approx(0.015)
    assert table["cross_fitted"]["inside"] == 0.5 and table["tuned"]["inside"] == 1
    assert table["tuned"]["held"]["signed"] == pytest.approx(0.01) and table["tuned"]["held"]["draws"] == 2
    simulate_table.show({"au": {"official": table, "few": table}})
    shown = capsys.readouterr().out
    for text in ("+0.1500", "+0.0100", "50.0 %", "thresholds = exact", "+0.0200", "20 to 70 videos"):
        assert text in shown


def test_the_command_prints_and_writes(tmp_path):
    """Two draws in two processes give what one process gives."""
    out = tmp_path / "out.json"
    arguments = ["--task", "va", "--draws", "2", "--trials", "18", "--workers", "2", "--out", str(out)]
    done = subprocess.run([sys.executable, "-m", "blend.simulate", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "95 % held it" in done.stdout and 'select = "cross_fitted"' in done.stdout
    found = json.loads(out.read_text())
    assert set(found) == {"va"} and set(found["va"]) == {"official", "few"}
    assert found["va"]["few"]["draws"] == 2
    alone = simulate.main(["va"], 2, 0, 1, 18)
    assert alone["va"]["few"]["test"]["tuned"]["mean"] == found["va"]["few"]["test"]["tuned"]["mean"]


def test_json_is_all_there_is_on_stdout_and_the_same_as_in_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(simulate, "main", lambda tasks, *_: {task: {"official": {"draws": 2}} for task in tasks})
    simulate.command("va", out=tmp_path / "out.json", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "out.json").read_text()) == {"va": {"official": {"draws": 2}}}


def test_what_is_not_defined_is_null_in_json():
    found = simulate.as_json_value({"va": [{"mean": float("nan"), "draws": 2}, (np.inf, 0.5, "x", True)]})
    assert found == {"va": [{"mean": None, "draws": 2}, [None, 0.5, "x", True]]}


def test_an_unknown_task_is_one_line():
    done = subprocess.run([sys.executable, "-m", "blend.simulate", "--task", "age"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: --task age: no such task; there are au, expr, va and all\n"
