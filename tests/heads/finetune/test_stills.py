"""Fine-tuning for learning from synthetic data: the class of each picture is that of its folder."""

import json
import tomllib

import numpy as np
import onnxruntime
from PIL import Image
from support import made_pictures

from extract import config as configs
from heads.abaw.tasks import find
from heads.config import Config
from heads.finetune import __main__ as program

FOLDERS = ("ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE")
PICTURES = 8


def write_corpus(folder):
    """Pictures of two colours by class, in the folders that the organisers hand out; returns the config."""
    rng = np.random.default_rng(0)
    for part, count in (("train", PICTURES), ("val", 2)):
        for label, name in enumerate(FOLDERS):
            (folder / part / name).mkdir(parents=True)
            for i in range(1, count + 1):
                Image.fromarray(made_pictures.draw(label, rng)).save(folder / part / name / f"{i}.png")
    made_pictures.write_tiny_network(folder / "tiny.pt")
    (folder / "lsd.toml").write_text(made_pictures.CONFIG.format(tasks='[corpus.lsd]\ntrain = "train"\nval = "val"'))
    text = (folder / "lsd.toml").read_text().replace('frames = "frames"\n', "")
    (folder / "lsd.toml").write_text(text)
    return folder / "lsd.toml"


def test_pictures_in_folders_of_their_classes_fine_tune_a_network_of_six_logits(tmp_path):
    quick = ("epochs=1", "batch=16", "sam=0", "rate=1e-4", "device='cpu'", "dev_stride=1")
    config = configs.load(Config, write_corpus(tmp_path), [f"finetune.ft.{text}" for text in quick])
    folder = program.main(config, "lsd", "tiny", "ft", tmp_path / "work")
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["task"] == "lsd" and facts["metric"] == "dev macro F1" and not facts["unreadable"]
    assert facts["videos"] == [f"train-{i * 100 // PICTURES:02d}" for i in range(PICTURES)]
    assert set(facts["dev_videos"]) < set(facts["videos"])
    assert max(facts["scores"]) > 0.9, "the classes' colours are easily told apart, by their folders"
    section = tomllib.loads((folder / "ft.toml").read_text())["networks"]["ft"]
    assert section["classes"] == [*find("lsd").outputs]
    shown = [Image.open(tmp_path / "val" / name / "1.png") for name in FOLDERS]
    x = ((np.stack([np.asarray(picture) for picture in shown]) / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(folder / "ft.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run(["logits"], {session.get_inputs()[0].name: x.astype(np.float32)})
    told = [section["classes"][column][:3].upper() for column in logits.argmax(1)]
    assert told == [name[:3] for name in FOLDERS], "ANGRER is Anger"
