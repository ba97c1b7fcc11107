from __future__ import annotations

import json
from pathlib import Path

import pytest

from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS
from heads.bench import __main__, measure, mlp
from heads.families.tabm import training as tabm_training


@pytest.mark.slow
def test_every_part_is_measured(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text('{"lightgbm": {"gigabytes": 1.0}}')  # of an earlier version
    found = measure.main(tmp_path, 0.01, only=("mlp",), rounds=1)
    assert "lightgbm" not in found
    found = measure.main(tmp_path, 0.01, only=("lightgbm", "lama"), limits=(200,), trees=3)
    assert json.loads((tmp_path / "bench.json").read_text()) == found
    m = found["mlp"]
    assert m["parameters"] == 165_516 and m["ratio"] == pytest.approx(m["rows_per_second"] / m["bare_rows_per_second"])
    assert m["val_score"] > 0.45, "by chance, units at their rates: about .2"
    assert found["lightgbm"]["columns"] == 70 and max(found["lightgbm"]["trees"].values()) == 3
    assert found["lightgbm"]["refit"], "as users get it"
    lama = found["lama"]["200"]
    assert lama["complete"] and not lama["out_of_time"] and not lama["constant_outputs"]
    assert lama["ratio"] == pytest.approx(lama["seconds"] / 200)
    assert lama["learning_seconds"] < lama["seconds"] < lama["command_seconds"]
    found = measure.main(tmp_path, 0.01, only=("linear", "tabm"))
    linear, tabm = found["linear"], found["tabm"]
    assert linear["columns"] == 1290 and linear["learnt_rows"] == linear["rows"]["train"] + linear["rows"]["dev"]
    assert tabm["rows"] % 256 == 0 and tabm["rows"] <= linear["rows"]["train"] and tabm["epochs"] == 20
    assert tabm["run_seconds"] > 40 * tabm["epoch_seconds"] and tabm["rows_per_second"] > 0
    assert min(linear["val_score"], tabm["val_score"]) > 0.45
    rows = __main__.list_rows(found)
    finished = [row[1:] for row in rows if row[0] == "lama, limit 200 s: both algorithms finished in"]
    assert finished == [("12 outputs", "12 outputs")]
    assert all(m["gigabytes"] is None or m["gigabytes"] > 0.1 for m in (found["mlp"], found["lightgbm"], lama))


@pytest.mark.parametrize("rows", [1, 255, 256, 600, 70_000])
def test_the_rows_of_an_epoch_are_those_that_it_learns_from(rows: int) -> None:
    steps = tabm_training.steps_per_epoch(rows, mlp.TABM)
    assert mlp.rows_of_epoch(rows, mlp.TABM) == steps * tabm_training.batch_size(rows, mlp.TABM) > 0
    assert mlp.rows_of_epoch(rows, mlp.SETTINGS) == (rows if rows < 512 else rows - rows % 512)


def test_what_was_measured_stands_beside_what_it_is_compared_with() -> None:
    mlp = {"each": [[50.0, 40.0, 70.0], [100.0, 90.0, 120.0]], "ratio": 0.5, "gigabytes": 7.9, "seconds": 1.0}
    rows = {row[0]: row[1:] for row in __main__.list_rows({"mlp": mlp})}
    bare = "bare model.fit: 100 (90 to 120, 3 rounds); 0.50 times"
    assert rows["mlp: rows/s in an epoch"] == ("50 (40 to 70, 3 rounds)", bare)
    assert rows["mlp: memory of all processes"] == ("7.90 GB", "")
    boosted = {"gigabytes": None, "seconds": 3.0, "most_trees": 20}
    tabm = {"rows_per_second": 2000.0, "rows_per_processor_second": 1000.0, "rows": 50_000, "epochs": 20} | {
        "run_seconds": 900.0,
        "gigabytes": 5.0,
        "seconds": 60.0,
    }
    rows = {row[0]: row[1:] for row in __main__.list_rows({"tabm": tabm})}
    assert rows["tabm: rows/s in an epoch"] == ("2,000", "50,000 rows an epoch")
    assert rows["tabm: a run of 20 epochs and the refit, at most"] == ("900 s", "")
    assert rows["tabm, one epoch, no refit: the whole head"] == ("60 s", "")
    rows = {row[0]: row[1:] for row in __main__.list_rows({"lightgbm": boosted})}
    what = "lightgbm, 20 trees a unit at most, then the refit: memory of all processes"
    assert rows[what] == ("not known here", "")


def test_complete_means_both_algorithms_in_all_twelve_outputs() -> None:
    both = {"LinearL2": 0.9, "LightGBM": 0.1}
    units = TASKS["au"].outputs
    assert measure.complete(dict.fromkeys(units, both))
    assert measure.complete(dict.fromkeys(units, both | {"LightGBM": 0.0})), "finished, but the blend left it out"
    assert not measure.complete(dict.fromkeys(units[1:], both)), "an output that is missing"
    assert not measure.complete({**dict.fromkeys(units, both), "AU4": {"LinearL2": 1.0}})
    assert not measure.complete({})


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--only tabnet: no such part; there are mlp, lightgbm, lama"):
        measure.main(tmp_path, 0.01, only=("tabnet",))
