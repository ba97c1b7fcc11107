import numpy as np
import pytest

from extract.bench import long_run
from extract.runtime.errors import InputError, WorkError


def test_a_run_is_measured_by_tenths_and_its_network_apart():
    found = long_run.main(60, "demo_enet", seed=0)
    assert found.frames == 60 and found.videos == 1
    assert len(found.rates) == len(found.per_cpu_second) == 10
    assert all(rate > 0 for rate in (*found.rates, *found.per_cpu_second))
    assert 10e6 < found.network < found.peak < 2e9
    text = long_run.table(found)
    assert "60 crops in 1 videos" in text and "| 10. tenth |" in text and "under 2,000 MB" in text


@pytest.mark.parametrize("count", [1, 7, 50_000])
def test_lengths_sum_up_and_are_those_of_real_videos(count):
    lengths = long_run.video_lengths(count, seed=1)
    assert sum(lengths) == count and min(lengths) > 0
    assert lengths == long_run.video_lengths(count, seed=1)


def test_lengths_have_the_median_and_spread_of_real_ones():
    lengths = np.log(long_run.video_lengths(3_000_000, seed=0))
    assert np.median(lengths) == pytest.approx(np.log(long_run.MEDIAN_LENGTH), abs=0.15)
    assert lengths.std() == pytest.approx(long_run.SPREAD, abs=0.1)


def test_unknown_networks_and_too_few_crops_are_refused_and_a_run_that_fails_is_said(tmp_path):
    with pytest.raises(InputError, match=r"--network other: expected tf_efficientnet_b0 or one of"):
        long_run.main(20, "other", seed=0)
    with pytest.raises(InputError, match="--long 9: expected at least 10"):
        long_run.main(9, "demo_enet", seed=0)
    with pytest.raises(WorkError, match="ended with exit code"):
        settings = {"corpus": {"name": "c", "frames": str(tmp_path / "none")}, "features": {"networks": ["demo_enet"]}}
        long_run._watched(tmp_path, settings)
