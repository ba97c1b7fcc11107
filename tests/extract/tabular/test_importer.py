"""Importing OpenFace, py-feat and other tables into the feature store."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import command_server

from extract.features import provenance, store
from extract.runtime.errors import InputError
from extract.tabular import importer
from extract.tabular.formats import Choice

NEWS = Path(__file__).parents[4] / "shared" / "data" / "news_clips" / "features.csv"


def read(work, name, video):
    return store.read(store.path(work, name, video))


def folder_bytes(work, name):
    return {path.name: path.read_bytes() for path in (work / "features" / name).iterdir()}


def random_table(rng, videos=4, columns=3, longest=30):
    """Rows (video, frame, c0..) of random videos with gaps, shuffled."""
    parts = []
    for k in range(videos):
        frame = np.sort(rng.choice(np.arange(1, 60), rng.integers(1, longest), replace=False))
        values = rng.normal(size=(len(frame), columns))
        parts.append(
            pd.DataFrame({"video": f"{k:03d}", "frame": frame} | {f"c{i}": values[:, i] for i in range(columns)})
        )
    return pd.concat(parts).sample(frac=1, random_state=int(rng.integers(100)))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_store_holds_the_tables_values_sorted_by_frame_whatever_their_order(tmp_path, suffix):
    frame = random_table(np.random.default_rng(0), videos=7)
    path = tmp_path / f"t{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    done = importer.main(path, "mine", tmp_path)
    assert (done.videos, done.frames, done.without_face) == (7, len(frame), 0)
    assert store.videos(tmp_path, "mine") == sorted(frame["video"].unique())
    for video, rows in frame.groupby("video"):
        rows, got = rows.sort_values("frame"), read(tmp_path, "mine", video)
        assert got.has() == ("embedding",) and got.frame.dtype == np.int32 and got.embedding.dtype == np.float16
        np.testing.assert_array_equal(got.frame, rows["frame"])
        np.testing.assert_array_equal(got.embedding, rows[["c0", "c1", "c2"]].to_numpy().astype(np.float16))


def openface(path, frames, success=None, nan_at=()):
    lines = ["frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, AU45_c"]
    for k in frames:
        first = "-nan(ind)" if k in nan_at else f" {k / 100}"
        lines.append(f"{k}, 0, {k / 30:.3f}, 0.98, {1 if success is None else int(success(k))},{first}, {k / 50}, 1")
    path.write_text("\n".join(lines) + "\n")


def test_a_folder_of_openface_files_is_one_video_each_and_frames_without_success_are_left_out(tmp_path):
    (tmp_path / "in").mkdir()
    openface(tmp_path / "in" / "a.csv", range(1, 31), success=lambda k: k % 3)
    openface(tmp_path / "in" / "b_left.csv", range(1, 11), nan_at={4})
    done = importer.main(tmp_path / "in", "openface", tmp_path)
    assert (done.plan.format.name, done.videos, done.frames, done.without_face) == ("openface", 2, 29, 11)
    a, b = (read(tmp_path, "openface", video) for video in ("a", "b_left"))
    assert a.frame.tolist() == [k for k in range(1, 31) if k % 3]
    assert b.frame.tolist() == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(b.embedding[0], np.array([0.01, 0.02, 1], np.float16))


def test_kinds_go_where_the_user_says(tmp_path):
    random_table(np.random.default_rng(1), columns=5).to_csv(tmp_path / "t.csv", index=False)
    choice = Choice(columns=("c0",), logits=("c1", "c2"), va=("c4", "c3"))
    importer.main(tmp_path / "t.csv", "mine", tmp_path, choice)
    got = read(tmp_path, "mine", "000")
    assert got.has() == ("embedding", "logits", "va")
    rows = pd.read_csv(tmp_path / "t.csv", dtype={"video": str}).query("video == '000'").sort_values("frame")
    np.testing.assert_array_equal(got.va, rows[["c4", "c3"]].to_numpy(np.float32))
    np.testing.assert_array_equal(got.logits, rows[["c1", "c2"]].to_numpy(np.float32))


def test_metadata_tell_where_the_features_come_from_and_all_videos_share_one_mark(tmp_path):
    random_table(np.random.default_rng(2)).to_csv(tmp_path / "t.csv", index=False)
    importer.main(tmp_path / "t.csv", "mine", tmp_path)
    abouts = [store.read_about(store.path(tmp_path, "mine", video)) for video in store.videos(tmp_path, "mine")]
    assert len({about["mark"] for about in abouts}) == 1
    assert abouts[0]["network"] == "mine" and abouts[0]["columns"] == '{"embedding": ["c0", "c1", "c2"]}'
    assert len(abouts[0]["weights"]) == 64 and abouts[0]["table"] == "table" and abouts[0]["pictures"]
    assert [about["video"] for about in abouts] == store.videos(tmp_path, "mine")


def test_an_imported_name_is_told_from_a_network(tmp_path):
    random_table(np.random.default_rng(3)).to_csv(tmp_path / "t.csv", index=False)
    assert not provenance.is_imported(tmp_path, "mine")
    importer.main(tmp_path / "t.csv", "mine", tmp_path)
    assert provenance.is_imported(tmp_path, "mine")
    features = store.VideoFeatures(np.array([1], np.int32), np.ones((1, 2), np.float16))
    store.write(store.path(tmp_path, "net", "a"), features, {"network": "net", "mark": "m"})
    assert not provenance.is_imported(tmp_path, "net")
    with pytest.raises(InputError, match="holds features that a network made"):
        importer.main(tmp_path / "t.csv", "net", tmp_path, redo=True)


def test_the_same_import_again_does_nothing_and_a_lost_file_comes_back(tmp_path, monkeypatch):
    random_table(np.random.default_rng(4)).to_csv(tmp_path / "t.csv", index=False)
    first = importer.main(tmp_path / "t.csv", "mine", tmp_path)
    made = folder_bytes(tmp_path, "mine")
    store.path(tmp_path, "mine", "001").unlink()
    cut = store.path(tmp_path, "mine", "002")
    cut.write_bytes(cut.read_bytes()[:-2])
    assert importer.main(tmp_path / "t.csv", "mine", tmp_path) == first
    assert folder_bytes(tmp_path, "mine") == made
    monkeypatch.setattr(importer, "_videos", None)
    assert importer.main(tmp_path / "t.csv", "mine", tmp_path) == first


def test_another_table_under_the_same_name_is_refused_and_redo_replaces_all_of_it(tmp_path):
    random_table(np.random.default_rng(5), videos=5).to_csv(tmp_path / "t.csv", index=False)
    random_table(np.random.default_rng(6), videos=2).to_csv(tmp_path / "u.csv", index=False)
    importer.main(tmp_path / "t.csv", "mine", tmp_path)
    with pytest.raises(InputError, match=r"imported before with another weights .*--redo replaces it"):
        importer.main(tmp_path / "u.csv", "mine", tmp_path)
    with pytest.raises(InputError, match="imported before with another columns"):
        importer.main(tmp_path / "t.csv", "mine", tmp_path, Choice(columns=("c0",)))
    importer.main(tmp_path / "u.csv", "mine", tmp_path, redo=True)
    assert store.videos(tmp_path, "mine") == ["000", "001"]
    assert [path.name for path in (tmp_path / "features").iterdir() if path.name != ".replacing"] == ["mine"]


def test_an_import_that_fails_leaves_what_was_there_and_nothing_half_done(tmp_path):
    random_table(np.random.default_rng(7)).to_csv(tmp_path / "t.csv", index=False)
    importer.main(tmp_path / "t.csv", "mine", tmp_path)
    made = folder_bytes(tmp_path, "mine")
    bad = random_table(np.random.default_rng(8))
    bad.iloc[-1, 3] = 70000
    bad.to_csv(tmp_path / "bad.csv", index=False)
    for name in ("mine", "new"):
        with pytest.raises(InputError, match="70000"):
            importer.main(tmp_path / "bad.csv", name, tmp_path, redo=True)
    assert folder_bytes(tmp_path, "mine") == made
    assert [path.name for path in (tmp_path / "features").iterdir() if path.name != ".replacing"] == ["mine"]


def write_csv(path, *rows, header="video,frame,x,y"):
    path.write_text("\n".join([header, *rows]) + "\n")


@pytest.mark.parametrize(
    ("rows", "choice", "text"),
    [
        (["a,0,1,1"], Choice(), r"row 1: frame is 0, expected a frame number from 1 \(the table counts from 0: add"),
        (["a,1,1,1", "a,2.5,1,1"], Choice(), "row 2: frame is 2.5, expected a frame number"),
        (["a,1,1,1", "a,,1,1"], Choice(), "row 2: frame is nan"),
        (["a,1,1,1", "b,1,1,1", "a,1,2,2"], Choice(), "frame 1 of video 'a' is there twice; keep one face per frame"),
        (["a,0,1,1", "a,0,2,2"], Choice(first_frame=0), "frame 0 of video 'a' is there twice"),
        ([",1,1,1"], Choice(), "row 1: the video's name is missing"),
        (["a,1,1,1", "a,2,1,65520"], Choice(), "video 'a', frame 2: y is 65520, .* up to 65504: divide the column"),
        (["a,1,inf,1"], Choice(logits=("x",)), "video 'a', frame 1: x is inf"),
        (["a,1,,1", "a,2,,3"], Choice(), "every row lacks a value; found none in x"),
        ([], Choice(), "no rows in it|no numbers"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, choice, text):
    write_csv(tmp_path / "t.csv", *rows)
    with pytest.raises(InputError, match=text):
        importer.main(tmp_path / "t.csv", "mine", tmp_path, choice)
    assert not (tmp_path / "features" / "mine").exists()


def test_first_frame_shifts_and_65504_still_fits(tmp_path):
    write_csv(tmp_path / "t.csv", "a,0,65504,-65504", "a,3,1,2")
    importer.main(tmp_path / "t.csv", "mine", tmp_path, Choice(first_frame=0))
    got = read(tmp_path, "mine", "a")
    assert got.frame.tolist() == [1, 4] and got.embedding[0].tolist() == [65504, -65504]


def test_a_table_without_a_video_column_with_two_videos_gets_a_hint(tmp_path):
    write_csv(tmp_path / "t.csv", "1,5", "1,6", header="frame,x")
    with pytest.raises(InputError, match="name the column of the videos with --video-column"):
        importer.main(tmp_path / "t.csv", "mine", tmp_path)


def test_the_files_of_a_folder_must_have_the_same_columns(tmp_path):
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in" / "a.csv", "a,1,1,1")
    write_csv(tmp_path / "in" / "b.csv", "b,1,1", header="video,frame,x")
    with pytest.raises(InputError, match=r"b\.csv: no column 'y', which a\.csv has"):
        importer.main(tmp_path / "in", "mine", tmp_path)


def test_a_video_spread_over_two_files_is_one_video(tmp_path):
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in" / "a.csv", "v.mp4,2,1,1", "w,1,0,0")
    write_csv(tmp_path / "in" / "b.csv", "v.mp4,1,3,3")
    importer.main(tmp_path / "in", "mine", tmp_path)
    got = read(tmp_path, "mine", "v")
    assert got.frame.tolist() == [1, 2] and got.embedding[:, 0].tolist() == [3, 1]


@pytest.mark.parametrize("name", ["demo_enet", "a/b", ".x", ""])
def test_names_that_are_taken_or_no_names_are_refused(tmp_path, name):
    write_csv(tmp_path / "t.csv", "a,1,1,1")
    with pytest.raises(InputError, match="--name"):
        importer.main(tmp_path / "t.csv", name, tmp_path)


def test_the_command_says_what_it_took_and_bad_input_is_one_line(tmp_path):
    write_csv(tmp_path / "t.csv", "a,1,1,1", "a,2,,1", "b,1,1,1")
    command = [sys.executable, "-m", "extract.tabular", str(tmp_path / "t.csv"), "--work", str(tmp_path)]
    done = command_server.run([*command, "--name", "mine", "--columns", "x, y"])
    assert done.returncode == 0 and done.stderr == ""
    assert "embedding: x, y" in done.stdout and "2 frames of 2 videos" in done.stdout
    assert "1 frames without a face" in done.stdout
    bad = command_server.run([*command, "--name", "other", "--columns", "z"])
    assert bad.returncode == 2 and bad.stderr.startswith("error: ") and bad.stderr.count("\n") == 1


@pytest.mark.skipif(not NEWS.is_file(), reason="the shared folder's news clips are not here")
def test_real_pyfeat_clips_import_and_their_action_units_tell_valence_on_held_out_clips(tmp_path):
    from sklearn.linear_model import Ridge

    done = importer.main(NEWS, "news", tmp_path, Choice(columns=("AU*",), va=("valence", "arousal")))
    assert (done.plan.format.name, done.videos, done.frames, done.without_face) == ("pyfeat", 20, 477, 0)
    videos = store.videos(tmp_path, "news")
    assert videos == [f"{k:03d}" for k in range(1, 21)]
    clips = [read(tmp_path, "news", video) for video in videos]
    assert clips[0].embedding.shape == (20, 20) and clips[0].frame.tolist() == list(range(1, 40, 2))
    error, mean_error = [], []
    for fold in range(5):
        train = [clip for k, clip in enumerate(clips) if k % 5 != fold]
        x, y = (np.concatenate([getattr(clip, kind) for clip in train]).astype(float) for kind in ("embedding", "va"))
        head = Ridge(1.0).fit(x, y[:, 0])
        for clip in clips[fold::5]:
            error.append(np.mean((head.predict(clip.embedding.astype(float)) - clip.va[:, 0]) ** 2))
            mean_error.append(np.mean((y[:, 0].mean() - clip.va[:, 0]) ** 2))
    assert np.mean(error) < 0.5 * np.mean(mean_error)
