"""The cluster's benchmark on a few pictures: that it measures, not what."""

import pytest

pytest.importorskip("distributed")


@pytest.mark.slow
def test_both_ways_are_measured():
    from extract.bench import cluster

    found = cluster.main(40, 1, "demo_enet", 0)
    assert set(found) == {cluster.LOCAL, cluster.SPREAD, "ratio"} and all(rate > 0 for rate in found.values())
