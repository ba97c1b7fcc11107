"""What is foretold of many nodes, from given rates; the measured part under -m slow."""

from __future__ import annotations

import json

import pytest
from support.sweeps import sweep
from typer.testing import CliRunner

from blend.bench import scale
from extract.cluster_job import divide_videos
from extract.runtime import cli

RATES = scale.Rates(command=5.0, start=4.0, frame=0.016, slowdown=1.05, bytes_of_frame=5000.0)


@pytest.mark.parametrize("draws", sweep([1, scale.DRAWS], quick=[1]))
def test_more_nodes_are_quicker_until_the_longest_head(draws, monkeypatch):
    monkeypatch.setattr(scale, "DRAWS", draws)
    rows = scale.predict_makespans(2_900_000, RATES, [32, 104, 97], 70, cores=2, disk=1e9)
    assert [row["nodes"] for row in rows] == [1, 4, 16, 64]
    hours = [row["hours"] for row in rows]
    assert hours == sorted(hours, reverse=True)
    # six networks on two cores: 2.9 million frames x 16 ms x 1.05 a frame and slot
    assert rows[0]["extraction"] == pytest.approx(6 * 2.9e6 * 0.016 * 1.05 / 2 / 3600, rel=0.02)
    assert rows[-1]["heads"] == pytest.approx((6 * 104 + 4.0) / 3600, rel=1e-6)  # no fit is divided
    assert all(row["blend"] == pytest.approx(70 / 3600) for row in rows)
    assert all(row["troubled"] > row["hours"] for row in rows[2:])  # a single node may be a quick one


@pytest.mark.parametrize("draws", sweep([1, scale.DRAWS], quick=[1]))
def test_a_slow_disk_bounds_many_nodes(draws, monkeypatch):
    monkeypatch.setattr(scale, "DRAWS", draws)
    monkeypatch.setattr(scale, "NODES", scale.NODES[-1:])
    rows = scale.predict_makespans(2_900_000, RATES, [32], 70, cores=2, disk=1e7)
    assert rows[-1]["extraction"] == pytest.approx(6 * 2.9e6 * 5000 / 1e7 / 3600, rel=0.05)


def test_the_stage_is_the_jobs_that_the_program_hands_out_the_longest_first():
    lengths = [100, 30_000, 500, 900, 4000]
    stage = scale.extraction(lengths, 2, RATES, networks=2)
    sizes = sorted((sum(lengths[i] for i in job) for job in divide_videos(lengths, 2)), reverse=True)
    assert [task.frames for task in stage.tasks] == sorted(sizes * 2, reverse=True)
    assert sum(task.frames for task in stage.tasks) == 2 * sum(lengths)


def test_numbers_of_heads_that_are_none():
    result = CliRunner().invoke(cli.application(scale.command, scale.EXAMPLES), ["--seconds-of-heads", "32;104"])
    assert result.exit_code == 2


@pytest.mark.slow
def test_prediction_holds_on_this_machine(tmp_path):
    result = CliRunner().invoke(
        cli.application(scale.command, scale.EXAMPLES),
        ["--pictures", "3000", "--json", "--out", str(tmp_path / "scale.json")],
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [row["workers"] for row in told["check"]] == [1, 2]
    # a machine that others use is measured unsteadily: here only that seconds are foretold, not minutes
    assert all(0.5 < row["ratio"] < 2 for row in told["check"])
    assert "| workers | foretold | measured |" in scale.table(told | {"makespans": {}}, 0.04)
