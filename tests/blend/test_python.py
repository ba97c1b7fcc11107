"""The Python interface, `from blend import run, load_report, Predictor`: the command's results, and quick to import."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

import blend
from blend import InputError, Predictor, RunReport, load_report, run
from blend.config import Config

ROOT = Path(__file__).parents[2]


def config_file(corpus, name):
    """The made-up corpus as a user's TOML file, its paths relative to it."""
    parts = {part: getattr(corpus, part).relative_to(corpus.folder) for part in ("train", "val", "test")}
    path = corpus.folder / "mine.toml"
    path.write_text(
        f'[corpus]\nname = "made-up"\n[corpus.{name}]\n'
        + "".join(f'{part} = "{place}"\n' for part, place in parts.items())
        + f'[features]\nnetworks = ["none"]\n[blend.{name}]\ntrials = 20\ndraws = 200\n'
    )
    return path


def state(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != ".lock"}


def tables(corpus, name):
    """The same as a dictionary, its paths relative to the current folder, which the test has made the corpus's."""
    parts = {part: str(getattr(corpus, part).relative_to(corpus.folder)) for part in ("train", "val")}
    parts["test"] = corpus.test  # a Path is as good
    return {
        "corpus": {"name": "made-up", name: parts},
        "features": {"networks": ["none"]},
        "blend": {name: {"trials": 20, "draws": 200}},
    }


def test_a_run_is_the_commands_and_what_one_has_finished_the_other_only_reads(make_corpus, monkeypatch):
    corpus = make_corpus("va")
    path = config_file(corpus, "va")
    report = run("va", str(path), work=corpus.work, overrides={"blend.va.trials": 21})
    folder = corpus.work / "blend" / "va"
    assert report.folder == folder and report.values["trials"] == 21
    before = state(folder)
    app = Typer()
    app.command()(run.command)
    words = ["--task", "va", "--config", path, "--work", corpus.work, "--set", "blend.va.trials=21"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert state(folder) == before
    monkeypatch.chdir(corpus.folder)
    for config in (path, tables(corpus, "va"), Config.model_validate(corpus.config().model_dump(exclude_unset=True))):
        assert run("va", config, work=corpus.work, overrides={"blend.va.trials": 21}) == report
    stays = {name for name in before if name != "networks.json"}  # that has the advice for other configs
    assert {name: state(folder)[name] for name in stays} == {name: before[name] for name in stays}
    assert load_report(folder) == report
    assert run("va", path, work=corpus.work, seed=1).values["seed"] == 1


def test_a_report_has_the_scores_what_to_expect_and_the_submission(make_corpus):
    corpus = make_corpus("au")
    report = run("au", corpus.config(), work=corpus.work)
    values = report.values
    assert isinstance(report, RunReport) and (report.task, report.metric) == ("au", values["metric"])
    assert report.scores == values["heads"] | {"equal": values["equal"], "submitted": values["submitted"]}
    assert (report.expected, list(report.interval)) == (values["expected"], values["interval"])
    assert report.submission.read_text().startswith("image_location,AU1,")
    low, high = report.interval
    expected = f"expected on other videos (95 % interval {low:.3f} to {high:.3f}); {report.submission}"
    assert str(report) == f"au: {report.metric} of {report.expected:.3f} {expected}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "all"}, "task 'all': a report is of one task; call run for each of au, expr, va"),
        ({"task": "age"}, "age: no such task; there are au, expr, va, lsd, mtl"),
        ({"config": "gone.toml"}, "gone.toml: no such config file"),
        ({"seed": 1.5}, "seed 1.5: expected a whole number from 0"),
        ({"seed": True}, "seed True: expected a whole number"),
        ({"submissions": 6}, "submissions 6: expected a whole number from 1 to 5"),
        ({"heads": "none"}, r"heads 'none': expected a list of names"),
        ({"heads": []}, r"heads \[\]: expected a list of names"),
        ({"predictions": ["a"]}, "predictions: found list, expected a dictionary"),
        ({"predictions": {"a": "gone"}}, "predictions 'a': gone does not exist"),
        ({"predictions": {"equal": "."}}, "predictions 'equal': no head may be called 'equal'"),
        ({"predictions": {"../x": "."}}, "predictions '../x': no head may be called '../x'"),
        ({"overrides": "blend.au.trials=5"}, "overrides: found str, expected a dictionary"),
        ({"overrides": {"blend.au.trials": None}}, "key 'blend.au.trials': found NoneType, expected what a TOML file"),
        ({"config": 7}, "config: found int, expected a TOML file, a Config, a dictionary or None"),
        ({"config": {"corpus": {"name": "a", "frame": "f"}}}, "config: unknown key 'corpus.frame'.*did you mean"),
        ({"overrides": {"blend.au.trials": "many"}}, "key 'blend.au.trials': .*valid integer.*found 'many'"),
        ({"seed": -1}, "seed -1: expected a whole number from 0"),
    ],
)
def test_bad_input_is_an_exception_that_can_be_caught(tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        run(**{"task": "au"} | given)
    assert list(tmp_path.iterdir()) == []


def test_overrides_are_tables_and_lists_as_toml_has_them(tmp_path, monkeypatch):
    """Not their text: a table stays a table."""
    seen = {}
    monkeypatch.setattr(run, "main", lambda config, *_, **__: seen.update(config=config) or {})
    overrides = {
        "heads.va.lightgbm": {"trees": 5, "temporal": [{"of": "va?", "windows": [3, 9]}]},
        "blend.va.kernels": ["box", "median"],
        "blend.va.per_output_k": True,
        "features.weights": tmp_path / 'a "name"',
    }
    run("va", work=tmp_path / "work", overrides=overrides)
    config = seen["config"]
    assert config.heads.va.overrides["lightgbm"] == {"trees": 5, "temporal": [{"of": "va?", "windows": [3, 9]}]}
    assert config.blend.va.kernels == ["box", "median"] and config.blend.va.per_output_k is True
    assert config.features.weights == tmp_path / 'a "name"'


def test_a_corpus_without_training_annotations_is_refused_in_one_line(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "v.txt").write_text("valence,arousal\n0.1,0.2\n")
    config = {"corpus": {"name": "a", "frames": str(tmp_path), "va": {"val": str(tmp_path / "val")}}}
    with pytest.raises(InputError, match=r"corpus\.va\.train is missing: our heads learn from training annotations"):
        run("va", config, work=tmp_path / "work")


def test_the_name_run_is_the_module_which_can_be_called_however_it_is_imported():
    module = importlib.import_module("blend.run")
    assert run is module is blend.run is sys.modules["blend.run"]
    assert callable(run) and callable(run.main) and run.__name__ == "blend.run"
    assert next(iter(inspect.signature(run).parameters)) == "task"
    code = (
        "import blend; assert callable(blend.run)\n"
        "import blend.run; from blend.run import main; from blend import run; assert run.main is main\n"
        "from blend import *; assert run is blend.run and Predictor is blend.Predictor"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_package_is_quick_to_import_and_the_interface_loads_nothing_heavy():
    code = (
        "import sys, blend\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('numpy', 'blend', 'heads', 'extract')))\n"
        "from blend import run, Predictor, load_report, InputError\n"
        "print(sorted({'tensorflow', 'torch', 'pandas', 'numba', 'openvino', 'cv2', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "['blend']\n[]\n"
    with pytest.raises(AttributeError, match="module 'blend' has no attribute 'runs'"):
        _ = blend.runs


@pytest.mark.parametrize("name", blend.__all__)
def test_everything_public_says_what_it_is_with_an_example(name):
    thing = getattr(blend, name)
    said = inspect.getdoc(type(thing).__call__ if name == "run" else thing)
    assert said.split("\n")[0].endswith(".")
    if name != "InputError":
        assert ">>> " in said


def test_a_script_of_three_lines_needs_no_guard_for_the_processes_that_render_the_demo(tmp_path):
    """Spawned processes begin with the caller's script, and would begin it without end."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from extract.demo import corpus\n"
        "print('begins', flush=True)\n"
        "jobs = [(Path.cwd(), corpus.SEED, row.name) for row in corpus.DEMO_VIDEOS[:2]]\n"
        "print(sorted(corpus.run_jobs(corpus.render_video, jobs, 2)))\n"
    )
    run_by = [sys.executable, str(script)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(run_by, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    names = [path.name for path in sorted(tmp_path.glob("demo-*"))]
    assert done.stdout == f"begins\n{names}\n" and len(names) == 2


def test_a_predictor_of_nothing_or_of_both_is_refused():
    with pytest.raises(InputError, match=r"found none, expected the folder of a blend.*--pretrained"):
        Predictor()
    with pytest.raises(InputError, match=r"--pretrained demo_enet: found --blend b beside it"):
        Predictor("b", pretrained="demo_enet")
