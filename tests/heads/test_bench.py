from __future__ import annotations

import json
from pathlib import Path

import pytest

from extract.errors import InputError
from heads import bench


def test_every_part_is_measured(tmp_path: Path) -> None:
    found = bench.main(tmp_path, 0.01, limits=(200,), rounds=1, trees=3)
    assert json.loads((tmp_path / "bench.json").read_text()) == found
    m = found["mlp"]
    assert m["parameters"] == 165_516 and m["ratio"] == pytest.approx(m["rows_per_second"] / m["bare_rows_per_second"])
    assert m["val_score"] > 0.45, "by chance, units at their rates: about .2"
    assert found["lightgbm"]["columns"] == 70 and max(found["lightgbm"]["trees"].values()) == 3
    lama = found["lama"]["200"]
    assert lama["complete"] and not lama["out_of_time"] and not lama["constant_outputs"]
    assert lama["ratio"] == pytest.approx(lama["seconds"] / 200)
    rows = bench.rows_of(found)
    assert [row[3] for row in rows if row[0] == "lama, limit 200 s: all algorithms in all outputs"] == ["yes"]
    assert all(m["gigabytes"] is None or 0.1 < m["gigabytes"] < 8 for m in (found["mlp"], found["lightgbm"], lama))


def test_what_is_asked_for_is_held_against_what_was_measured() -> None:
    mlp = {"rows_per_second": 50.0, "bare_rows_per_second": 100.0, "ratio": 0.5, "gigabytes": 7.9, "seconds": 1.0}
    rows = {row[0]: row[1:] for row in bench.rows_of({"mlp": mlp})}
    assert rows["mlp beside bare"] == ("0.50", ">= 0.7", "no")
    assert rows["mlp: memory of all processes"] == ("7.90 GB", "< 8 GB", "yes")
    rows = {row[0]: row[1:] for row in bench.rows_of({"lightgbm": {"gigabytes": None, "seconds": 3.0}})}
    assert rows["lightgbm: memory of all processes"] == ("not known here", "< 10 GB", "")


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--only tabnet: no such part; there are mlp, lightgbm, lama"):
        bench.main(tmp_path, 0.01, only=("tabnet",))
