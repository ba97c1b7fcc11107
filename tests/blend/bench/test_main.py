"""The benchmark: its pools are of the published size, its published way is right, its parts run."""

import numpy as np
import pytest
from support.sweeps import sweep

from blend.bench import __main__, reference
from blend.bench import parts as bench_parts
from blend.bench import pools as bench_pools
from blend.search import objective
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS


@pytest.mark.parametrize("name", sweep(TASKS, ["va"]))
def test_the_published_way_scores_as_ours_does(name):
    pool, sparse = bench_pools.make(name, None, 0.02, seed=3)
    weights = np.random.default_rng(0).dirichlet(np.ones(bench_pools.HEADS))
    for k in (0, 7):
        theirs = reference.score(name, list(sparse.values()), weights, k)
        ours = objective.make(pool)(tuple(weights), "box", k)
        if name == "au":  # nine thresholds against the best ones
            assert theirs <= ours + 1e-6 and theirs > ours - 0.05
        else:
            assert theirs == pytest.approx(ours, abs=2e-3 if name == "expr" else 1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_pools_have_the_published_numbers_of_videos_and_frames_and_gaps(name):
    videos, frames = bench_pools.SIZES[name]
    there = bench_pools.draw_frames(None, videos, frames, seed=0)
    assert len(there) == videos and sum(map(len, there.values())) == frames
    assert all((np.diff(some) > 0).all() and some[0] >= 1 for some in there.values())
    assert sum(int(some[-1]) for some in there.values()) > frames  # some have no face
    pool, _ = bench_pools.make(name, None, 0.02, seed=0)
    assert len(pool.known_truth.rows) == round(0.02 * frames) == int(pool.present.sum())
    assert np.isfinite(pool.scores).all() and pool.scores.shape[0] == bench_pools.HEADS
    truth = pool.known_truth.values.reshape(len(pool.known_truth.rows), -1)
    assert (truth.min(0) < truth.max(0)).all()


@pytest.mark.slow
def test_every_part_runs_and_is_a_row_of_the_table():
    found = __main__.main(("va", "write"), None, scale=0.01, rounds=3, seed=1)
    rows = __main__.rows(found)
    assert [row[0].split(":")[0] for row in rows] == ["va", "va", "au", "memory, at most (va)"]
    assert "times" in rows[0][2] and all(len(row) == 3 for row in rows)
    assert found["va"]["times_faster"] == pytest.approx(found["va"]["reference_ms"] / found["va"]["ms"])
    assert found["va"]["gigabytes"] > 0 and found["write"]["pictures"] == round(0.01 * 729_736)


@pytest.mark.slow
def test_the_search_is_timed_until_params_are_written(monkeypatch):
    monkeypatch.setattr(bench_parts, "TRIALS", 40)
    found = bench_parts.search(None, 0.01, seed=0)
    assert found["trials"] == 40 and 0 < found["score"] < 1
    assert 0 < found["checking_seconds"] < 0.02 * found["report_seconds"]
    assert 0 < found["search_seconds"] < found["seconds"] < found["report_seconds"]
    rows = __main__.rows({"search": found})
    assert len(rows) == 4 and rows[2][2].endswith("of these seconds") and "40 trials" in rows[0][0]


def test_what_it_cannot_measure_is_one_line(tmp_path):
    with pytest.raises(InputError, match="--only pictures: no such part; there are au, expr, va, search, write"):
        __main__.main(("pictures",))
    with pytest.raises(InputError, match="--scale 2: expected"):
        __main__.main(scale=2.0)
    with pytest.raises(InputError, match="no Parquet table"):
        __main__.main(("va",), tmp_path / "none.parquet", 0.01)
