"""What the blend and its report make of people: folds, influence, counts, sentences, what is made anew, the study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blend import compare, run
from blend.calibrate import video_counts
from blend.config import BlendSettings, RunRequest
from blend.config import Config as BlendConfig
from blend.crossfit import estimate
from blend.pool import inputs as blend_inputs
from blend.pool import pool as pools
from blend.pool import provenance
from blend.report import facts as report_facts
from blend.report import pointers, report, summary
from blend.report import videos as video_scores
from blend.report.caveats import list_caveats
from blend.studies import people
from extract import run as extract_run
from extract.config import Config as Extracted
from extract.config import TaskPaths
from extract.features import store
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import resemblance
from heads.data.predictions import Predictions

VA = TASKS["va"]


def with_people(pool, names):
    return replace(pool, people=tuple(names))


def test_a_pool_knows_the_people_of_its_videos_and_groups_the_rest_by_recording():
    frames = np.arange(1, 4, dtype=np.int32)
    videos = ["12", "a", "b", "x_left", "x_right"]
    found = {"h": Predictions(VA.outputs, {v: (frames, np.zeros((3, 2), np.float32)) for v in videos})}
    truth = {v: Annotation(v, np.zeros((3, 2), np.float32), np.ones(3, bool)) for v in videos}
    prior = np.zeros(2, np.float32)
    known = pools.for_validation(VA, found, truth, prior, people={"a": "12", "b": "12", "x_left": "Ann"})
    assert known.people == ("", "12", "12", "Ann", "")
    assert known.groups.tolist() == [0, 1, 1, 2, 2], "video 12 is not of person 12"
    assert known.person_of == {"a": "12", "b": "12", "x_left": "Ann"}
    assert known.select([1, 3]).people == ("12", "Ann")
    plain = pools.for_validation(VA, found, truth, prior)
    assert plain.people is None and plain.groups.tolist() == [0, 1, 2, 3, 3]
    assert report.frames(known)["people"] == 3 and report.frames(known)["people_known"]
    assert report.frames(plain)["people"] == 4 and not report.frames(plain)["people_known"]


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_no_fold_of_the_cross_fit_splits_a_person(make_pool, name):
    pool = with_people(make_pool(name, videos=12, length=(8, 15)), "aabbccddeeff")
    for seed in range(20):
        folds = estimate.split(pool, 5, seed)
        assert len(folds) == 5 and all({v ^ 1 for v in fold} == set(fold) for fold in folds)
    apart = [estimate.split(replace(pool, people=None), 5, seed) for seed in range(20)]
    assert any({v ^ 1 for v in fold} != set(fold) for folds in apart for fold in folds)


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_a_persons_influence_is_the_score_less_that_without_the_person(make_report, name):
    pool, outcome, table = make_report(name)
    assert table["people"] is None and all("person" not in row for row in table["videos"])
    told = with_people(pool, ["Ann", "Ben", "Ann", "", "Cyd", "Ben"])
    decided = video_scores.decide(told, outcome.selected_blend)
    videos = video_scores.facts(told, decided, outcome.selected_blend.params)
    assert [row["person"] for row in videos] == ["Ann", "Ben", "Ann", None, "Cyd", "Ben"]
    assert [row["group"] for row in videos] == [0, 1, 0, 2, 3, 1]
    rows = video_scores.people(told, videos)
    assert [row["person"] for row in rows] == ["Ann", "Ben", "Cyd"]
    truth, video_of = pool.known_truth.values, pool.video_of
    for row, mine in zip(rows, ([0, 2], [1, 5], [4]), strict=True):
        assert row["videos"] == [pool.videos[v] for v in mine]
        out = np.isin(video_of, mine)
        whole = pool.task.per_output(truth, decided.decisions)
        others = pool.task.per_output(truth[~out], decided.decisions[~out])
        left = [name == "va" or bool((truth[~out] == c if name == "expr" else truth[~out][:, c]).any()) for c in
                range(len(whole))]  # fmt: skip
        assert row["influence"] == pytest.approx((whole - others)[left].mean(), abs=1e-9)
        assert row["labelled"] == out.sum()
        own = pool.task.per_output(truth[out], decided.decisions[out])
        shown = [name == "va" or bool((truth[out] == c if name == "expr" else truth[out][:, c]).any()) for c in
                 range(len(own))]  # fmt: skip
        assert row["score"] == pytest.approx(own[shown].mean(), abs=1e-9)
    json.dumps(rows, allow_nan=False)
    assert video_scores.people(with_people(pool, ["Ann"] * 6), videos) is not None


def test_the_first_sentence_says_of_how_few_people_the_numbers_are(make_report):
    _, _, table = make_report("va")
    for count, known, said in (
        (5, True, "are of 5 people, so every score below speaks of these people only, not of others."),
        (1, True, "are of 1 person, so every score below speaks of this person only, not of others."),
        (3, False, "are of 3 recordings, so every score below speaks of the people in them only, not of others."),
        (1, False, "are of 1 recording, so every score below speaks of the people in it only, not of others."),
    ):
        table["frames"] |= {"people": count, "people_known": known}
        assert summary.sentences(table)[0] == f"The validation videos {said}"
    for count in (6, 60):
        table["frames"]["people"] = count
        assert summary.sentences(table)[0].startswith("The blend, ")


def test_people_who_pull_the_score_down_are_named(make_report):
    _, _, table = make_report("va")
    table["people"] = [
        {"person": "Ann", "videos": ["a", "b"], "labelled": 9, "influence": -0.04},
        {"person": "Ben", "videos": ["c"], "labelled": 9, "influence": -0.5},
        {"person": "Cyd", "videos": ["d", "e"], "labelled": 9, "influence": None},
        {"person": "Dee", "videos": ["f", "g"], "labelled": 9, "influence": -0.06},
    ]
    said = [pointers.plain(line, table) for line in list_caveats(table)]
    (line,) = [one for one in said if one.startswith("Single people")]
    assert line.endswith("pull the score down: Dee (-0.0600), Ann (-0.0400).")


def test_compared_blends_are_drawn_by_person(make_report, tmp_path):
    for select in ("cross_fitted", "tuned"):
        _, _, table = make_report("va", select, videos=8)
        for row, group in zip(table["videos"], [0, 0, 1, 1, 2, 2, 3, 3], strict=True):
            row["group"] = group
        write_json(tmp_path / select / "report.json", table)
    runs = [compare.read(tmp_path / select) for select in ("cross_fitted", "tuned")]
    found = compare.difference(runs[1], runs[0], "counts", 300, 0)
    tables = [video_scores.tables(one.videos) for one in (runs[1], runs[0])]
    summed = [table.reshape(4, 2, *table.shape[1:]).sum(1) for table in tables]
    drawn = video_counts.draw("va", summed[0], 300, 0) - video_counts.draw("va", summed[1], 300, 0)
    assert found["better_in"] == float((drawn > 0).mean() + 0.5 * (drawn == 0).mean())
    for one in runs:
        for row in one.report["videos"]:
            del row["group"]  # as older versions left it
    assert compare.difference(runs[1], runs[0], "counts", 300, 0)["difference"] == pytest.approx(found["difference"])


def test_a_blend_goes_by_the_table_and_is_made_anew_where_it_changes(make_corpus, capsys):
    corpus = make_corpus("va")
    table = corpus.folder / "who.csv"

    def config(people, more=""):
        asked = corpus.config(trials=8, fold_trials=1, select_folds=3)
        if people is None:
            return asked
        table.write_text("video,person\n" + "".join(f"val{v},{p}\n" for v, p in enumerate(people)) + more)
        return asked.model_copy(update={"corpus": asked.corpus.model_copy(update={"people": table})})

    def facts(*told):
        return provenance.all_facts(blend_inputs.prepare_inputs(config(*told), RunRequest("va", corpus.work))[1])

    without, known = facts(None), facts("AABBC")
    assert "people" not in without and known.keys() - without.keys() == {"people"}
    assert facts("AABBA") != known == facts("AABBC", "elsewhere,A\n"), "another corpus's videos change nothing"
    told = run.main(config("AABBC"), "va", corpus.work)
    assert told["frames"]["people"] == 3 and told["people"][0]["videos"] == ["val0", "val1"]
    assert told["alike"] is None
    folds = [set(fold) for fold in told["cross_fitted"]["videos"]]
    assert len(folds) == 3 and {"val0", "val1"} in folds
    assert "only 3 people in validation: cross-fitted in as many folds" in capsys.readouterr().err
    page = (corpus.work / "blend" / "va" / "report.html").read_text()
    assert "so every score below speaks of these people only" in page
    assert run.main(config("AABBC", "elsewhere,A\n"), "va", corpus.work) == told


@pytest.fixture(scope="module")
def drawn(few_videos, tmp_path_factory):
    """A work folder with features of a few of the demo's videos; its validation and train videos."""
    raw = {"corpus": {"name": "c", "frames": [few_videos.parent / "frames"]}, "features": {"networks": ["demo_enet"]}}
    folder = tmp_path_factory.mktemp("alike")
    extract_run.main(Extracted.model_validate(raw), folder)
    return folder, *(read.videos(few_videos.parent / "va" / part, VA) for part in ("val", "train"))


def test_honest_videos_of_the_demo_raise_no_warning_and_planted_people_are_found(drawn, tmp_path):
    work, val, train = drawn
    found = resemblance.find(work, ["none", "demo_enet"], val, train)
    assert found == resemblance.Resemblance("demo_enet", 6, ())
    for video, part in ((val[1], "val"), (train[2], "train")):
        for name in (*val, *train):
            kept = store.read(store.path(work, "demo_enet", name))
            pieces = {name: slice(0, None, 2), "planted": slice(1, None, 2)} if name == video else {name: slice(None)}
            for new, rows in pieces.items():
                some = store.VideoFeatures(kept.frame[rows], kept.embedding[rows])
                store.write(store.path(tmp_path / part, "demo_enet", new), some, {})
        found = resemblance.find(tmp_path / part, ["demo_enet"], [*val, "planted"], train)
        (pair,) = found.pairs
        assert {pair.video, pair.other} == {video, "planted"} and pair.part == part and pair.cosine > 0.9
    apart = resemblance.find(tmp_path / "train", ["demo_enet"], val, [*train, "planted"])
    assert not apart.pairs, "both are in train: no score is of them"
    path = store.path(tmp_path / "train", "demo_enet", val[0])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"damaged feature file .*; delete it and run python -m extract\.run again"):
        resemblance.find(tmp_path / "train", ["demo_enet"], val, train)


def test_only_networks_that_see_are_asked_and_only_where_people_are_not_known(drawn, few_videos):
    work, val, train = drawn
    paths = TaskPaths(train=few_videos.parent / "va" / "train", val=few_videos.parent / "va" / "val")
    sources = blend_inputs.BlendInputs(VA, paths, {"head": work}, {}, {}, "train", BlendSettings(), 0, 0.05)
    config = BlendConfig.model_validate(
        {"corpus": {"name": "c"}, "features": {"networks": ["audio", "x", "demo_enet"]}}
    )
    found = report_facts.describe_resemblance(config, sources, work)
    assert found == {"network": "demo_enet", "videos": len(val) + len(train), "count": 0, "pairs": []}
    for other in (
        replace(sources, people={val[0]: "Ann"}),
        replace(sources, project_heads={}, external_heads={"head": work}),
    ):
        assert report_facts.describe_resemblance(config, other, work) is None
    deaf = config.model_copy(update={"features": config.features.model_copy(update={"networks": ["audio"]})})
    assert report_facts.describe_resemblance(deaf, sources, work) is None


def test_alike_is_said_with_the_remedy(make_report):
    _, _, table = make_report("va")
    pair = {"video": "a", "other": "b", "part": "val", "cosine": 0.875}
    assert report_facts.warn_of_resemblance(table) == report_facts.warn_of_resemblance(table | {"alike": None}) == []
    assert (
        report_facts.warn_of_resemblance(table | {"alike": {"network": "n", "videos": 9, "count": 0, "pairs": []}})
        == []
    )
    for part, what in (("val", "validation"), ("train", "training")):
        some = table | {"alike": {"network": "n", "videos": 9, "count": 7, "pairs": [pair | {"part": part}]}}
        (line,) = [pointers.plain(one, some) for one in list_caveats(some) if "looks like" in one]
        assert line.startswith(
            f"The validation video a looks like the same person as the {what} video b (cosine 0.8750, 7 such pairs)"
        )
        assert "corpus.people, a table video,person" in line


def test_cosines_against_a_plain_count_and_edges():
    rng = np.random.default_rng(0)
    means, frames = rng.normal(size=(9, 6)) + 50, rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    within = np.cov(frames.T)
    found = resemblance.cosines(means, within)
    regular = within + resemblance.SHRINKAGE * np.trace(within) / 6 * np.eye(6)
    centred = means - means.mean(0)
    inner = centred @ np.linalg.inv(regular) @ centred.T
    np.testing.assert_allclose(found, inner / np.sqrt(np.outer(np.diag(inner), np.diag(inner))), atol=1e-9)
    assert not resemblance.cosines(means[:3], within).any()
    assert not resemblance.cosines(np.ones((5, 6)), within).any(), "videos that are all the same"
    assert np.isfinite(resemblance.cosines(means, np.zeros((6, 6)))).all(), "a frame a video"
    names = ["x_left", "x_right", "y", "z"]
    high = np.full((4, 4), 0.9)
    pairs = resemblance.pairs(names, high, {"x_left", "x_right"})
    assert {(p.video, p.other, p.part) for p in pairs} == {(a, b, "train") for a in names[:2] for b in names[2:]}
    assert resemblance.find(Path("nowhere"), ["n"], ["a"], ["b"]) is None


@pytest.mark.slow
def test_by_person_the_estimate_is_what_new_people_give_and_by_video_it_is_not_and_that_is_warned_of():
    found = people.main(4)
    by_person, by_video = found["person"], found["video"]
    assert by_video["error"] > 0.15 and by_video["error"] > 5 * by_video["standard_error"]
    assert abs(by_person["error"]) < by_video["error"] / 3, "four draws leave a standard error of 0.05"
    assert by_video["warned"] == 4 and by_person["warned"] == 0 and found["false_alarms"] == 0
    assert by_person["test"] > by_video["test"], "the head that knows people is not taken for good"


@pytest.mark.slow
def test_by_person_the_estimate_is_within_two_standard_errors_over_40_draws():
    found = people.main()
    by_person, by_video = found["person"], found["video"]
    print(f"without the table the estimate's error is {by_video['error']:+.4f} ± {by_video['standard_error']:.4f}")
    assert found["draws"] == 40
    assert abs(by_person["error"]) <= 2 * by_person["standard_error"], by_person
    assert by_video["warned"] == 40 and found["false_alarms"] == 0


@pytest.mark.slow
def test_the_study_prints_both_ways_and_repeats_itself(capsys):
    found = people.main(2, seed=3)
    assert found == people.main(2, seed=3) and found != people.main(2)
    people.show(found)
    said = capsys.readouterr().out
    assert f"{found['video']['error']:+.4f}" in said and "2 of 2" in said and "0 of 2" in said
