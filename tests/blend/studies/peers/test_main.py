"""The comparison: what is counted, what the blend gains, and the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blend import compare
from blend.config import BlendSettings, Config
from blend.crossfit.selection import Selection
from blend.decision import combine
from blend.studies import demo_scores
from blend.studies.ablation import Data
from blend.studies.peers import __main__ as peers
from blend.studies.peers import worker
from blend.studies.peers.processes import Peer
from extract.config import CONFIGS, load
from extract.runtime.errors import InputError, WorkError
from heads import run as heads_run
from heads.abaw.tasks import TASKS

VA = TASKS["va"]
SETTINGS = BlendSettings(k_max=5, draws=100)


def table_score(task: str, table: np.ndarray) -> float:
    return float(peers.video_counts.score(task, table.sum(0)))


def test_a_single_head_is_scored_as_it_is_held_out_and_on_test(data: Data, tmp_path: Path) -> None:
    way = peers.measure(data, {"head": tmp_path}, SETTINGS, 3)
    val, test = (demo_scores.read_pool(data, {"head": tmp_path}, part) for part in ("val", "test"))
    selected = Selection(val, SETTINGS, 3).select()
    assert table_score("va", way.counts[peers.CROSS_FITTED_PART]) == pytest.approx(
        selected.cross_fit.pooled_score, abs=1e-9
    )
    assert len(way.counts[peers.CROSS_FITTED_PART]) == 5
    assert table_score("va", way.counts[peers.TEST]) == pytest.approx(
        test.score(combine.combine(test, selected.params)), abs=1e-6
    )
    for part, values in ((peers.CROSS_FITTED_PART, val), (peers.TEST, test)):
        plain = VA.score(values.known_truth.values, values.scores[0][values.known_truth.rows])
        assert table_score("va", way.counts[part, peers.AS_IS]) == pytest.approx(plain, abs=1e-6)
    both = peers.measure(data, {"head": tmp_path, "again": tmp_path}, SETTINGS, 3)
    assert set(both.counts) == {peers.CROSS_FITTED_PART, peers.TEST}, "several heads are nothing as they are"


def test_people_are_counted_together_and_without_truth_there_is_no_test(data: Data, tmp_path: Path) -> None:
    who = {f"val{v}": f"p{v // 2}" for v in range(5)}
    known = replace(data, people=who, annotations={**data.annotations, "test": {}})
    way = peers.measure(known, {"head": tmp_path}, SETTINGS, 0)
    assert set(way.counts) == {peers.CROSS_FITTED_PART, (peers.CROSS_FITTED_PART, peers.AS_IS)}
    assert len(way.counts[peers.CROSS_FITTED_PART]) == 3 == len(peers._labelled(known, "val"))
    one = replace(known, people=dict.fromkeys(who, "p"))
    with pytest.raises(InputError, match="validation is of one person or recording"):
        peers.measure(one, {"head": tmp_path}, SETTINGS, 0)


def test_the_table_has_means_deviations_and_what_the_blend_gains(data: Data, tmp_path: Path) -> None:
    way = peers.measure(data, {"head": tmp_path}, SETTINGS, 0)
    worse = replace(way, counts=dict(way.counts), seconds=2.0)
    worse.counts[peers.CROSS_FITTED_PART] = way.counts[peers.CROSS_FITTED_PART, peers.AS_IS]
    found = peers.summarise(data, {peers.BLEND: [way, way], "tabm": [worse, replace(way, seconds=2.0)]})
    gained = table_score("va", way.counts[peers.CROSS_FITTED_PART]) - table_score(
        "va", worse.counts[peers.CROSS_FITTED_PART]
    )
    entry = found["ways"]["tabm"][peers.CROSS_FITTED_PART]
    assert entry["gain"]["difference"] == pytest.approx(gained / 2) and gained > 0
    both = (
        [way.counts[peers.CROSS_FITTED_PART]] * 2,
        [worse.counts[peers.CROSS_FITTED_PART], way.counts[peers.CROSS_FITTED_PART]],
    )
    labelled = [int(data.annotations["val"][f"val{v}"].valid.sum()) for v in range(5)]
    assert entry["gain"] == compare.gain("va", *both, labelled, compare.DRAWS, 0)
    assert found["ways"]["tabm"][peers.TEST]["gain"]["difference"] == 0
    assert found["videos"] == {peers.CROSS_FITTED_PART: 5, peers.TEST: 2} and found["ways"]["tabm"]["seconds"] == 2.0
    lines = peers.as_markdown(VA, found | {"versions": {"tabm": "0.1"}, "given": {"limit": 1}}).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == lines[3].count("|")
    assert lines[2].startswith("| blend of the standard heads |  | ") and lines[2].endswith(" ± 0.000 |  |  |")
    low, high = entry["gain"]["interval"]
    assert f"| {gained / 2:+.3f} ({low:+.3f} to {high:+.3f}) |" in lines[3] and lines[3].endswith(" | 2 |")


def test_ours_and_every_peer_go_the_same_way(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(Config, CONFIGS / "demo.toml", ["blend.va.k_max=5"])
    heads = {"one": tmp_path, "two": tmp_path}
    asked: list[tuple[int, str]] = []

    def learn(peer, data, rows, mark, seed, folder, given):
        asked.append((seed, peer.name))
        assert (rows.name, mark) == ("va", "mark")
        assert given == {"limit": 5, "presets": worker.PRESETS}, "what is not given is the default"
        if peer.name == "catboost" and seed:
            raise WorkError("catboost: ended with code 1: a | b")
        return tmp_path

    written: list[tuple[int, Path]] = []

    def write(data, seed, folder):
        written.append((seed, folder))
        return "mark"

    monkeypatch.setattr(peers, "read_demo", lambda *given: data)
    monkeypatch.setattr(
        peers.processes, "find", lambda *given: [Peer(name, "python", "0.1") for name in ("catboost", "tabm")]
    )
    monkeypatch.setattr(peers.processes, "learn", learn)
    monkeypatch.setattr(peers, "read_seconds", lambda folder: 4.0)
    monkeypatch.setattr(peers.export, "write", write)
    monkeypatch.setattr(heads_run, "main", lambda config, task, work, seed: heads)
    found = peers.main(config, "va", tmp_path, 2, ["tabm"], ["python"], given={"limit": 5})
    assert asked == [(seed, name) for seed in range(2) for name in ("catboost", "tabm")]
    assert [seed for seed, _ in written] == [0, 1] and written[0][1] == written[1][1], "rows are one for all seeds"
    assert list(found["ways"]) == [peers.BLEND, peers.BEST, "catboost", "tabm"]
    assert found["ways"].pop("catboost") == {"seconds": None, "failed": "catboost: ended with code 1: a | b"}
    assert capsys.readouterr().err.startswith("catboost: ended with code 1: a | b; the others go on\n")
    table = peers.as_markdown(VA, found | {"ways": {"catboost": {"seconds": None, "failed": "a | b"}}})
    assert table.splitlines()[2] == "| CatBoost | failed: a / b |  |  |  |  |  |  |"
    assert found["ways"]["tabm"]["seconds"] == 4.0 and found["versions"]["tabm"] == "0.1"
    assert peers.main(config, "va", tmp_path, 0, [], [])["given"] == {"limit": worker.LIMIT, "presets": worker.PRESETS}
    for part in (peers.CROSS_FITTED_PART, peers.TEST):
        scores = [found["ways"][way][part]["by_seed"] for way in found["ways"]]
        assert scores[1] == scores[2] and scores[0] == pytest.approx(scores[1], abs=1e-6), "the same predictions"


def test_labels_need_a_list_and_all_of_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = load(Config, CONFIGS / "demo.toml", None)
    with pytest.raises(InputError, match="--labels: the demo has its own"):
        peers.read_corpus(demo, "va", tmp_path, tmp_path)
    own = demo.model_copy(update={"corpus": demo.corpus.model_copy(update={"demo": False})})
    listed: dict[str, np.ndarray] = {}
    monkeypatch.setattr(peers.corpus_checks, "read", lambda *given: ({"train": {}, "val": {}}, listed))
    with pytest.raises(InputError, match=r"the config has no corpus.va.test"):
        peers.read_corpus(own, "va", tmp_path, tmp_path)
    listed |= {"a": np.arange(1, 3), "b": np.arange(1, 3)}
    (tmp_path / "a.txt").write_text("valence,arousal\n0.5,-1\n")
    (tmp_path / "other.txt").write_text("valence,arousal\n0.5,-1\n")
    with pytest.raises(InputError, match=r"lacks the test video 'b' \(1 are missing\)"):
        peers.read_corpus(own, "va", tmp_path, tmp_path)
    (tmp_path / "b.txt").write_text("valence,arousal\n0.5,-1\n")
    monkeypatch.setattr(peers.extract_run, "main", lambda config, work: config)
    _, data = peers.read_corpus(own, "va", tmp_path, tmp_path)
    assert list(data.annotations["test"]) == ["a", "b"] and data.people is None
