"""Imported tables as a kind of their own: which they are, how they are read, and which heads take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract import config as extract_config
from extract.features import store
from extract.features.store import VideoFeatures
from heads import config
from heads.config import Config
from heads.data import feature_file, table
from heads.data.feature_file import MOST_OF_TABLE
from heads.data.table import Source


def keep(work: Path, width: int, imported: bool = True, video: str = "t0", frames: int = 40) -> Path:
    """Store columns as those of an imported table, or of a network, called `units`."""
    path = store.path(work, "units", video)
    names = [f"AU{i}_r" for i in range(width)]
    about = {"mark": "m"} | ({"table": "sha", "columns": json.dumps({"embedding": names})} if imported else {})
    values = np.random.default_rng(0).normal(size=(frames, width)).astype(np.float16)
    store.write(path, VideoFeatures(np.arange(1, frames + 1, dtype=np.int32), values), about)
    return path


@pytest.mark.parametrize(
    ("width", "imported", "counts"),
    [(17, True, True), (MOST_OF_TABLE, True, True), (257, True, False), (17, False, False)],
)
def test_imported_columns_of_at_most_256_are_a_table(corpus: Any, width: int, imported: bool, counts: bool) -> None:
    path = keep(corpus.work, width, imported)
    assert feature_file.is_table(path) == counts
    assert config.kinds(corpus.work, "units") == ("embedding", "table")[: 1 + counts]


def test_its_columns_are_float32_and_have_the_tables_names(corpus: Any) -> None:
    path = keep(corpus.work, 3)
    rows = table.load(corpus.work, [Source("units", ("table",))], ["t0"])
    assert rows.columns == [f"units.table.AU{i}_r" for i in range(3)]
    assert rows.blocks[0].values.dtype == np.float32
    np.testing.assert_array_equal(rows.batch(), store.read(path).embedding.astype(np.float32))


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_every_standard_family_takes_a_table_and_networks_keep_what_they_had(corpus: Any, task: str) -> None:
    for videos in corpus.videos.values():
        for video in videos:
            keep(corpus.work, 5, video=video)
    extra = f"[heads.{task}.linear]\non_request = false\n[heads.{task}.linear_all]\non_request = false\n"
    read = extract_config.load(Config, corpus.toml(extra, '["one", "two", "units"]'))
    specs = {spec.name: spec for spec in config.plan(read, task, corpus.work)}
    of = {name: spec.sources[0] for name, spec in specs.items() if name.endswith("-units")}
    assert {name.removesuffix("-units") for name in of} == {"mlp", "lightgbm", "linear"}
    for name in ("mlp-units", "lightgbm-units", "linear-units"):
        assert of[name].kinds == ("table",)
    assert specs["lama"].sources[-1] == Source("units", ("table",))
    assert specs["linear_all"].sources[-1].kinds == ("table",), "not as an embedding too"
    assert specs["lightgbm-one"].sources[0].kinds == ("logits",)
