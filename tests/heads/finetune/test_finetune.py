"""`python -m heads.finetune`: from a corpus to a network that extract and heads take, killed or not."""

import contextlib
import functools
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
import typer
from support import kills, made_pictures

from blend import dry_run
from blend import run as blend_run
from blend.config import Config as BlendConfig
from blend.config import RunRequest
from extract import config as configs
from extract.learning import export, names, start, train
from extract.learning.checkpoint import Position
from extract.learning.recipe import Recipe
from extract.networks import facts as network_facts
from extract.networks.registry import NETWORKS
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads import run as heads_run
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.finetune import __main__ as program
from heads.finetune import corpus
from heads.tune import search

ROOT = Path(__file__).parents[3]
QUICK = ["finetune.ft.epochs=1", "finetune.ft.batch=32", "finetune.ft.save_every=1", "finetune.ft.device='cpu'"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made_pictures.write_tiny_network(folder / "tiny.pt")
    return made_pictures.write_corpus(folder)


def load(path, *overrides):
    return configs.load(Config, path, [*QUICK, *overrides])


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return program.main(load(made), "expr", "tiny", "ft", work)


def test_what_is_left_is_a_network_its_section_and_what_it_was_made_from(made, finished):
    assert sorted(path.name for path in finished.iterdir() if path.name[0] != ".") == [
        "DONE", "failures.json", "ft.onnx", "ft.toml", "provenance.json",
    ]  # fmt: skip
    facts = json.loads((finished / "provenance.json").read_text())
    assert facts["task"] == "expr" and facts["network"] == "tiny" and facts["metric"] == "dev macro F1"
    assert facts["videos"] == [f"train{v}" for v in range(6)] and set(facts["dev_videos"]) < set(facts["videos"])
    assert len(facts["scores"]) == 2 and facts["recipe"]["epochs"] == 1
    inside = network_facts.read(finished / "ft.onnx")
    assert inside["videos"] == facts["videos"] and inside["mark"] == facts["mark"]
    made_at = (finished / "ft.onnx").stat().st_mtime_ns
    assert program.main(load(made, "finetune.ft.save_every=7"), "expr", "tiny", "ft", finished.parents[1]) == finished
    assert (finished / "ft.onnx").stat().st_mtime_ns == made_at, "made once"


@pytest.fixture
def extended(made, finished, tmp_path, monkeypatch):
    """A config that has the fine-tuned network, and one linear head that reads its logits."""
    text = made.read_text().replace('networks = ["demo_enet"]', 'networks = ["ft"]')
    text = re.sub(r'"(frames|\w+/(train|val)|tiny.pt)"', lambda m: f'"{made.parent / m[1]}"', text)
    (tmp_path / "mine.toml").write_text(f'extends = "{finished / "ft.toml"}"\n{text}')
    monkeypatch.setenv("AFFECT_HEADS_THREADS", "1")
    sets = ['heads.expr.use=["linear"]', "heads.expr.linear.inputs=['logits']"]
    return lambda *more: load(tmp_path / "mine.toml", *sets, *more)


def test_a_config_that_extends_the_section_has_the_network_and_heads_that_would_learn_from_it_are_refused(
    extended, tmp_path
):
    with pytest.raises(InputError) as error:
        heads_run.main(extended(), "expr", tmp_path / "w")
    said = str(error.value)
    assert "head 'linear-ft' would learn from features of 'ft' of 6 training videos (first: 'train0')" in said
    assert said.endswith("networks.ft.trust_train = true")
    with pytest.raises(InputError, match="head 'linear-ft' would learn from features of 'ft'"):
        search.main(extended(), search.SearchRequest("expr", 1, "linear"), tmp_path / "w")


def test_a_network_that_has_learnt_in_the_same_work_folder_is_known_without_a_section(made, finished, monkeypatch):
    monkeypatch.setenv("AFFECT_HEADS_THREADS", "1")
    work, sets = finished.parents[1], ['features.networks=["ft"]', 'heads.expr.use=["linear"]']
    config = configs.load(BlendConfig, made, [*QUICK, *sets])  # blend_run compiles by its settings what is not compiled
    assert "ft" not in config.networks and names.add_learnt_networks(config, work / "other") is config
    with pytest.raises(InputError, match="no network 'ft'"):
        heads_run.main(config, "expr", work / "other")
    said = "head 'linear-ft' would learn from features of 'ft' of 6 training videos"
    for run_main in (heads_run.main, blend_run.main):
        with pytest.raises(InputError, match=said):
            run_main(config, "expr", work)
    with pytest.raises(InputError, match=said):
        dry_run.plan(config, ["expr"], RunRequest("expr", work))
    (finished / "ft.toml").rename(finished / "kept")
    try:
        for text, said in (("[networks.ft]\nsize = 8\n", "path"), ("networks = 3\n", "no table"), ("", "no table")):
            (finished / "ft.toml").write_text(text)
            with pytest.raises(InputError, match=rf"ft\.toml: .*{said}"):
                names.add_learnt_networks(config, work)
    finally:
        (finished / "kept").rename(finished / "ft.toml")


def test_a_table_of_people_that_joins_two_videos_is_another_mark(made, tmp_path, monkeypatch):
    """Also where the held-out videos are the same: whose pictures are apart decides the start's penalty."""
    marks = []
    monkeypatch.setattr(
        program, "_learn", lambda job, data, folder, title: marks.append(program._fingerprint(job, data))
    )
    config = load(made)
    data = corpus.read(config, TASKS["expr"], Recipe(), 0)[0]
    one, other = [folder.name for folder in data.train.folders][:2]
    for joined in (one, other), (one, "nobody"):
        table = tmp_path / "people.csv"
        table.write_text("video,person\n" + "".join(f"{video},them\n" for video in joined))
        people = config.model_copy(update={"corpus": config.corpus.model_copy(update={"people": table})})
        again = corpus.read(people, TASKS["expr"], Recipe(), 0)[0]
        if (again.train.mark(), again.dev.mark()) == (data.train.mark(), data.dev.mark()):
            program.main(people, "expr", "tiny", "ft", tmp_path / "w")
    assert len(marks) == 2 and marks[0] != marks[1]


@pytest.mark.slow
def test_heads_learn_from_a_network_that_is_trusted(extended, tmp_path):
    config = extended("networks.ft.trust_train=true")
    [head] = heads_run.main(config, "expr", tmp_path / "w").values()
    assert json.loads((head / "report.json").read_text())["val_score"] > 0.5


def test_a_fine_tuned_network_that_is_fine_tuned_again_forgets_no_video(made, tmp_path):
    model = onnx.load(NETWORKS["demo_enet"].path)
    seen = {"videos": ["before", "train1"], "drawn": True}
    onnx.helper.set_model_props(model, {network_facts.KEY: json.dumps(seen)})
    onnx.save(model, tmp_path / "first.onnx")
    facts = {"path": tmp_path / "first.onnx", "size": 112, "mean": [0.5] * 3, "std": [0.5] * 3, "embedding": "e"}
    mine = Config.model_validate({"corpus": {"name": "c"}, "networks": {"first": facts}}).networks
    few = ["finetune.ft.stride=5", "finetune.ft.start_pictures=16", "finetune.ft.sam=0"]
    config = load(made, *few)
    config = config.model_copy(update={"networks": {**config.networks, **mine}})
    folder = program.main(config, "va", "first", "ft", tmp_path / "w")
    found = network_facts.read(folder / "ft.onnx")
    assert found["videos"] == ["before", *(f"train{v}" for v in range(6))]
    assert found["drawn"] and found["task"] == "va"


def test_whether_a_network_knows_drawn_faces_only_follows_from_its_start_and_the_corpus(made, finished):
    assert network_facts.read(finished / "ft.onnx")["drawn"] is False
    config, facts = load(made), TASKS["expr"]
    data = corpus.read(config, facts, Recipe(), 0)[0]
    for network, demo, drawn in (("tiny", True, True), ("demo_enet", False, True), ("tiny", False, False)):
        run = SimpleNamespace(start=start.find(network, config), train=(), metric="", seed=0, mark="")
        position = Position("m", scores=[0.5])
        assert export.describe(run, position, facts.place, network, data.videos, (), demo)["drawn"] is drawn


def config_with(made, finished, *overrides):
    section = {"networks": {"ft": {"path": finished / "ft.onnx", "size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}}}
    networks = Config.model_validate({"corpus": {"name": "c"}} | section).networks
    return load(made, *overrides).model_copy(update={"networks": networks})


def test_only_heads_that_learn_from_the_same_videos_are_refused(made, finished):
    config, reader = config_with(made, finished), corpus_checks.Reader
    corpus_checks.refuse_leaks(config, "expr", [reader("a", ("demo_enet",), "learn from")], ["train0"])
    corpus_checks.refuse_leaks(config, "expr", [reader("a", ("ft",), "learn from")], ["elsewhere"])
    corpus_checks.refuse_leaks(config, "expr", [reader("a", ("ft",))], ["train0"], ["val0"])
    with pytest.raises(InputError, match="head 'a' would learn"):
        readers = [reader("b", ("x",), "learn from"), reader("a", ("x", "ft"), "learn from")]
        corpus_checks.refuse_leaks(config, "expr", readers, ["train0"])


def test_a_pretrained_head_that_would_predict_train_out_of_fold_is_refused_as_one_that_learns(made, finished):
    config = config_with(made, finished)
    settings = heads_run.heads_config.read_head("pretrained", "expr", {})
    sources = (SimpleNamespace(network="ft"),)
    for update, said in (({}, None), ({"other": "mlp"}, "learn from"), ({"folds": 5}, r"predictions \(folds = 5\) of")):
        reader = heads_run._reader(heads_run.Spec("p", settings.model_copy(update=update), sources))
        if said is None:
            corpus_checks.refuse_leaks(config, "expr", [reader], ["train0"])
            continue
        with pytest.raises(InputError, match=f"head 'p' would .*{said} features of 'ft'"):
            corpus_checks.refuse_leaks(config, "expr", [reader], ["train0"])


def test_a_network_that_knows_the_recording_the_person_or_a_validation_video_is_refused_too(made, finished, tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("video,person\ntrain3,ann\nelsewhere,ann\nother,bob\n")
    learner, taken = (corpus_checks.Reader("a", ("ft",), does) for does in ("learn from", ""))
    config = config_with(made, finished)
    with pytest.raises(InputError, match=r"1 training videos \(first: 'train3_left'\).*, or on their recordings"):
        corpus_checks.refuse_leaks(config, "expr", [learner], ["train3_left"])
    known = config_with(made, finished, f"corpus.people={table}")
    corpus_checks.refuse_leaks(known, "expr", [learner], ["other"])
    with pytest.raises(InputError, match=r"\(first: 'elsewhere'\).*or people: there it is far too sure"):
        corpus_checks.refuse_leaks(known, "expr", [learner], ["elsewhere", "other"])
    corpus_checks.refuse_leaks(known, "expr", [taken], ["train0"], ["elsewhere"])
    with pytest.raises(InputError, match=r"'ft', which was fine-tuned on 1 of the task's validation videos .*'train1'"):
        corpus_checks.refuse_leaks(config, "expr", [taken], ["new"], ["train1"])
    trusted = {"ft": config.networks["ft"].model_copy(update={"trust_train": True})}
    config = config.model_copy(update={"networks": trusted})
    corpus_checks.refuse_leaks(config, "expr", [learner], ["train0"], ["train1"])


def test_pictures_are_cut_by_recording_and_person_strided_and_weighted(made, tmp_path):
    recipe = Recipe(stride=3, dev_stride=2)
    data = corpus.read(load(made), TASKS["expr"], recipe, seed=1)[0]
    train_videos, dev_videos = ({folder.name for folder in part.folders} for part in (data.train, data.dev))
    assert not train_videos & dev_videos and train_videos | dev_videos == set(data.videos)
    assert len(data.train) == len(train_videos) * 8 and len(data.dev) == len(dev_videos) * 12
    for part in (data.train, data.dev):
        for row in range(len(part)):
            folder, frame = part.path(row).parent.name, int(part.names[row].split(".")[0])
            assert part.truth[row] == (frame - 1 + int(folder.removeprefix("train"))) % 8
    counts = np.bincount(data.train.truth, minlength=8)
    np.testing.assert_allclose(data.target.weights, (1 / counts) / (1 / counts).min(), rtol=1e-6)
    au = corpus.read(load(made), TASKS["au"], recipe, seed=1)[0]
    rate = au.train.truth.mean(0)
    np.testing.assert_allclose(au.target.weights, [0.5 / (1 - rate), 0.5 / rate], rtol=1e-5)
    people = tmp_path / "people.csv"
    people.write_text("video,person\n" + "".join(f"train{v},{'ab'[v % 2]}\n" for v in range(6)))
    data = corpus.read(load(made, f"corpus.people={people}"), TASKS["expr"], Recipe(), seed=1)[0]
    assert {int(folder.name[-1]) % 2 for folder in data.dev.folders} in ({0}, {1})
    assert len(data.dev.folders) == 3


@pytest.mark.parametrize("file", program.CODE)
def test_other_code_that_decides_the_network_is_another_mark(made, monkeypatch, file):
    config, facts, recipe = load(made), TASKS["expr"], Recipe()
    begin, data = start.find("tiny", config), corpus.read(config, facts, recipe, 0)[0]
    job = program.Job("ft", facts, "tiny", begin, recipe, 0, False, False, Path("nowhere"))
    marks = {program._fingerprint(job, data)}
    plain = run_folder.file_hash
    monkeypatch.setattr(run_folder, "file_hash", lambda path: "other" if path == ROOT / file else plain(path))
    marks.add(program._fingerprint(job, data))
    assert (ROOT / file).is_file() and len(marks) == 2


def refusal(config, task="expr", network="tiny", name="ft", work=Path("nowhere")):
    with pytest.raises(InputError) as error:
        program.main(config, task, network, name, work)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bad_input_is_one_line_before_anything_is_written(made, tmp_path):
    assert "--task xpr: no such task" in refusal(load(made), task="xpr")
    assert "there are au, expr, va, lsd, mtl, mtl/va, mtl/expr, mtl/au" in refusal(load(made), task="mtl/vaa")
    assert "has no task 'mtl': add a section [corpus.mtl]" in refusal(load(made), task="mtl")
    assert "there is a network of that name" in refusal(load(made), name="demo_enet")
    assert "[networks.tiny] of the config is" in refusal(load(made), name="tiny", network="demo_enet")
    assert "no network 'tony'" in refusal(load(made), network="tony")
    assert "--name" in refusal(load(made), name="a/b")
    assert "corpus.frames is missing" in refusal(load(made, "corpus.frames=[]"))
    assert "no such folder" in refusal(load(made, f"corpus.expr.train={tmp_path / 'gone'}"))
    one = tmp_path / "one"
    one.mkdir()
    (one / "train0.txt").write_text((made.parent / "expr" / "train" / "train0.txt").read_text())
    assert "expected at least two" in refusal(load(made, f"corpus.expr.train={one}"))
    few = tmp_path / "few"
    few.mkdir()
    for v in range(4):
        (few / f"train{v}.txt").write_text("\n".join([TASKS["expr"].header, *["0", "1", "2"] * 8]) + "\n")
    assert "no picture of class 'Fear' among the" in refusal(load(made, f"corpus.expr.train={few}"))
    with pytest.raises(InputError, match=r"finetune\.ft\.epochs"):
        load(made, "finetune.ft.epochs=0")
    assert not Path("nowhere").exists()


def test_a_recipe_of_nearly_the_same_name_is_refused_and_of_another_told(made, capsys):
    config = load(made, "finetune.ft_expr.batch=8")
    find = functools.partial(names.find_section, config, "finetune", config.finetune, default=Recipe())
    assert find("ft_expr").batch == 8 and not capsys.readouterr().err
    said = refusal(load(made, "finetune.ft_expr.batch=8"), name="ft_exrp")
    assert "found [finetune.ft], [finetune.ft_expr], expected [finetune.ft_exrp] for --name ft_exrp" in said
    assert said.endswith("did you mean 'ft_expr'?")
    assert find("another") == Recipe()
    assert capsys.readouterr().err == "no section [finetune.another]: another learns with the defaults\n"


def test_the_command_says_what_was_left_out_and_ends_with_1(tmp_path, capsys):
    made_pictures.write_tiny_network(tmp_path / "tiny.pt")
    config = made_pictures.write_corpus(tmp_path, train=4, frames=16)
    broken = tmp_path / "frames" / "train1" / "00002.png"
    broken.write_bytes(b"\x89PNG")
    app = typer.Typer()
    app.command()(program.command)
    given = [
        "--task",
        "va",
        "--network",
        "tiny",
        "--name",
        "ft",
        "--config",
        str(config),
        "--work",
        str(tmp_path / "w"),
    ]
    sets = [part for text in QUICK for part in ("--set", text)]
    with pytest.raises(SystemExit) as ended:
        app([*given, *sets, "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert ended.value.code == 1 and found["unreadable"] == 1 and Path(found["section"]).is_file()
    assert str(broken) in said.err and "1 pictures could not be read and were left out" in said.err
    assert "or with --redo" in said.err
    failures = json.loads((tmp_path / "w" / "networks" / "ft" / "failures.json").read_text())
    assert failures == {str(broken): {"why": failures[str(broken)]["why"], "bytes": 4}}


def test_a_finished_network_is_made_anew_when_its_pictures_are_mended_or_redo_is_said(made, tmp_path, monkeypatch):
    shutil.copytree(made.parent, tmp_path / "made")
    config = load(tmp_path / "made" / made.name, "finetune.ft.stride=4", "finetune.ft.sam=0")
    picture = tmp_path / "made" / "frames" / "train1" / "00001.png"
    whole, calls = picture.read_bytes(), []
    picture.write_bytes(b"")
    learn = train.fine_tune

    def count(run):
        calls.append((run.folder / train.CHECKPOINT).exists())
        return learn(run)

    monkeypatch.setattr(train, "fine_tune", count)

    def make(**more):
        return program.main(config, "va", "tiny", "ft", tmp_path / "w", **more)

    folder = make()
    assert make() == folder and len(calls) == 1
    picture.write_bytes(whole)
    make()
    assert len(calls) == 2 and json.loads((folder / "failures.json").read_text()) == {}
    make()
    assert len(calls) == 2
    (folder / train.CHECKPOINT).write_bytes(b"left by a process that was killed")
    make(redo=True)
    assert calls == [False] * 3


def start_process(made: Path, work: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "heads.finetune", "--task", "expr", "--network", "tiny", "--name", "ft"]
    sets = [part for text in (*QUICK, *more) for part in ("--set", text)]
    return subprocess.Popen(
        [*command, "--config", str(made), "--work", str(work), *sets], cwd=ROOT,
        env=os.environ | {"AFFECT_HEADS_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_process_killed_while_it_learns_goes_on_to_the_same_bytes(made, finished, tmp_path):
    checkpoint = tmp_path / "networks" / "ft" / train.CHECKPOINT
    with start_process(made, tmp_path) as process:
        until = time.monotonic() + 120
        while not checkpoint.exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    folder = program.main(load(made), "expr", "tiny", "ft", tmp_path)
    assert (folder / "ft.onnx").read_bytes() == (finished / "ft.onnx").read_bytes()
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]


@pytest.mark.slow
def test_killed_at_20_random_moments_it_goes_on_to_the_same_bytes(made, tmp_path):
    sets = ["finetune.ft.epochs=6", "finetune.ft.batch=16"]
    data = corpus.read(load(made, *sets), TASKS["expr"], Recipe(), 0)[0]
    seen = kills.kill_while_it_learns(
        lambda: start_process(made, tmp_path, *sets),
        tmp_path / "networks" / "ft",
        ["ft.onnx"],
        whole := 6 * len(data.train),
    )
    assert sum(0 < (count or 0) < whole for count in seen) >= 10, (seen, whole)


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


def test_a_pickle_in_the_place_of_any_file_runs_nothing(made, finished, tmp_path, monkeypatch):
    """Of a finished network's folder, and of the checkpoint of one that was interrupted."""
    mark, work = tmp_path / "ran", tmp_path / "work"
    bomb = pickle.dumps(Bomb(mark))

    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    place = work / "networks" / "ft"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(export, "export_module", interrupt)
        program.main(load(made), "expr", "tiny", "ft", work)
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert any(name.endswith(".safetensors") for name in names), names
    for name in names:
        whole = (place / name).read_bytes()
        (place / name).write_bytes(bomb)
        with monkeypatch.context() as patch, contextlib.suppress(InputError, KeyboardInterrupt):
            patch.setattr(export, "export_module", interrupt)
            program.main(load(made), "expr", "tiny", "ft", work)
        assert not mark.exists(), name
        if (place / name).exists():
            (place / name).write_bytes(whole)
    for path in sorted(path for path in finished.iterdir() if path.is_file()):
        folder = tmp_path / f"copy-{path.name}" / place.relative_to(work)
        shutil.copytree(finished, folder)
        (folder / path.name).write_bytes(bomb)
        with contextlib.suppress(InputError):
            configs.load(Config, folder / "ft.toml")
        with contextlib.suppress(InputError):
            network_facts.read(folder / "ft.onnx")
        with contextlib.suppress(OSError, ValueError):  # what its callers take for unfinished
            run_folder.results(folder)
        assert not mark.exists(), path.name
    pickle.loads(bomb)
    assert mark.exists(), "a bomb does what it should"
