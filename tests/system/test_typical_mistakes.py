"""Thirty and more typical mistakes of a newcomer: each ends with exit code 2 and one line that names the remedy."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from blend import program

CORPUS = """
[corpus]
name = "mine"
frames = "frames"
[corpus.{task}]
train = "train"
val = "val"
test = "list.txt"
[features]
networks = ["{network}"]
"""
EXPRESSIONS = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"

MISTAKES = {
    "a command that there is not": ("runn", r"did you mean 'run'"),
    "no task": ("run", r"--task.*au, expr, va, lsd, mtl.*for example: affect-heads run --task au"),
    "a task in capitals": ("run --task AU", r"did you mean 'au'"),
    "another word for a task": ("run --task arousal", r"there are au, expr, va, lsd, mtl"),
    "a config that is not there": (
        "run --task au --config no.toml",
        r"leave out --config for the demo; affect-heads init",
    ),
    "a config that is no TOML": ("run --task au --config broken.toml", r"broken\.toml: not valid TOML.*end of doc"),
    "a misspelt key": ("run --task au --config typo.toml", r"'corpus\.frams'.*did you mean 'frames'"),
    "annotations that are not there": ("run --task va --config va.toml", r"corpus\.va.*train"),
    "annotations of another task": ("run --task au --config au.toml", r"train/a\.txt.*line 1.*expected.*AU1,AU2"),
    "a folder in place of the test list": ("run --task expr --config folder.toml", r"frames: .*expected.*file"),
    "--set without a value": ("run --task au --set blend.au.k", r"key\.path=value, as in blend\.au\.trials=50"),
    "a negative kernel": ("run --task au --set blend.au.k=-3", r"blend\.au\.k.*>= 0.*found -3"),
    "a word for a number": ("run --task au --set blend.au.trials=many", r"blend\.au\.trials.*integer.*'many'"),
    "a misspelt network": ("run --task expr --config network.toml", r"demo_ent.*did you mean 'demo_enet'"),
    "a misspelt head": ("run --task au --heads mlp_al", r"did you mean 'mlp_all'"),
    "a file as work folder": ("run --task au --work text.txt", r"text\.txt: found a file, expected a folder"),
    "a word for a seed": ("run --task au --seed abc", r"--seed.*integer.*for example"),
    "a misspelt cluster": ("run --task au --cluster slrum", r"expected local, dask://HOST:PORT or slurm"),
    "an unknown option": ("run --task au --epochs 5", r"--epochs; for example: affect-heads run --task au"),
    "no video": ("predict", r"no video given; name .*affect-heads predict clip\.mp4"),
    "no camera": ("predict --camera 77 --pretrained demo_mt_enet", r"no such camera \(/dev/video77\); cameras here:"),
    "no such kind of address": ("predict rstp://cam/1 --pretrained demo_mt_enet", r"did you mean 'rtsp'"),
    "half an address": ("predict rtsp://[::1/x --pretrained demo_mt_enet", r"rtsp://\[::1/x: is no address.*expected"),
    "no size of a face": (
        "predict text.txt --pretrained demo_mt_enet --faces 5 --min-face inf",
        r"--min-face inf: expected pixels",
    ),
    "a video that is not there": ("predict no.mp4", r"no\.mp4: no such video; expected a video file"),
    "a blend that is not there": ("predict text.txt --blend nowhere", r"no blend here.*blend\.run --task au makes one"),
    "neither blend nor network": ("predict text.txt", r"--blend runs/demo/blend/au; or give --pretrained"),
    "an unknown pre-trained network": ("predict text.txt --pretrained enet", r"enet.*enet_b0_8_va_mtl"),
    "a network's file": ("predict clip.mp4 --pretrained net.onnx", r"a network of your own has a name.*--config"),
    "a blend in a video's place": ("predict made --pretrained demo_mt_enet", r"it is a blend: put --blend before it"),
    "a folder of videos": ("predict films --pretrained demo_mt_enet", r"name the files, as in films/a\.mp4"),
    "crops of no videos": ("extract --out crops", r"--out crops: is for --videos FOLDER"),
    "the list in the submission's place": ("check list.txt text.txt", r"text\.txt: line 1 is 'hello'"),
    "twice the list": ("check list.txt list.txt", r"list\.txt: has no values.*the submission comes first"),
    "a folder without a corpus": ("init empty", r"empty: found neither frames <video>/00001\.jpg nor annotations"),
    "a folder of raw videos": ("init films", r"affect-heads extract --videos .*films --out FOLDER"),
    "no template": ("check text.txt", r"'template': The official list or sample file.*for example"),
    "a submission that is not there": ("check no.txt list.txt", r"no\.txt: no such file"),
    "a template that is none": ("check text.txt text.txt", r"line 1 is 'hello'.*known are au: .*AU1,AU2"),
    "one blend to compare": ("compare frames", r"two blends or more.*report\.json"),
    "folders without reports to compare": (
        "compare frames train",
        r"report\.json: no such file; give a folder that blend\.run",
    ),
    "no params to apply": ("apply", r"'params'.*for example: affect-heads apply"),
    "a table without a name": ("import table.csv", r"--name.*features\.networks.*for example"),
    "a table without frames": ("import table.csv --name mine --work w", r"table\.csv.*frame"),
    "a table that is not there": ("import no.csv --name mine --work w", r"no such table; expected a file ending"),
    "an unknown head": ("heads --task au --head mlp", r"there are lama, .*mlp_all"),
    "a search of no trials": ("tune --task au --head mlp_all --trials 0", r"--trials.*for example"),
    "a storage that is none": ("tune --task au --head mlp_all --trials 2 --storage here", r"--storage.*expected"),
    "a study that is not there": ("dashboard nowhere", r"no study\.db there; name a folder of blend\.run"),
    "a corpus folder that is not there": ("init nowhere", r"nowhere: no such folder"),
    "features that are not there": ("export out.csv --network demo_enet --work w", r"w.*features.*extract"),
}
"""What is typed, and what the last line says."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a newcomer has it: a video of three frames, annotations, some configs that are wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("hello\n")
    (tmp_path / "broken.toml").write_text("a = [")
    for name in ("empty", "films", "made"):
        (tmp_path / name).mkdir()
    (tmp_path / "films" / "a.mp4").write_text("hello\n")
    (tmp_path / "made" / "params.json").write_text("{}")
    (tmp_path / "typo.toml").write_text('[corpus]\nname = "mine"\nframs = "frames"\n')
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    for name in ("a", "b", "c"):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for number in range(1, 4):
            cv2.imwrite(str(tmp_path / "frames" / name / f"{number:05d}.jpg"), np.zeros((8, 8, 3), np.uint8))
    for part, name in (("train", "a"), ("val", "b")):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"{name}.txt").write_text(EXPRESSIONS + "\n0\n1\n2\n")
    (tmp_path / "list.txt").write_text(f"image_location,{EXPRESSIONS}\nc/00001.jpg,\n")
    for name, task, network, listed in (
        ("au", "au", "demo_enet", "list.txt"),
        ("va", "au", "demo_enet", "list.txt"),
        ("folder", "expr", "demo_enet", "frames"),
        ("network", "expr", "demo_ent", "list.txt"),
    ):
        text = CORPUS.format(task=task, network=network).replace("list.txt", listed)
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_typical_mistake_ends_with_a_line_that_names_the_remedy(folder, monkeypatch, capsys, mistake):
    typed, said = MISTAKES[mistake]
    monkeypatch.setenv("COLUMNS", "500")  # a line of typer's is not broken
    monkeypatch.setattr(sys, "argv", ["affect-heads", *typed.split()])
    before = sorted(folder.rglob("*.*"))
    with pytest.raises(SystemExit) as ended:
        program.main()
    shown = capsys.readouterr()
    assert ended.value.code == 2 and shown.out == ""
    last = [line for line in shown.err.splitlines() if line.strip(" ╰─╯")][-1]
    assert re.search(said, last), last
    assert "Traceback" not in shown.err and sorted(folder.rglob("*.*")) == before
