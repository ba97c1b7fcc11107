from __future__ import annotations

import json
from pathlib import Path

import pytest

from extract.runtime.errors import InputError
from heads.bench import corpus as bench_corpus
from heads.bench import sequence
from heads.data import lazy_block


@pytest.mark.slow
def test_an_epoch_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = sequence.main(tmp_path, 0.001)
    assert json.loads((tmp_path / "bench_sequence.json").read_text()) == found
    one = found["cpu"]
    assert one["parameters"] == 3_490_572 and one["precision"] == "fp32" and not one["on_disk"]
    assert one["rows_per_second"] == pytest.approx(one["rows"] / one["epoch_seconds"])
    expected = one["reading_seconds"] + 20 * (one["epoch_seconds"] + one["dev_seconds"])
    assert one["run_seconds"] == pytest.approx(expected)
    assert one["gigabytes"] is None or one["gigabytes"] > 0.1
    assert ("GPU", "there is none") in sequence.list_rows(found) or "cuda" in found


def test_large_embeddings_are_read_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_block, "IN_MEMORY", 0)
    bench_corpus.make(tmp_path, None, 0.001, 0)
    assert sequence.measure(tmp_path)["on_disk"]


@pytest.mark.parametrize("name", ["tcn", "bigru"])
def test_another_head_over_time_is_measured_on_embeddings(tmp_path: Path, name: str) -> None:
    bench_corpus.make(tmp_path, None, 0.001, 0)
    one = sequence.measure(tmp_path, sequence.find_head(name))
    assert one["rows_per_second"] == pytest.approx(one["rows"] / one["epoch_seconds"])
    assert one["parameters"] > 1280 * 128, "a projection of embeddings"


@pytest.mark.parametrize("name", ["mlp", "encoders"])
def test_a_head_that_is_none_over_time_or_several_is_refused(name: str) -> None:
    said = rf"--head {name}: no such head over time; expected one of bigru, sequence, tcn$"
    with pytest.raises(InputError, match=said):
        sequence.find_head(name)


def test_figures_of_a_standard_head_leave_those_of_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "run_child", lambda *given: ({"rows": 1}, None))
    monkeypatch.setattr(bench_corpus, "make", lambda work, *given: (work / "corpus.json").write_text("{}"))
    for head in (None, "sequence"):
        sequence.main(tmp_path, devices=("cpu",), head=sequence.find_head(head))
    kept = {path.name for path in tmp_path.glob("bench_*.json")}
    assert kept == {"bench_sequence.json", "bench_sequence_sequence.json"}


def test_figures_for_people() -> None:
    one = {"precision": "bf16", "rows_per_second": 12345.6, "rows": 1_000_000, "epoch_seconds": 81.4, "dev_seconds": 3}
    one |= {"run_seconds": 1700.0, "gigabytes": None, "rows_per_processor_second": 6789}
    rows = dict(sequence.list_rows({"cuda": one}))
    assert rows["GPU, bf16: rows/s in an epoch"] == "12,346"
    assert rows["GPU: an epoch of 1,000,000 rows, a look at dev"] == "81 s, 3 s"
    assert rows["GPU: rows/s of processor time"] == "6,789"
    assert rows["GPU: a run of 20 epochs would take"] == "28 min"
    assert rows["GPU: memory of all processes"] == "not known here"
