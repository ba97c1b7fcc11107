from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads import config
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.base.head import family
from heads.data import lazy_block
from heads.data.table import Block, LabelledRows, Rows, Source
from heads.families.sequence import training as sequence_training
from heads.families.sequence.head import Sequence, SequenceSettings
from heads.train import fit

TINY = {"width": 8, "feedforward": 8, "clip": 10, "learning_rate": 0.01, "epochs": 2, "batch": 4}


def settings(**given: Any) -> SequenceSettings:
    return SequenceSettings.model_validate({"inputs": ["embedding"], "shapes": [[1, 2]], **TINY, **given})


def labelled(videos: int = 6, frames: int = 30, seed: int = 0) -> LabelledRows:
    rng, n = np.random.default_rng(seed), videos * frames
    x = rng.normal(size=(n, 4)).astype(np.float16)
    rows = Rows(
        tuple(f"v{i}" for i in range(videos)),
        np.repeat(np.arange(videos, dtype=np.int32), frames),
        np.tile(np.arange(1, frames + 1, dtype=np.int32), videos),
        (Block("n", "embedding", x),),
        np.arange(n),
    )
    return LabelledRows(rows, (x[:, np.arange(12) % 4] > 0.3).astype(np.uint8))


def fitted(data: LabelledRows, **given: Any) -> tuple[Sequence, dict[str, Any]]:
    head = Sequence(TASKS["au"], settings(**given))
    facts = head.fit(data.take(data.rows.video < 4), data.take(data.rows.video >= 4), 3)
    return head, facts


def test_shapes_and_seeds_are_averaged_to_one_head() -> None:
    data = labelled()
    head, facts = fitted(data, shapes=[[1, 2], [2, 4]], members=2)
    assert [len(model.layers) for model in head.models] == [1, 1, 2, 2]
    assert [model.layers[0].self_attn.num_heads for model in head.models] == [2, 2, 4, 4]
    assert len(facts["best_epoch"]) == len(facts["selection_score"]) == len(facts["parameters"]) == 4
    single = [sequence_training.predict_rows(m, TASKS["au"], data.rows, head._course()) for m in head.models]
    assert all(not np.array_equal(single[0], other) for other in single[1:])
    np.testing.assert_allclose(head.predict(data.rows), np.mean(single, 0), rtol=1e-6)


def test_small_corpora_get_more_epochs() -> None:
    _, facts = fitted(labelled(), min_steps=17)
    assert facts["steps_per_epoch"] == 4 and facts["epochs"] == 5 and facts["device"] == "cpu"


def test_every_frame_is_predicted_beside_its_own_and_video_by_video() -> None:
    data = labelled()
    for step in (1, 3):
        head, _ = fitted(data, step=step)
        whole = head.predict(data.rows)
        for v in (0, 5):
            own = np.flatnonzero(data.rows.video == v)
            np.testing.assert_allclose(head.predict(data.rows.take(own)), whole[own], atol=1e-5)
        other = labelled()
        other.rows.blocks[0].values[5] += 2  # frame 6 of the first video
        changed = np.flatnonzero(np.abs(head.predict(other.rows) - whole).max(1) > 1e-6)
        assert 5 in changed and (data.rows.video[changed] == 0).all()
        assert ((data.rows.frame[changed] - 6) % step == 0).all()


def test_the_longest_video_is_predicted_in_little_memory() -> None:
    head, _ = fitted(labelled(), clip=100)
    long = labelled(1, 47_435).rows
    tracemalloc.start()
    found = head.predict(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (47_435, 12) and np.isfinite(found).all()
    assert peak < 60e6, "scores and plan, and some clips at a time"
    short = head.predict(labelled(1, 47_435).rows.take(np.arange(150)))
    np.testing.assert_allclose(found[:50], short[:50], atol=1e-5)


def test_what_was_learnt_from_disk_is_what_was_learnt_from_memory(corpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = read.read_folder(corpus.folder / "au" / "train", TASKS["au"])
    sources = (Source("one", ("embedding", "logits")), Source("two", ("embedding",)))
    found = []
    for most in (lazy_block.IN_MEMORY, 0):
        monkeypatch.setattr(lazy_block, "IN_MEMORY", most)
        asked = settings(inputs=["embedding", "logits?"])
        prepared = fit.prepare_train(corpus.work, sources, asked, annotations, TASKS["au"])
        kinds = [type(b.values) for b in prepared.part.train.rows.blocks]
        assert (lazy_block.LazyBlock in kinds) == (most == 0)
        model, _, _ = fit.fit(prepared, prepared.part, 0)
        found.append(model.predict_videos(corpus.work, ["v0", "v1"]).videos)
    for video in ("v0", "v1"):
        np.testing.assert_array_equal(found[0][video][1], found[1][video][1])


def test_only_families_that_read_in_order_leave_rows_on_disk(corpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_block, "IN_MEMORY", 0)
    annotations = read.read_folder(corpus.folder / "au" / "train", TASKS["au"])
    plain = family("lightgbm").Settings.model_validate({"family": "lightgbm", "inputs": ["embedding"], "trees": 2})
    prepared = fit.prepare_train(corpus.work, [Source("one", ("embedding",))], plain, annotations, TASKS["au"])
    assert isinstance(prepared.part.train.rows.blocks[0].values, np.ndarray)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stride": 2}, "a sequence is of consecutive frames; set `step`"),
        ({"shapes": [[1, 3]]}, r"the heads divide the width 8; \[1, 3\] does not fit"),
        ({"shapes": [[0, 2]]}, r"\[0, 2\] does not fit"),
        ({"shapes": []}, "shapes"),
        ({"overlap": 1.0}, "overlap"),
        ({"clip": 1}, "clip"),
        ({"hidden": 3}, "hidden"),
        ({"kind": "lstm"}, "kind"),
        ({"kind": "tcn"}, r"a tcn has shapes \[layers, 1\] and an even width, not \[1, 2\]"),
        ({"kind": "bigru", "shapes": [[1, 1]], "width": 9}, "an even width"),
        ({"kind": "tcn", "shapes": [[13, 1]]}, "a tcn of 13 layers: 12 see 16,381 frames"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    import tomli_w

    path = tmp_path / "own.toml"
    path.write_text(tomli_w.dumps({"family": "sequence", "inputs": ["embedding"], "shapes": [[1, 2]], **TINY, **given}))
    with pytest.raises(InputError, match=said):
        config.read_head(str(path), "au", {})


def test_logits_beside_an_embedding_count_more() -> None:
    data = labelled()
    block = Block("n", "logits", np.asarray(data.rows.blocks[0].values, np.float32)[:, :2].copy())
    rows = replace(data.rows, blocks=(*data.rows.blocks, block))
    head = Sequence(TASKS["au"], settings(logits_times=4.0))
    plain = Sequence(TASKS["au"], settings())
    ratio = plain._moments(rows)[1] / head._moments(rows)[1]
    np.testing.assert_allclose(ratio, [1, 1, 1, 1, 4, 4], rtol=1e-6)
