"""Learning from synthetic data from folders of pictures to a checked submission, on some dozens of drawn faces."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from blend import run
from blend.config import Config
from blend.pool import external
from blend.predict import trained_blends
from blend.submission import check
from extract import config as configs
from extract import enlarge
from extract.demo import picture_corpus
from extract.runtime.errors import InputError
from heads.abaw.tasks import find
from heads.data import predictions

TRAIN, VAL, TEST = 10, 6, 15
"""Pictures of each class, and of the test set."""
FOLDERS = ("ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE")
QUICK = {
    "heads": {"lsd": {"use": ["pretrained", "lightgbm"], "lightgbm": {"trees": 10}}},
    "blend": {"lsd": {"trials": 8, "folds": 2, "select_folds": 2, "fold_trials": 1, "draws": 100}},
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three folders and the list as the organisers hand them out; one training and one test picture are broken."""
    root = tmp_path_factory.mktemp("lsd")
    person = 0
    for part, count in (("train", TRAIN), ("val", VAL)):
        for label, folder in enumerate(FOLDERS):
            (root / part / folder).mkdir(parents=True)
            for i in range(1, count + 1):
                picture = picture_corpus.draw(5, person := person + 1, label, part == "train")
                cv2.imwrite(str(root / part / folder / f"{i}.jpg"), picture)
    (root / "pictures").mkdir()
    for i in range(TEST):
        cv2.imwrite(str(root / "pictures" / f"{i}.jpg"), picture_corpus.draw(5, person := person + 1, i % 6, False))
    (root / "train" / "FEAR" / "3.jpg").write_bytes(b"no picture")
    (root / "val" / "SURPRISE" / "6.jpg").write_bytes(b"no picture")  # the last of its set
    (root / "pictures" / "7.jpg").write_bytes(b"no picture")
    (root / "list.txt").write_text("image,expression\n" + "".join(f"{i}.jpg\n" for i in range(TEST)))
    return root


def config(root: Path, **changes: str) -> Config:
    paths = {"train": "train", "val": "val", "test": "list.txt", "pictures": "pictures"} | changes
    corpus = {"name": "lsd", "lsd": {key: str(root / name) for key, name in paths.items()}}
    return configs.from_tables(Config, {"corpus": corpus, "features": {"networks": ["demo_mt_enet"]}, **QUICK})


@pytest.fixture(scope="module")
def work(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    run.main(config(faces), "lsd", folder)
    return folder


def test_the_submission_is_complete_and_of_the_official_format(faces, work, capsys):
    out = work / "blend" / "lsd"
    lines = (out / "submission.txt").read_text().splitlines()
    assert lines[0] == "image,expression" and [line.split(",")[0] for line in lines[1:]] == [
        f"{i}.jpg" for i in range(15)
    ]
    assert {line.split(",")[1] for line in lines[1:]} <= set("012345")
    template = check.read_template(faces / "list.txt")
    assert template.kind.name == "lsd" and check.list_problems(out / "submission.txt", template) == []
    report = json.loads((out / "report.json").read_text())
    assert report["k"] == 0 and report["task"] == "lsd" and set(report["heads"]) == {
        "pretrained-demo_mt_enet", "lightgbm-demo_mt_enet"
    }  # fmt: skip
    assert report["data"]["validation"]["labelled"] == 6 * VAL and report["data"]["train"]["labelled"] == 6 * TRAIN
    page = (out / "report.html").read_text()
    assert "Learning from synthetic data" in page and "is a set of neighbouring pictures" in page


def test_pre_trained_logits_are_those_of_six_columns(faces, work):
    """Against the network's own argmax over six of its eight logits, and scikit-learn's score."""
    head = predictions.read(work / "heads" / "lsd" / "pretrained-demo_mt_enet" / "val.parquet", find("lsd"))
    from safetensors.numpy import load_file

    truth, by_head, by_hand = [], [], []
    for name, (frames, scores) in head.videos.items():
        stored = load_file(work / "features" / "demo_mt_enet" / f"{name}.safetensors")
        six = stored["logits"][:, [0, 2, 3, 4, 6, 7]]
        powers = np.exp(six - six.max(1, keepdims=True))
        np.testing.assert_allclose(scores, powers / powers.sum(1, keepdims=True), atol=1e-5)
        by_head += scores.argmax(1).tolist()
        by_hand += six.argmax(1).tolist()
        place = int(name.rpartition("-")[2])
        classes = [c for c in range(6) if any(i * 100 // VAL == place for i in range(VAL))]
        truth += [classes[frame - 1] for frame in frames.tolist()]
    assert by_head == by_hand and len(truth) == 6 * VAL - 1
    report = json.loads((work / "heads" / "lsd" / "pretrained-demo_mt_enet" / "report.json").read_text())
    assert report["val_score"] == pytest.approx(f1_score(truth, by_head, average="macro"), abs=1e-9)


def test_broken_pictures_are_named_left_out_and_counted(faces, work):
    listed = json.loads((work / "features" / "demo_mt_enet" / "failures.json").read_text())
    assert {Path(item["picture"]).relative_to(faces).as_posix() for item in listed} == {
        "train/FEAR/3.jpg",
        "pictures/7.jpg",
        "val/SURPRISE/6.jpg",
    }
    head = predictions.read(work / "heads" / "lsd" / "lightgbm-demo_mt_enet" / "test.parquet", find("lsd"))
    assert sum(len(frames) for frames, _ in head.videos.values()) == TEST - 1
    prior = json.loads((work / "heads" / "lsd" / "prior.json").read_text())
    assert prior["counts"]["frames"] == 6 * TRAIN and prior["Fear"] == pytest.approx(1 / 6)


def test_a_picture_without_a_prediction_is_no_mix_of_its_neighbours(faces, work):
    from blend.config import RunRequest
    from blend.pool import inputs

    own = config(faces)
    prior = json.loads((work / "heads" / "lsd" / "prior.json").read_text())
    names = ["lightgbm-demo_mt_enet", "pretrained-demo_mt_enet"]
    target = inputs.load_pools(inputs.find_inputs(own, RunRequest("lsd", work), names)).target
    [row] = np.flatnonzero(~target.present)
    np.testing.assert_allclose(target.scores[:, row], [[prior[name] for name in find("lsd").outputs]] * 2, atol=1e-6)


def test_it_is_no_blend_for_videos_and_a_submission_is_no_prediction(work, tmp_path):
    with pytest.raises(InputError, match="is of task 'lsd', of single pictures; expected a blend of au, expr, va"):
        trained_blends.find([work / "blend" / "lsd"])
    with pytest.raises(InputError, match="expected a table with the columns video, frame, Anger"):
        external.read_external(work / "blend" / "lsd" / "submission.txt", find("lsd"))


def test_nothing_is_made_again(faces, work):
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file() and path.name != ".lock"}
    run.main(config(faces), "lsd", work)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_enlarged_pictures_give_features_of_their_own(faces, work, tmp_path):
    enlarge.main(faces / "train", tmp_path / "train")
    with Image.open(tmp_path / "train" / "FEAR" / "1.jpg") as picture:
        assert picture.size == (112, 112)
    own = tmp_path / "work"
    shutil.copytree(work, own)
    run.main(config(faces, train=str(tmp_path / "train")), "lsd", own)
    name = "features/demo_mt_enet/train-00.safetensors"
    assert (own / name).read_bytes() != (work / name).read_bytes(), "the folder has the same name"
    name = "features/demo_mt_enet/val-00.safetensors"
    assert (own / name).read_bytes() == (work / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": "list.txt"}, r"list\.txt: a file, expected a folder that holds a folder of pictures"),
        ({"val": "gone"}, "gone: cannot be read"),
        ({"test": "train"}, "train: a folder"),
        ({"pictures": "gone"}, "gone: no such folder"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_made(faces, tmp_path, changes, said):
    with pytest.raises(InputError, match=said) as refused:
        run.main(config(faces, **changes), "lsd", tmp_path / "work")
    assert "\n" not in str(refused.value) and not (tmp_path / "work" / "features").exists()


def test_other_corpora_and_tasks_say_where_lsd_is(faces, tmp_path):
    demo = configs.load(Config, configs.DEFAULT)
    with pytest.raises(InputError, match=r"has no task 'lsd'.*configs/demo_lsd\.toml has lsd"):
        run.main(demo, "lsd", tmp_path)
    with pytest.raises(InputError, match="has no task 'au'"):
        run.main(config(faces), "au", tmp_path)
    with pytest.raises(InputError, match="single pictures have no neighbours to smooth over"):
        configs.load(Config, configs.CONFIGS / "demo_lsd.toml", ["blend.lsd.k=5"])
    temporal = 'heads.lsd.lightgbm.temporal=[{of="logits"}]'
    with pytest.raises(InputError, match="temporal columns: pictures of task 'lsd' are of no video"):
        run.main(configs.load(Config, configs.CONFIGS / "demo_lsd.toml", [temporal]), "lsd", tmp_path)


@pytest.mark.slow
def test_the_embedded_pictures_end_with_a_checked_submission_and_a_test_score(tmp_path):
    report = run.main(configs.load(Config, configs.CONFIGS / "demo_lsd.toml"), "lsd", tmp_path)
    listed = tmp_path / "corpus" / "test_set" / picture_corpus.LIST
    submission = tmp_path / "blend" / "lsd" / "submission.txt"
    assert check.list_problems(submission, check.read_template(listed)) == []
    assert report["test"]["frames"] == sum(picture_corpus.PARTS["test"].counts) and report["test"]["score"] > 0.6
    assert not picture_corpus.is_done(tmp_path / "corpus", seed=1) and picture_corpus.is_done(tmp_path / "corpus")
