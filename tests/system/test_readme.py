"""The READMEs' commands as they stand, on the finished demo: every line of its shell blocks, its Python, its TOML.

What takes minutes is run with AFFECT_HEADS_README=all; otherwise its program only has to take it.
"""

import contextlib
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import socket
import sys
import time
import tomllib
from pathlib import Path

import pytest
import typer.core
from support import command_server
from support.ports import free_ports
from support.readme_reader import READMES, REPLACEMENTS, Reader
from support.sweeps import sweep

import blend.config
from extract import config
from extract.demo import corpus
from heads.base.head import family

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
README = "\n".join(path.read_text(encoding="utf-8") for path in READMES)
BLOCKS = re.findall(r"^```(sh|python|toml)\n(.*?)^```$", README, re.S | re.M)
STEPS = {"python -m heads.run", "python -m blend.run", "python -m blend.apply"}
"""Named without their arguments."""
SHAPES = "NAME=FOLDER"
"""Lines with it show how arguments are written."""
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.S | re.M)
WITHIN = [
    line
    for line in dict.fromkeys(re.findall(r"`[^`]*?(python -m [^`]+)`", PROSE))
    if line not in STEPS and SHAPES not in line
]
"""Commands within the text. Those that measure are only taken: they were run for the tables."""

NEVER = {
    "configs/lsd.toml": "the challenge's pictures are not here; tests/system/test_lsd.py does the same on drawn ones",
    "extract.enlarge faces": "pictures of the reader's own; tests/extract/test_enlarge.py has some",
    "pip install": "fetches packages; .ci/run runs these two lines as they stand, in an environment of their own",
    "--cluster slurm": "there is no batch system here",
    "--camera": "there is no camera here",
    "rtsp://": "nor one on the network",
    "#SBATCH": "hours, for 64 nodes; it is run until the batch system would end it",
}
"""Part of a line -> why it is not run to its end."""

LONG = {
    "heads.tune": "a hundred trials; without the variable it is ended by Ctrl-C after the first",
    "sequence": "encoders learn for minutes",
    "heads.finetune": "a network learns for a minute",
    "extract.pretrain": "a network learns for minutes",
    "blend.studies.": "simulates or trains for an hour",
    "blend.bench": "measures at the size of Aff-Wild2 for minutes",
    "affwild2.toml": "the whole of the demo once more",
    "--task mtl": "all three tasks once more",
    "--redo": "extracts all features once more",
}
"""Part of a line -> why it is run only with AFFECT_HEADS_README=all."""

ALL = os.environ.get("AFFECT_HEADS_README") == "all"
CLIPS = "clip"
"""Lines with it need a real video and the face detector."""
SERVES = "dask "
"""Lines that begin so run until they are stopped."""
OWN_TEST = ("heads.tune", "dask scheduler")
"""Blocks with it have a test of their own."""


def blocks(kind: str) -> list[str]:
    return [block for found, block in BLOCKS if found == kind]


def is_script(block: str) -> bool:
    return block.startswith("#!")


def lines_of(block: str) -> list[str]:
    """A block's commands with their comments; a script is one command."""
    return [block] if is_script(block) else [line for line in block.splitlines() if line.strip()]


LINES = [line for block in blocks("sh") for line in lines_of(block)]
GUIDES = "\n".join(path.read_text(encoding="utf-8") for path in READMES if path.parent.name != "studies")
HOW_TO = [line for line in WITHIN if f"`{line}`" in GUIDES and "bench" not in line]


def short(line: str) -> str:
    """A line for the list of tests."""
    return " ".join(line[line.index("python -m") :].partition("  #")[0].split("\n")[0].split())


def why(line: str, table: dict[str, str]) -> str:
    """What a table says of a line; empty: nothing."""
    return next((reason for part, reason in table.items() if part in line), "")


def quick(line: str) -> bool:
    return not (why(line, NEVER) or why(line, LONG) or line.startswith(SERVES))


def finish(demo: Path, *tasks: str) -> None:
    for task in tasks:
        command = [sys.executable, "-m", "blend.run", "--task", task, "--work", str(demo)]
        done = command_server.run(command, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def finished(demo: Path, request: pytest.FixtureRequest) -> Path:
    """The demo with its main job done, and under -m slow the other tasks that some lines name."""
    finish(demo, "au")
    if any(item.get_closest_marker("slow") for item in request.session.items if "finished" in item.fixturenames):
        finish(demo, "expr", "va")
    return demo


@pytest.fixture
def reader(finished: Path, tmp_path: Path) -> Reader:
    """A folder where the main job has been run, and the files lie that the README speaks of as the reader's."""
    runs = tmp_path / "runs"
    shutil.copytree(finished, runs / "demo", symlinks=True)
    for name in ("a", "b"):
        shutil.copytree(finished / "blend", runs / name / "blend")
    (tmp_path / "preds").mkdir()
    shutil.copytree(finished / "heads" / "au" / "mlp_all", tmp_path / "preds" / "ours")
    official = corpus.paths(finished / "corpus")["au"]["test"]
    for name in ("list.txt", "official_sample.txt"):
        shutil.copy(official, tmp_path / name)
    rows = [f"{video},{frame},{frame % 7 / 7},0.5" for video in ("one", "two") for frame in range(1, 20)]
    (tmp_path / "fex.csv").write_text("\n".join(["video,frame,AU01,AU02", *rows]) + "\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "affwild2.toml").write_text(own_paths(runs / "demo" / "corpus"))
    return Reader(tmp_path)


def own_paths(folder: Path) -> str:
    """configs/affwild2.toml with its paths changed to the demo's corpus, and its networks to those that are here."""
    text = (ROOT / "configs" / "affwild2.toml").read_text(encoding="utf-8")
    text = text.replace("/data/ABAW", str(folder)).replace("CVPR_5th_ABAW_", "").replace("_sample.txt", ".txt")
    return re.sub("^networks = .*$", 'networks = ["demo_enet", "demo_mt_enet"]', text, flags=re.M)


def with_clips(reader: Reader) -> None:
    """A real clip, and the face detector where it is looked for; skips without them."""
    detector, clips = SHARED / "models" / "face_detection_yunet_2023mar.onnx", SHARED / "data" / "videos"
    if not (detector.exists() and clips.exists()):
        pytest.skip("the face detector and the clips are in ../shared, which is not here")
    (reader.folder / "cache").mkdir()
    shutil.copy(detector, reader.folder / "cache")
    (reader.folder / "clips").mkdir()
    for target in ("clip.mp4", "clips"):
        shutil.copy(clips / "single_face.mp4", reader.folder / target)


def snippet(about: str) -> str:
    """The Python block with this in it, as a line for the shell."""
    return f"python - <<'END'\n{next(block for block in blocks('python') if about in block)}\nEND"


def test_no_line_is_forgotten_here():
    assert len(LINES) >= 24 and sum(map(quick, LINES)) >= 12 and len(WITHIN) >= 10 and len(blocks("python")) == 3
    shapes = r"(python -m|pip install|dask (scheduler|worker)) |#!/bin/bash\n"
    assert [line for line in LINES if not re.match(shapes, line)] == []
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in (line for line in LINES if line.startswith("pip install")):
        [marker] = re.findall(rf"<!-- (.+) -->\n```sh\n{re.escape(line)}\n```", README)
        assert f'"{marker}"' in ci
    parts = [*NEVER, *LONG, *REPLACEMENTS]
    assert [part for part in parts if not any(part in line for line in [*LINES, *HOW_TO])] == [], (
        "of a README that is gone"
    )


def programs(line: str) -> list[tuple[str, list[str]]]:
    """(module, arguments) of every `python -m` in it."""
    found = []
    for one in re.findall(r"python -m ([^\n&]*)", line):
        module, *arguments = shlex.split(one, comments=True)
        found.append((module, arguments))
    return found


def file_of(module: str) -> Path:
    """What `python -m` runs: the module, or the `__main__` of a package."""
    place = ROOT.joinpath(*module.split("."))
    return place / "__main__.py" if place.is_dir() else place.with_suffix(".py")


NOT_RUN = [line for line in [*LINES, *WITHIN] if programs(line) and not (line in [*LINES, *HOW_TO] and quick(line))]


@pytest.mark.parametrize("line", NOT_RUN, ids=short)
def test_a_line_that_is_not_always_run_is_one_that_its_program_takes(monkeypatch, line):
    began = []
    monkeypatch.setattr(typer.core.TyperCommand, "invoke", lambda self, context: began.append(context.params))
    for module, arguments in programs(line):
        if module == "pytest":
            continue
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        before = len(began)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(file_of(module)), run_name="__main__")
        assert not ended.value.code and len(began) == before + 1


def test_every_piece_of_config_is_taken(tmp_path):
    for block in blocks("toml"):
        (tmp_path / "piece.toml").write_text(block)
        piece = tomllib.loads(block)
        for section, keys in (("corpus", {"name": "mine", "frames": "frames"}), ("features", {})):
            piece[section] = keys | piece.get(section, {})
        taken = config.check(blend.config.Config, piece, tmp_path / "piece.toml")
        for head, keys in taken.heads.au.overrides.items():
            config.check(family(head).Settings, {"family": head, "networks": "all", "inputs": ["logits"]} | keys, "")


def quick_lines(clips: bool) -> list[list[str]]:
    """Of the text, and of every block that has no test of its own: what is always run. `clips`: what needs a clip."""
    free = [HOW_TO, *(lines_of(block) for block in blocks("sh") if not any(part in block for part in OWN_TEST))]
    found = [[line for line in lines if quick(line) and (CLIPS in line) == clips] for lines in free]
    return [lines for lines in found if lines]


def module_of(lines: list[str]) -> str:
    return programs(lines[0])[0][0]


@pytest.mark.parametrize("lines", quick_lines(clips=False), ids=module_of)
def test_the_lines_of_a_block_end_well(reader, request, lines):
    if any("postgresql://" in line for line in lines):
        reader.names["server"] = request.getfixturevalue("server")
    for line in lines:
        reader.run(line)
    if any("out.parquet" in line for line in lines):
        reader.run(snippet("out.parquet"))


@pytest.mark.parametrize("lines", sweep(quick_lines(clips=True), quick_lines(clips=True)[:1]), ids=module_of)
def test_the_lines_on_a_video_end_well(reader, lines):
    with_clips(reader)
    for line in lines:
        reader.run(line)
    if any("clip.mp4" in line for line in lines):
        reader.run(snippet("clip.mp4"))


def test_a_run_and_its_report_from_python(reader):
    reader.run(snippet("load_report"))


def block_with(part: str) -> list[str]:
    return next(lines_of(block) for block in blocks("sh") if part in block)


@pytest.mark.slow
def test_a_search_ended_by_ctrl_c_leaves_its_best_so_far_as_a_head(reader):
    search, head = block_with("heads.tune")
    best = reader.folder / "runs/demo/tune/au/lightgbm-demo_enet/best.toml"
    assert reader.until(reader.start(search), best.is_file, signal.SIGINT) == 130, reader.read_output()
    reader.run(head)
    assert (reader.folder / "runs/demo/heads/au/lightgbm-demo_enet-best/DONE").is_file()


@pytest.mark.slow
def test_the_job_script_ends_when_its_time_is_over_and_frees_its_trials(reader, server):
    """SIGTERM, as the batch system sends it, in a trial. The features lie in the shared folder already."""
    from heads.tune.study import Study

    reader.names["server"] = server
    work = reader.folder / "shared" / "affwild2"
    shutil.copytree(reader.folder / "runs" / "demo" / "features", work / "features")
    script = next(line for line in LINES if is_script(line))
    process = reader.start(script)
    begun = r"trial \d+, fold|best [\d.]+ \(trial"  # a quick machine has a trial behind it when the first line comes
    code = reader.until(process, lambda: re.search(begun, reader.read_output()) is not None, signal.SIGTERM)
    assert code == 130, reader.read_output()
    trials = Study.open(server, Path("unused"), "affwild2/au/mlp_all", 15).trials()
    assert trials and "RUNNING" not in {trial.state.name for trial in trials}


@pytest.mark.slow
def test_two_workstations_with_a_shared_folder(reader, few_videos):
    pytest.importorskip("distributed")
    shutil.copytree(few_videos.parent, reader.folder, dirs_exist_ok=True)
    (reader.folder / few_videos.name).rename(reader.folder / "mine.toml")
    reader.names["port"] = str(free_ports(1)[0])
    lines = block_with("dask scheduler")
    with reader.serving([line for line in lines if line.startswith(SERVES)]):
        until = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(reader.names["port"])), 1):
                break
            assert time.monotonic() < until, reader.read_output()
            time.sleep(0.1)
        for line in lines:
            if not (line.startswith(SERVES) or why(line, NEVER)):
                reader.run(line)
    record = json.loads((reader.folder / "shared/mine/cluster/heads-au.json").read_text())
    assert [job["job"] for job in record["jobs"]] == ["head-au-lightgbm-demo_mt_enet"]


TO_THE_END = [line for line in [*LINES, *HOW_TO] if why(line, LONG) and not why(line, NEVER)]


@pytest.mark.skipif(not ALL, reason="takes many minutes: set AFFECT_HEADS_README=all")
@pytest.mark.parametrize("line", TO_THE_END, ids=short)
def test_a_long_line_ends_well(reader, request, line):
    if "postgresql://" in line:
        reader.names["server"] = request.getfixturevalue("server")
    reader.run(line)
