import json
import os
import shutil
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from support import command_server

from extract import run
from extract.config import Config
from extract.engines.openvino_engine import Setting
from extract.engines.race import Calibration
from extract.features import pipeline, store
from extract.features import step as feature_step
from extract.runtime import locks
from extract.runtime.errors import InputError


@pytest.fixture
def config(tmp_path, crops, network_file):
    network_file(tmp_path / "net.onnx", size=32)
    return Config.model_validate(
        {
            "corpus": {"name": "c", "frames": str(crops)},
            "features": {"networks": ["net"]},
            "networks": {
                "net": {
                    "path": str(tmp_path / "net.onnx"),
                    "size": 32,
                    "mean": [0.5] * 3,
                    "std": [0.5] * 3,
                    "embedding": "embedding",
                    "logits": "output",
                }
            },
        }
    )


def files(work):
    return {path.name: path.read_bytes() for path in (work / "features" / "net").glob("*.safetensors")}


def test_every_video_gets_a_file_and_a_second_run_does_nothing(tmp_path, config, monkeypatch):
    run.main(config, tmp_path / "work")
    made = files(tmp_path / "work")
    assert sorted(made) == ["a.safetensors", "b_left.safetensors", "empty.safetensors"]
    read = store.read(store.path(tmp_path / "work", "net", "b_left"))
    assert read.frame.tolist() == [5, 6, 10000] and read.logits.shape == (3, 8)
    assert store.read(store.path(tmp_path / "work", "net", "empty")).embedding.shape == (0, 5)
    monkeypatch.setattr(feature_step.create, "create", None)
    run.main(config, tmp_path / "work")
    assert files(tmp_path / "work") == made


def test_what_is_missing_or_damaged_is_made_again_to_the_same_bytes(tmp_path, config):
    run.main(config, tmp_path / "work")
    made = files(tmp_path / "work")
    store.path(tmp_path / "work", "net", "a").unlink()
    cut = store.path(tmp_path / "work", "net", "b_left")
    cut.write_bytes(cut.read_bytes()[:-3])
    run.main(config, tmp_path / "work")
    assert files(tmp_path / "work") == made


def test_a_new_picture_makes_its_video_out_of_date(tmp_path, config, crops):
    run.main(config, tmp_path / "work")
    (crops / "empty" / "00004.jpg").write_bytes((crops / "a" / "00001.jpg").read_bytes())
    run.main(config, tmp_path / "work")
    assert store.read(store.path(tmp_path / "work", "net", "empty")).frame.tolist() == [4]


def with_another(config, tmp_path, network_file, size):
    """The config with a second network."""
    network_file(tmp_path / "other.onnx", size=size, seed=1)
    other = config.networks["net"].model_copy(update={"path": tmp_path / "other.onnx", "size": size})
    both = config.features.model_copy(update={"networks": ["net", "other"]})
    return config.model_copy(update={"features": both, "networks": config.networks | {"other": other}})


def all_files(work):
    return {str(path.relative_to(work)): path.read_bytes() for path in work.rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("size", "times", "engine"), [(32, 1, "openvino"), (16, 2, "openvino"), (32, 2, "onnxruntime")]
)
def test_networks_that_take_the_same_pixels_share_what_is_decoded(
    tmp_path, config, crops, network_file, monkeypatch, size, times, engine
):
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="the extra [gpu]")
    (crops / "a" / "00002.jpg").write_bytes(b"oops")
    both = with_another(config, tmp_path, network_file, size)
    both = both.model_copy(update={"features": both.features.model_copy(update={"engine": engine})})
    for name in ("net", "other"):
        alone = both.features.model_copy(update={"networks": [name]})
        run.main(both.model_copy(update={"features": alone}), tmp_path / "one by one")
    decoded, decode = [], pipeline._decode
    monkeypatch.setattr(pipeline, "_decode", lambda path, *what: (decoded.append(path), decode(path, *what))[1])
    run.main(both, tmp_path / "work")
    assert all_files(tmp_path / "work") == all_files(tmp_path / "one by one") and len(decoded) == 10 * times
    for name in ("net", "other"):
        assert len(json.loads((tmp_path / "work" / "features" / name / "failures.json").read_text())) == 1


def test_a_companion_takes_what_it_lacks_and_what_no_other_process_makes(tmp_path, config, network_file, monkeypatch):
    both, work = with_another(config, tmp_path, network_file, 32), tmp_path / "work"
    run.main(both, work)
    before = all_files(work)
    lost = [("net", "a"), ("net", "b_left"), ("net", "empty"), ("other", "b_left"), ("other", "empty")]
    for network, video in lost:
        store.path(work, network, video).unlink()
    made, write = [], feature_step.store.write
    monkeypatch.setattr(
        feature_step.store,
        "write",
        lambda path, *rest: (made.append((path.parent.name, path.stem)), write(path, *rest)),
    )
    first, second = run.list_steps(both, work)
    elsewhere = locks.Claims(work / "features" / "other" / ".locks")
    assert elsewhere.take("empty")
    first.make()
    assert made == [("net", "a"), ("net", "b_left"), ("other", "b_left"), ("net", "empty")]
    elsewhere.release("empty")
    second.make()
    assert sorted(made) == lost and all_files(work) == before
    store.path(work, "other", "a").unlink()
    run.main(both, work)
    assert made[len(lost) :] == [("other", "a")] and all_files(work) == before


def test_after_an_error_both_networks_go_on_in_the_same_process(tmp_path, config, network_file, monkeypatch):
    both, work, write = with_another(config, tmp_path, network_file, 32), tmp_path / "work", feature_step.store.write
    run.main(both, tmp_path / "calm")

    def full(path, *rest):
        if path.stem == "b_left" and path.parent.name == "other":
            raise OSError("no space left")
        write(path, *rest)

    with monkeypatch.context() as disk:
        disk.setattr(feature_step.store, "write", full)
        with pytest.raises(OSError, match="no space left"):
            run.main(both, work)
    assert len(all_files(work)) == 3
    run.main(both, work)
    assert all_files(work) == all_files(tmp_path / "calm")


def test_what_is_wrong_with_a_companion_waits_for_its_own_turn(tmp_path, config, network_file, monkeypatch):
    both, work, check = with_another(config, tmp_path, network_file, 32), tmp_path / "work", pipeline.check_values

    def refuse(features, network, video):
        if (network, video) == ("other", "b_left"):
            raise InputError("not finite")
        check(features, network, video)

    with monkeypatch.context() as odd:
        odd.setattr(pipeline, "check_values", refuse)
        with pytest.raises(InputError, match="not finite"):
            run.main(both, work)
    found = {(path.parent.name, path.stem) for path in work.rglob("*.safetensors")}
    assert {("net", video) for video in ("a", "b_left", "empty")} < found, "the first network is whole"
    assert ("other", "b_left") not in found
    run.main(both, work)
    assert {
        video
        for network, video in {(path.parent.name, path.stem) for path in work.rglob("*.safetensors")}
        if network == "other"
    } == {"a", "b_left", "empty"}
    (tmp_path / "other.onnx").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"other\.onnx"):
        run.main(both, tmp_path / "anew")
    assert len(list((tmp_path / "anew" / "features" / "net").glob("*.safetensors"))) == 3


def test_three_networks_are_two_that_share_and_one(tmp_path, config, network_file):
    both = with_another(config, tmp_path, network_file, 32)
    names = both.features.model_copy(update={"networks": ["net", "other", "third"]})
    networks = both.networks | {"third": both.networks["net"]}
    steps = run.list_steps(both.model_copy(update={"features": names, "networks": networks}), tmp_path / "work")
    assert [[each.name for each in step.companions] for step in steps] == [["other"], ["third"], []]


def aged(work):
    """Nothing was made just now: what is of the redo's own tick of the disk's clock would count as made since."""
    for path in (work / "features").rglob("*.safetensors"):
        os.utime(path, (1, 1))


def test_other_preprocessing_is_refused_with_both_named_and_redo_makes_it_anew(tmp_path, config):
    run.main(config, tmp_path / "work")
    changed = config.networks["net"].model_copy(update={"std": [0.25] * 3})
    changed = config.model_copy(update={"networks": {"net": changed}})
    with pytest.raises(
        InputError, match=r"a\.safetensors: made with preprocessing .*0\.5, 0\.5.*asks for .*0\.25.*--redo"
    ):
        run.main(changed, tmp_path / "work")
    before = files(tmp_path / "work")
    aged(tmp_path / "work")
    run.main(changed, tmp_path / "work", redo=True)
    assert files(tmp_path / "work")["a.safetensors"] != before["a.safetensors"]


def test_unreadable_pictures_are_listed_and_warned_of(tmp_path, config, crops, capsys):
    (crops / "a" / "00002.jpg").write_bytes(b"oops")
    run.main(config, tmp_path / "work")
    listed = json.loads((tmp_path / "work" / "features" / "net" / "failures.json").read_text())
    assert [entry["picture"] for entry in listed] == [str(crops / "a" / "00002.jpg")]
    assert "00002.jpg" in capsys.readouterr().err


def test_frames_without_any_picture_are_refused(tmp_path, config, crops):
    for path in crops.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(InputError, match="no pictures called like frames in its video folders"):
        run.main(config, tmp_path / "work")


def test_the_embeddings_are_half_precision(tmp_path, config):
    run.main(config, tmp_path / "work")
    assert store.read(store.path(tmp_path / "work", "net", "a")).embedding.dtype == np.float16


def test_the_command_line_lists_networks_and_turns_bad_input_into_exit_code_2(tmp_path):
    listed = command_server.run(
        [sys.executable, "-m", "extract.run", "--list-networks"],
        env={"COLUMNS": "200", "PATH": ""},
    )
    assert listed.returncode == 0 and "enet_b0_8_va_mtl" in listed.stdout
    wrong = command_server.run([sys.executable, "-m", "extract.run", "--set", "corpus.nmae=x"])
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ") and wrong.stderr.count("\n") == 1 and "corpus.nmae" in wrong.stderr


def test_calibrate_says_what_it_found_of_each_network_and_ends(tmp_path, monkeypatch, capsys):
    own = Setting(streams=2, threads=2, requests=4)
    tried = {own.describe(): 7}
    found = {name: Calibration(own=own, tried=tried) for name in ("demo_enet", "demo_mt_enet")}
    found["demo_mt_enet"] = found["demo_mt_enet"].model_copy(update={"setting": own, "gain": 1.5})
    monkeypatch.setattr(run.calibration, "calibrate", lambda subject: found[subject.network.name])
    command = partial(run.command, work=tmp_path, overrides=["features.engine=openvino"], fastest=True)
    for as_json in (False, True):
        with pytest.raises(SystemExit) as ended:
            command(as_json=as_json)
        assert ended.value.code == 0
    lines, text = capsys.readouterr().out.split("{", 1)
    assert [line.partition(":")[0] for line in lines.splitlines()] == [*found] and "1.50 times" in lines
    assert json.loads("{" + text)["demo_mt_enet"] == found["demo_mt_enet"].model_dump()
    found["demo_enet"] = None
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 1 and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("other", [{"redo": True}, {"place": "dask://host:1"}])
def test_calibrate_refuses_what_it_would_ignore(tmp_path, monkeypatch, capsys, other):
    monkeypatch.setattr(run, "calibrate", lambda *_: {})
    with pytest.raises(SystemExit) as ended:
        run.command(work=tmp_path, fastest=True, **other)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: --calibrate: ") and said.count("\n") == 1


def test_calibrate_is_for_networks_on_the_cpu(tmp_path, config):
    gpu = config.model_copy(update={"features": config.features.model_copy(update={"engine": "onnxruntime"})})
    with pytest.raises(InputError, match=r"^--calibrate: networks run by ONNX Runtime here"):
        run.calibrate(gpu, tmp_path / "work")
    unseen = config.model_copy(update={"corpus": config.corpus.model_copy(update={"frames": []})})
    with pytest.raises(InputError, match=r"^--calibrate: none of features\.networks sees pictures"):
        run.calibrate(unseen, tmp_path / "work")


def test_failures_of_an_earlier_run_stay_listed(tmp_path, config, crops):
    (crops / "a" / "00002.jpg").write_bytes(b"oops")
    run.main(config, tmp_path / "work")
    store.path(tmp_path / "work", "net", "b_left").unlink()
    run.main(config, tmp_path / "work")
    listed = json.loads((tmp_path / "work" / "features" / "net" / "failures.json").read_text())
    assert [entry["picture"] for entry in listed] == [str(crops / "a" / "00002.jpg")]


def test_a_demo_with_paths_of_ones_own_is_refused(tmp_path):
    mixed = Config.model_validate(
        {"corpus": {"name": "demo", "demo": True, "frames": "/mine"}, "features": {"networks": ["demo_enet"]}}
    )
    with pytest.raises(InputError, match=r"corpus\.frames: demo = true brings its own"):
        run.resolve(mixed, tmp_path)


def test_engines_may_be_mixed_in_one_folder_and_precisions_may_not(tmp_path, config):
    def by(**settings):
        return config.model_copy(update={"features": config.features.model_copy(update=settings)})

    work = tmp_path / "work"
    run.main(by(engine="openvino"), work)
    names = ("a", "b_left", "empty")
    before = {name: store.read(store.path(work, "net", name)) for name in names}
    kept = files(work)
    store.path(work, "net", "a").unlink()
    run.main(by(engine="onnxruntime"), work)
    made = {name: content == kept[name] for name, content in files(work).items()}
    assert made == {"a.safetensors": False, "b_left.safetensors": True, "empty.safetensors": True}
    assert store.read_about(store.path(work, "net", "a"))["engine"].startswith("onnxruntime")
    assert store.read_about(store.path(work, "net", "b_left"))["engine"].startswith("openvino")
    again = store.read(store.path(work, "net", "a"))
    np.testing.assert_allclose(again.logits, before["a"].logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(again.embedding, before["a"].embedding, rtol=1e-3)
    with pytest.raises(InputError, match=r"made with precision fp32; the config asks for precision bf16"):
        run.main(by(precision="bf16"), work)


def test_failures_are_told_again_by_a_run_that_finds_nothing_to_do(tmp_path, config, crops, capsys):
    (crops / "a" / "00002.jpg").write_bytes(b"oops")
    run.main(config, tmp_path / "work")
    listed = tmp_path / "work" / "features" / "net" / "failures.json"
    listed.unlink()  # as after a kill behind the last video
    capsys.readouterr()
    run.main(config, tmp_path / "work")
    assert "00002.jpg" in listed.read_text() and "00002.jpg" in capsys.readouterr().err


def test_known_networks_are_looked_for_in_the_folder_that_is_given(tmp_path, config):
    features = config.features.model_copy(update={"networks": ["enet_b0_8_va_mtl"], "weights": tmp_path / "given"})
    given = config.model_copy(update={"features": features})
    assert run.registry.find("enet_b0_8_va_mtl", given).path is None
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "enet_b0_8_va_mtl.onnx").write_bytes(b"another file")
    with pytest.raises(InputError, match=r"given/enet_b0_8_va_mtl\.onnx: git blob hash is"):
        run.main(given, tmp_path / "work")


def test_a_killed_redo_makes_only_the_rest(tmp_path, config, monkeypatch):
    work, made = tmp_path / "work", []
    run.main(config, work)
    before = files(work)
    write = feature_step.store.write

    def dies_at_the_second(path, *rest):
        if made:
            raise KeyboardInterrupt
        made.append(path.name)
        write(path, *rest)

    monkeypatch.setattr(feature_step.store, "write", dies_at_the_second)
    aged(work)
    with pytest.raises(KeyboardInterrupt):
        run.main(config, work, redo=True)
    monkeypatch.setattr(feature_step.store, "write", lambda path, *rest: (made.append(path.name), write(path, *rest)))
    run.main(config, work)
    assert sorted(made) == sorted(before) and files(work) == before
    run.main(config, work)
    assert len(made) == len(before)


def test_without_frames_and_features_the_command_does_not_say_that_there_are_some(tmp_path, capsys):
    (toml := tmp_path / "x.toml").write_text('[corpus]\nname = "x"\n[features]\nnetworks = ["nobody"]\n')
    with pytest.raises(SystemExit) as ended:
        run.command(config=toml, work=tmp_path / "work")
    said = capsys.readouterr()
    assert (
        ended.value.code == 2 and said.out == "" and "corpus.frames is missing" in said.err and "'nobody'" in said.err
    )


def test_rendered_videos_are_handed_over_some_at_a_time(tmp_path, monkeypatch):
    def make(folder, on_progress):
        for done in range(21):  # before the first video, too
            on_progress(done, 20)

    drawn = SimpleNamespace(is_done=lambda folder: False, make=make)
    monkeypatch.setattr(run, "embedded_corpus", lambda config: drawn)
    calls = []
    run._render(SimpleNamespace(), tmp_path, False, lambda: calls.append(1))
    assert len(calls) == 2, "after 8 and 16 calls; what the last ones leave is done afterwards, with a bar"


@pytest.fixture
def rendered(config, crops, monkeypatch):
    """A config whose embedded corpus is `crops`, rendered a video at a time, and handed over after the first."""

    def make(folder, on_progress):
        on_progress(0, 3)
        for done, video in enumerate(("a", "b_left", "empty"), 1):
            if not (to := folder / "frames" / video).exists():
                shutil.copytree(crops / video, to)
            on_progress(done, 3)
        (folder / "DONE").touch()

    drawn = SimpleNamespace(
        VERSION="1",
        is_done=lambda folder: (folder / "DONE").exists(),
        make=make,
        paths=lambda folder: {"frames": folder / "frames"},
    )
    monkeypatch.setattr(run, "embedded_corpus", lambda config: drawn)
    monkeypatch.setattr(run, "VIDEOS_AT_A_TIME", 2)
    corpus = type(config.corpus).model_validate({"name": "demo", "demo": True})
    return config.model_copy(update={"corpus": corpus})


def test_what_is_extracted_beside_rendering_is_what_is_extracted_behind_it(tmp_path, rendered, monkeypatch):
    early, extract = [], run._extract_rendered

    def noting(config, work, engines):
        extract(config, work, engines)
        early.append(sorted(files(work)))

    monkeypatch.setattr(run, "_extract_rendered", noting)
    run.main(rendered, tmp_path / "beside")
    assert early == [["a.safetensors"]]
    monkeypatch.setattr(run, "_extract_rendered", lambda *_: None)
    run.main(rendered, tmp_path / "behind")
    assert files(tmp_path / "beside") == files(tmp_path / "behind") and len(files(tmp_path / "beside")) == 3


def test_bad_input_that_is_met_beside_rendering_leaves_a_corpus_that_goes_on(tmp_path, rendered, monkeypatch):
    def refuse(*_):
        raise InputError("no such network")

    extract = run._extract_rendered
    monkeypatch.setattr(run, "_extract_rendered", refuse)
    with pytest.raises(InputError, match="no such network"):
        run.main(rendered, tmp_path / "work")
    assert [path.name for path in (tmp_path / "work" / "corpus" / "frames").iterdir()] == ["a"]
    monkeypatch.setattr(run, "_extract_rendered", extract)
    run.main(rendered, tmp_path / "work")
    run.main(rendered, tmp_path / "other")
    assert files(tmp_path / "work") == files(tmp_path / "other") and len(files(tmp_path / "work")) == 3


@pytest.mark.parametrize("case", ["", "redo", "sound", "pictures", "cluster"])
def test_networks_run_beside_rendering_where_nothing_else_wants_its_place(tmp_path, rendered, monkeypatch, case):
    class Rendered(Exception):
        pass

    def render(config, work, sound, on_videos):
        on_videos()
        raise Rendered

    calls = []
    monkeypatch.setattr(run, "_render", render)
    monkeypatch.setattr(run, "_extract_rendered", lambda *_: calls.append(1))
    if case == "sound":
        monkeypatch.setattr(run.audio_step, "names", lambda *_: ["heard"])
    if case == "cluster":
        monkeypatch.setattr(run.session, "current_cluster", SimpleNamespace)
    if case == "pictures":
        rendered = rendered.model_copy(update={"corpus": rendered.corpus.model_copy(update={"demo": "pictures"})})
    with pytest.raises(Rendered):
        run.main(rendered, tmp_path / "work", redo=case == "redo")
    assert len(calls) == (case == "")
