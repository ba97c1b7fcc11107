"""The README's commands as they stand, on the demo: each ends well, or, where it takes hours or a server, is one that
its program takes.
"""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.core
from PIL import Image

from extract import audio_logmel, networks
from extract.demo import corpus

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", TEXT, re.S | re.M)
LINES = [line.partition("  #")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
COMMANDS = [line[line.index("python -m") :] for line in LINES if "python -m" in line]
STEPS = {"python -m heads.run", "python -m blend.run"}
"""Named as steps; they need a task."""
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.S | re.M)
WITHIN = sorted({*re.findall(r"`[^`]*?(python -m [^`]+)`", PROSE)} - STEPS)
"""Commands within the text."""
SNIPPETS = [block for kind, block in BLOCKS if kind == "python"]
ONLY_PARSED = {
    "python -m pytest": "this is one of them",
    "--trials": "a hundred trials; its outcome is made with two",
    "--storage": "no server of that name",
    "sequence": "encoders learn for minutes; tests/heads/test_every_head.py learns them",
    "--cluster": "no scheduler of that name; tests/test_cluster.py starts one",
    "blend.simulate": "200 draws take an hour",
    "bench": "measures at the size of Aff-Wild2",
    "ablation": "five seeds take an hour",
    "--config": "data that only the organisers give",
}
"""Part of a command -> why it is not run here."""


def here(command: str) -> bool:
    """Whether a command is run, not only parsed."""
    return not any(part in command for part in ONLY_PARSED)


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AFFECT_HEADS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def finished(demo: Path) -> Path:
    """The demo with all its tasks done."""
    for task in ("au", "expr", "va"):
        run(["-m", "blend.run", "--task", task, "--work", str(demo)], demo)
    return demo


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """A folder in which the README's files lie: runs/demo, and what its reader would bring along."""
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
    return tmp_path


def with_videos(place: Path) -> None:
    """A real clip, and the face detector where it is looked for; skips without them."""
    detector, clips = SHARED / "models" / "face_detection_yunet_2023mar.onnx", SHARED / "data" / "videos"
    if not (detector.exists() and clips.exists()):
        pytest.skip("the face detector and the clips are in ../shared, which is not here")
    (place / "cache").mkdir()
    shutil.copy(detector, place / "cache")
    (place / "clips").mkdir()
    for target in ("clip.mp4", "clips"):
        shutil.copy(clips / "single_face.mp4", place / target)


def command_of(line: str) -> tuple[str, list[str]]:
    words = shlex.split(line)
    return words[2], words[3:]


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 15 and sum(map(here, COMMANDS)) >= 8 and len(SNIPPETS) >= 2 and len(WITHIN) >= 10


@pytest.mark.parametrize("line", [*(line for line in COMMANDS if not here(line) and "pytest" not in line), *WITHIN])
def test_a_long_command_is_one_that_its_program_takes(monkeypatch, line):
    module, arguments = command_of(line)
    began = []
    monkeypatch.setattr(typer.core.TyperCommand, "invoke", lambda self, context: began.append(context.params))
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT.joinpath(*module.split(".")).with_suffix(".py")), run_name="__main__")
    assert not ended.value.code and began


def rows_of(header: str) -> list[list[str]]:
    """The cells of the README's table that begins with this header."""
    lines = TEXT[TEXT.index(header) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_of_heads_and_networks_are_what_there_is():
    known = {
        name: [str(one.size), str(one.dim), str(len(one.classes or ())), "yes" if one.has_va else ""]
        for name, one in networks.NETWORKS.items()
    }
    told = {name: facts[:4] for name, *facts in rows_of("| network | pixels")}
    assert told == known | {"audio": ["", str(audio_logmel.WIDTH), "", ""]}
    tasks: dict[str, set[str]] = {}
    for path in (ROOT / "configs" / "heads").glob("*/*.toml"):
        tasks.setdefault(path.stem, set()).add(path.parent.name)
    for names, *_, of in rows_of("| head | what it is"):
        for name in names.split("`, `"):
            files = tasks.pop(name)
            assert files == ({"au", "expr", "va"} if of.startswith("all") else set(of.split(", "))), name
            [some, *_] = (ROOT / "configs" / "heads").glob(f"*/{name}.toml")
            assert ("on_request = true" in some.read_text()) is of.endswith("when named"), name
    assert not tasks, "every standard head is told"


def test_its_pictures_are_there():
    for name in re.findall(r"!\[[^]]*\]\(([^)]*)\)", TEXT):
        with Image.open(ROOT / name) as picture:
            assert min(picture.size) > 300


def blocks_of(kind: str) -> list[str]:
    return [block for found, block in BLOCKS if found == kind]


@pytest.mark.parametrize("about", ["extract.run", "heads.tune", "blend.apply", "blend.predict"])
def test_the_commands_of_a_block_end_well_as_they_stand(place, about):
    block = next(block for block in blocks_of("sh") if f"python -m {about}" in block)
    lines = [line.partition("  #")[0].strip() for line in block.splitlines()]
    if "--videos" in block or "clip.mp4" in block:
        with_videos(place)
    if about == "heads.tune":  # what a hundred trials would leave, of two
        module, arguments = command_of(next(line for line in lines if "heads.tune" in line))
        arguments[arguments.index("--trials") + 1] = arguments[arguments.index("--workers") + 1] = "2"
        run(["-m", module, *arguments], place)
    ran = [line for line in lines if here(line)]
    for line in ran:
        run(shlex.split(line)[1:], place)
    assert ran
    if about == "extract.run":
        run(["-c", next(snippet for snippet in SNIPPETS if "out.parquet" in snippet)], place)
    if about == "blend.predict":
        run(["-c", next(snippet for snippet in SNIPPETS if "Predictor" in snippet)], place)
