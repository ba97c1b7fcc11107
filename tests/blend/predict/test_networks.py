"""Which networks a blend's heads read, from what blend.run left, from a config, or from the project's own."""

import json
import os
from pathlib import Path

import pytest

from blend import apply
from blend.decision.params import Params
from blend.pool import networks as predict_networks
from blend.predict import features as video_features
from blend.predict import trained_blends
from blend.predict.trained_blends import TrainedBlend
from extract.config import Config
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

OWN = {"path": "nets/mine.onnx", "size": 64, "mean": [0.0] * 3, "std": [1.0] * 3, "logits": "x"}


def trained(folder, *networks):
    task = TASKS["va"]
    folder.mkdir(exist_ok=True)
    blend = apply.Blend(Params("va", task.outputs, ("a",), (1.0,)), {"valence": 0, "arousal": 0}, "train")
    return TrainedBlend(folder, folder, task, blend, {"a": folder / "a"}, networks)


def config(**networks):
    corpus = {"name": "made-up", "frames": "frames"}
    return Config.model_validate({"corpus": corpus, "features": {"networks": ["mine"]}, "networks": networks})


def test_a_network_of_ones_own_is_found_again_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = trained(tmp_path / "blend", "mine", "demo_enet")
    predict_networks.keep_networks(one.folder, config(mine=OWN))
    written = (one.folder / "networks.json").stat().st_mtime_ns
    predict_networks.keep_networks(one.folder, config(mine=OWN))
    assert (one.folder / "networks.json").stat().st_mtime_ns == written, "the same is not written again"
    monkeypatch.chdir("/")
    found = video_features.settings([one], None)
    assert found["features"]["networks"] == ["demo_enet", "mine"]
    assert found["networks"]["mine"]["path"] == str(tmp_path / "nets" / "mine.onnx")
    Config.model_validate({"corpus": {"name": "x"}, **found})


def test_a_record_cannot_say_that_a_pickle_is_trusted(tmp_path):
    one = trained(tmp_path / "blend", "mine")
    predict_networks.keep_networks(one.folder, config(mine=OWN | {"trust_pickle": True}))
    assert "trust_pickle" not in (one.folder / "networks.json").read_text()
    record = {"features": {"networks": ["mine"]}, "networks": {"mine": OWN | {"trust_pickle": True}}}
    (one.folder / "networks.json").write_text(json.dumps(record))
    assert "trust_pickle" not in video_features.settings([one], None)["networks"]["mine"]
    (tmp_path / "mine.toml").write_text(
        '[corpus]\nname = "c"\n[features]\nnetworks = ["mine"]\n[networks.mine]\npath = "m.pt"\nsize = 8\n'
        'mean = [0, 0, 0]\nstd = [1, 1, 1]\narch = "resnet10t"\nclasses = ["a"]\ntrust_pickle = true\n'
    )
    assert video_features.settings([one], tmp_path / "mine.toml")["networks"]["mine"]["trust_pickle"] is True


def test_a_config_given_takes_the_place_of_the_record(tmp_path):
    one = trained(tmp_path / "blend", "mine")
    (tmp_path / "mine.toml").write_text(
        '[corpus]\nname = "c"\n[features]\nnetworks = ["mine"]\nprecision = "bf16"\n'
        '[networks.mine]\npath = "m.onnx"\nsize = 8\nmean = [0]\nstd = [1]\ncolour = "grey"\nlogits = "x"\n'
    )
    found = video_features.settings([one], tmp_path / "mine.toml")
    assert found["features"]["precision"] == "bf16"
    assert found["networks"]["mine"]["path"] == str(tmp_path / "m.onnx")


def test_a_network_that_has_learnt_in_the_work_folder_needs_no_section_in_the_config_given(tmp_path):
    one = trained(tmp_path / "blend", "ft")
    learnt = one.work / "networks" / "ft"
    learnt.mkdir(parents=True)
    (learnt / "ft.toml").write_text(
        '[networks.ft]\npath = "ft.onnx"\nsize = 8\nmean = [0]\nstd = [1]\ncolour = "grey"\nlogits = "x"\n'
    )
    (tmp_path / "mine.toml").write_text('[corpus]\nname = "c"\n[features]\nnetworks = ["ft"]\n')
    found = video_features.settings([one], tmp_path / "mine.toml")
    assert found["networks"]["ft"]["path"] == str(learnt / "ft.onnx")


def test_without_a_record_the_projects_networks_are_known_and_others_are_asked_for(tmp_path):
    found = video_features.settings([trained(tmp_path / "a", "enet_b0_8_va_mtl")], None)
    assert found["features"]["networks"] == ["enet_b0_8_va_mtl"]
    with pytest.raises(InputError, match=r"network 'mine', which is not known here; give --config"):
        video_features.settings([trained(tmp_path / "b", "mine")], None)


def test_an_imported_table_cannot_be_made_of_a_video(tmp_path, monkeypatch):
    monkeypatch.setattr("extract.features.provenance.is_imported", lambda work, name: name == "pyfeat")
    with pytest.raises(InputError, match="imported table 'pyfeat', which cannot be made of a video"):
        video_features.settings([trained(tmp_path / "a", "pyfeat")], None)


@pytest.mark.parametrize("text", ["no json", json.dumps([1])])
def test_a_damaged_record_is_named(tmp_path, text):
    one = trained(tmp_path / "blend", "demo_enet")
    Path(one.folder / "networks.json").write_text(text)
    with pytest.raises(InputError, match=r"networks\.json: .*JSON.*run python -m blend\.run .* again"):
        video_features.settings([one], None)


def test_a_pipe_in_the_place_of_params_json_is_named_and_not_waited_for(tmp_path):
    folder = tmp_path / "work" / "blend" / "va"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "params.json")
    with pytest.raises(InputError, match=r"params\.json: a named pipe, expected a file"):
        trained_blends.find([folder])
