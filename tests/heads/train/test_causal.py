"""A head on a stream gives of each frame what it gives of the last frame of a video that ends there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.features import store
from extract.features.store import VideoFeatures
from heads.abaw.tasks import TASKS
from heads.base.head import FAMILIES, Head, HeadSettings, family
from heads.data import relative, table, temporal
from heads.data.relative import Relative
from heads.data.table import Rows, Source
from heads.data.temporal import Temporal, TemporalColumns
from heads.train import causal
from heads.train.model import Model

CLASSES = {"one": ("happy", "sad", "other"), "two": ()}
TABLES = [Temporal(of="logits?", windows=[3, 8]), Temporal(of="embedding", windows=[5], components=2)]


class Columns(Head):
    """A head whose scores are the columns that it is given."""

    Settings = HeadSettings

    def fit(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise NotImplementedError

    def predict(self, rows: Rows) -> np.ndarray:
        return rows.batch()

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    load = save


def features(frame: int) -> dict[str, dict[str, np.ndarray]]:
    """What the networks give of a frame; it drifts, so that windows and means tell frames apart."""
    rng = np.random.default_rng(frame)
    drift = np.array([frame / 20, -frame / 30, 1.0])
    one = {
        "embedding": rng.normal(size=6).astype(np.float16),
        "logits": (drift + rng.normal(size=3)).astype(np.float32),
    }
    return {"one": one, "two": {"embedding": rng.normal(size=4).astype(np.float16)}}


def write(work: Path, frames: list[int]) -> Path:
    """A work folder with a video of these frames."""
    made = [features(frame) for frame in frames]
    for network, classes in CLASSES.items():
        kinds = {kind: np.stack([of[network][kind] for of in made]) for kind in made[0][network]}
        about = {"mark": network, "outputs": json.dumps([True, list(classes) or None])}
        store.write(store.path(work, network, "stream"), VideoFeatures(np.array(frames, np.int32), **kinds), about)
    return work


FRAMES = [*range(1, 12), *range(15, 30), 60, 61, 70]
"""With gaps, one of them wider than all windows."""


def model(work: Path, given: dict[str, Any], tables: list[Temporal], sources: tuple[Source, ...]) -> Model:
    settings = HeadSettings(family="columns", inputs=["logits"], temporal=tables, relative=Relative(**given))
    every = tuple(replace(source, kinds=(*source.kinds, *source.beside), beside=()) for source in sources)
    rows = table.load(
        work, every, ["stream"], relative.extender(settings.relative, TemporalColumns(), work, every, ["stream"], None)
    )
    made = Model(Columns(TASKS["va"], settings), sources, temporal.fit(rows, tables), ())
    return replace(made, columns=tuple(made.rows(work, ["stream"]).columns))


@pytest.mark.parametrize("tables", [[], TABLES], ids=["plain", "temporal"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"logits": "recording"},
        {"logits": "person", "embedding": "recording", "centre": "median", "spread": True, "beside": True},
    ],
    ids=["as they are", "relative", "relative to medians"],
)
def test_columns_of_a_frame_are_those_of_a_video_that_ends_there(
    tmp_path: Path, given: dict[str, Any], tables: list[Temporal]
) -> None:
    sources = (Source("one", ("logits",), ("embedding",)), Source("two", ("embedding",)))
    head = model(write(tmp_path / "whole", FRAMES), given, tables, sources)
    memory = causal.create_memory([head])
    for count, frame in enumerate(FRAMES, 1):
        memory.add(frame, features(frame))
        now = causal.predict_last(head, memory, CLASSES)
        cut = head.rows(write(tmp_path / f"cut{count}", FRAMES[:count]), ["stream"])
        np.testing.assert_allclose(now, cut.batch()[-1], rtol=2e-3, atol=2e-3, err_msg=f"frame {frame}")
    whole = head.rows(tmp_path / "whole", ["stream"]).batch()
    causal_only = not given and not tables
    assert np.allclose(whole[5], head.rows(tmp_path / "cut6", ["stream"]).batch()[-1], atol=1e-2) == causal_only


def test_memory_ends_where_windows_do_and_relative_columns_keep_a_thin_choice() -> None:
    plain, thin = causal.FrameMemory(8), causal.FrameMemory(8, choice=64)
    for frame in range(1, 2001):
        for memory in (plain, thin):
            memory.add(frame, features(1))
    assert [*plain._recent] == [*range(1992, 2001)] and not plain._chosen
    assert 32 <= len(thin._chosen) <= 64 and [*thin._recent] == [*plain._recent]
    apart = np.diff([*thin._chosen])
    assert set(apart) == {apart[0]} and min(thin._chosen) == 1, "evenly, from the beginning on"


@pytest.mark.parametrize("reach", [0, 60])
def test_after_thinning_what_is_relative_is_still_close_to_the_whole_recording(tmp_path: Path, reach: int) -> None:
    frames = [*range(1, 401)]
    sources = (Source("one", ("logits",)),)
    head = model(write(tmp_path, frames), {"logits": "recording"}, [], sources)
    memory = causal.FrameMemory(reach, choice=64)
    for frame in frames:
        memory.add(frame, features(frame))
    now, whole = causal.predict_last(head, memory, CLASSES), head.rows(tmp_path, ["stream"]).batch()[-1]
    np.testing.assert_allclose(now, whole, atol=0.6)  # of a drift of 20
    assert not np.allclose(now, features(400)["one"]["logits"], atol=5)


def test_an_optional_network_that_a_stream_lacks_is_absent_as_in_a_video_without(tmp_path: Path) -> None:
    sources = (Source("one", ("logits",)), Source("two", ("embedding",), optional=True))
    head = model(write(tmp_path / "whole", [1, 2]), {}, [], sources)
    memory = causal.create_memory([head])
    memory.add(1, {"one": features(1)["one"]})
    np.testing.assert_allclose(
        causal.predict_last(head, memory, CLASSES), [*features(1)["one"]["logits"], 0, 0, 0, 0, 0], rtol=1e-6
    )
    memory.add(2, features(2))
    assert causal.predict_last(head, memory, CLASSES)[-1] == 1


def test_heads_that_need_later_frames_say_so() -> None:
    assert {name for name in FAMILIES if family(name).in_time} == {"sequence", "fusion"}
