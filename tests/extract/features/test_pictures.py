"""Crops in memory give the features that crops on disk do."""

import itertools

import numpy as np
import pytest

from extract import config as configs
from extract import run
from extract.config import Config
from extract.demo import corpus, plan
from extract.engines.create import EngineCache
from extract.faces.crops import crop
from extract.features import store
from extract.features.pictures import PictureNetworks
from extract.runtime.errors import InputError


def test_a_crop_in_memory_gives_the_same_features_to_the_bit_as_one_on_disk(tmp_path):
    from extract.faces.crops import _save

    box = np.array([10.3, 5.6, 80.2, 90.1])
    pictures = [picture for _, picture in itertools.islice(corpus.pictures(plan.SEED, "demo-24"), 5)]
    crops = [crop(np.asarray(picture), box, 112) for picture in pictures]
    (tmp_path / "crops" / "film").mkdir(parents=True)
    for number, pixels in enumerate(crops, 1):
        _save(pixels, tmp_path / "crops" / "film" / f"{number:05d}.jpg")
    networks = ["demo_enet", "demo_mt_enet"]
    raw = {"corpus": {"name": "few", "frames": [str(tmp_path / "crops")]}, "features": {"networks": networks}}
    config = configs.check(Config, raw, "test")
    run.main(config, tmp_path / "work")
    live = PictureNetworks(config, EngineCache())
    assert [*live.about] == networks and len(live.classes["demo_mt_enet"]) > 2
    together = [*live.run(crops[:3], 1), *live.run(crops[3:], 2)]
    assert live.run([], 3) == []
    for number, given in enumerate(together, 1):
        for network in networks:
            stored = store.read(store.path(tmp_path / "work", network, "film"))
            assert tuple(given[network]) == stored.has()
            for kind in stored.has():
                np.testing.assert_array_equal(given[network][kind], getattr(stored, kind)[number - 1])
                assert given[network][kind].dtype == getattr(stored, kind).dtype
    about = store.read_about(store.path(tmp_path / "work", "demo_enet", "film"))
    assert live.about["demo_enet"]["mark"] == about["mark"]


def test_a_network_that_is_not_known_is_refused():
    config = configs.check(Config, {"corpus": {"name": "x"}, "features": {"networks": ["nothing"]}}, "test")
    with pytest.raises(InputError, match="no network 'nothing'"):
        PictureNetworks(config, EngineCache())
