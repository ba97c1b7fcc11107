import pytest

from extract.bench import fixtures, measure


@pytest.mark.slow
def test_every_way_is_measured_on_the_same_pictures():
    pytest.importorskip("onnxruntime", reason="way (b) needs the extra [bench]")
    found = measure.main(pictures=3, repeats=1)
    assert set(found) == {"a", "b", "c", "d", "c/a", "c/b", "c/d", "checking"}
    assert all(rate > 0 for rate in found.values())
    assert found["checking"] < 0.02
    assert found["c/a"] == pytest.approx(found["c"] / found["a"])


def test_the_generated_crops_are_the_same_every_time(tmp_path):
    for name in ("one", "two"):
        fixtures.make_crops(tmp_path / name, 2, seed=3)
    assert (tmp_path / "one" / "00002.jpg").read_bytes() == (tmp_path / "two" / "00002.jpg").read_bytes()
