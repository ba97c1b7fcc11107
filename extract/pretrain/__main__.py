"""`python -m extract.pretrain`: a masked autoencoder learns faces, and its encoder becomes an ordinary network."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract import config as extract_config
from extract import run as extract_run
from extract.config import Config, PretrainSettings
from extract.learning import encoder, names, pictures
from extract.learning.pictures import Pictures
from extract.pretrain import autoencoder, images
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError
from extract.runtime.run_folder import ROOT

if TYPE_CHECKING:
    from extract.learning.checkpoint import Position
    from extract.learning.encoder import Encoder
    from extract.pretrain.train import Baselines, Run

CODE = ("checkpoint.py", "encoder.py", "optimiser.py", "pictures.py")
"""What of extract.learning decides the network, too."""
LIBRARIES = ("torch", "timm", "transformers", "pillow")


def main(config: Config, name: str, work: Path, faces: Path | None = None, seed: int = 0, redo: bool = False) -> Path:
    """Pre-train on the pictures of the folder `faces`, by default the corpus's frames, or go on where a killed process
    was; returns `<work>/networks/<name>`, with `<name>.onnx`, its section of a config `<name>.toml`, the encoder's
    weights `<name>.safetensors` to fine-tune on, and `report.html`.

    What is finished and made from the same things is kept, unless unreadable pictures were mended since, or to `redo`
    it. Raises InputError for bad input; see `train.pretrain`.
    """
    names.check(name, config, work)
    settings = names.find_section(config, "pretrain", config.pretrain, name, PretrainSettings())
    place = f"{config.place(f'pretrain.{name}')}: pretrain.{name}"
    size = autoencoder.describe(settings, place)
    autoencoder.require_transformers()
    if faces is None:
        config.refuse_template()
        config = extract_run.prepare_corpus(config, work)
    roots = [faces] if faces is not None else config.corpus.frames
    if not roots:
        raise InputError(f"{config.place('corpus.frames')}: corpus.frames is missing; name it, or give --frames FOLDER")
    learnt, held = images.hold_out(images.list_pictures(roots, settings.stride), settings, seed, str(roots[0]))
    mark = _fingerprint(settings, learnt, held, seed)
    folder = work / "networks" / name
    with run_folder.hold_folder(folder):
        if not redo and run_folder.is_done(folder, mark) and not pictures.has_mended_pictures(folder):
            return folder
        from extract.pretrain import train as training

        run_folder.begin(folder)
        if redo:
            (folder / training.CHECKPOINT).unlink(missing_ok=True)
        run = training.Run(name, settings, learnt, held, seed, folder, mark)
        model, position, baselines = training.pretrain(run)
        _write_results(run, size, model, position, baselines, config.corpus.demo and faces is None)
        (folder / training.CHECKPOINT).unlink(missing_ok=True)
    return folder


def _fingerprint(settings: PretrainSettings, learnt: Pictures, held: Pictures, seed: int) -> str:
    """Of all that decides the network. How often a checkpoint is written does not."""
    files = [ROOT / "extract" / "learning" / file for file in CODE]
    files += [ROOT / "extract" / "pretrain" / file for file in ("autoencoder.py", "images.py", "train.py")]
    return run_folder.fingerprint(
        {
            "settings": settings.model_dump(mode="json", exclude={"save_every"}),
            "pictures": [learnt.mark(), held.mark()],
            "seed": seed,
            "code": [run_folder.file_hash(file) for file in [*files, ROOT / "extract" / "media" / "images.py"]],
            "versions": {library: version(library) for library in LIBRARIES},
        }
    )


def _write_results(run: Run, size: Encoder, model: Any, position: Position, baselines: Baselines, drawn: bool) -> None:
    """Close the run's folder: weights, network, section, report."""
    from extract.learning import export
    from extract.pretrain import report

    folder, name, network = run.folder, run.name, run.describe_network()
    weights, onnx, section = (folder / f"{name}{suffix}" for suffix in (".safetensors", ".onnx", ".toml"))
    timm_model = autoencoder.to_encoder(model.state_dict(), size)
    encoder.save(weights, size, timm_model)
    facts = {
        "drawn": drawn,
        "pictures": len(run.train),
        "held_out": [path.name for path in run.held_out_pictures.folders]
        if run.settings.held_out_by == "folder"
        else [],
        "scores": position.scores,
        "losses": position.losses,
        "baselines": asdict(baselines),
        "unreadable": len(position.unreadable),
        "seed": run.seed,
        "mark": run.mark,
        "encoder": asdict(size),
    }
    export.export_module(timm_model, size.size, ("embedding",), facts | encoder.describe(weights), onnx)
    outputs, sha256 = {"embedding": "embedding"}, run_folder.file_hash(onnx)
    export.write_section(section, export.describe_network(name, network, outputs, onnx.name, sha256))
    report.write(model, run, position, baselines)
    pictures.write_failures(folder, position.unreadable, position.sizes)
    results = [weights.name, onnx.name, section.name, report.NAME, pictures.FAILURES]
    run_folder.finish(folder, run.mark, facts | {"settings": run.settings.model_dump(mode="json")}, results)


EXAMPLES = """Examples:
python -m extract.pretrain --name mae_demo --config configs/mae.toml       the demo's drawn faces, a quarter of an hour
python -m extract.pretrain --name mae_b16 --config configs/mae.toml --frames /data/faces --work runs/faces
python -m extract.pretrain --name mae --frames /data/faces --set pretrain.mae.epochs=400"""


def command(
    name: Annotated[str, typer.Option(help="What the network is called; its keys: pretrain.<name> in the config.")],
    frames: Annotated[
        Path | None, typer.Option(help="Pictures, or folders of pictures, of any depth; default: the corpus's frames.")
    ] = None,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same network.", min=0, max=cli.MOST_SEED)] = 0,
    redo: cli.Redo = False,
    as_json: cli.AsJson = False,
) -> None:
    """Pre-train a masked autoencoder on faces without labels. Killed at any moment, the same command goes on."""
    with errors.exits():
        settings = extract_config.load(Config, config, overrides)
        folder = main(settings, name, work or Path("runs") / settings.corpus.name, frames, seed, redo)
        facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        _print(folder, name, facts, as_json)
        if pictures.print_failures(folder):
            sys.exit(1)


def _print(folder: Path, name: str, facts: dict[str, Any], as_json: bool) -> None:
    """What was learnt, where it is, and how it is used."""
    section = folder / f"{name}.toml"
    if as_json:
        paths = {"file": folder / f"{name}.onnx", "section": section, "report": folder / "report.html"}
        result = {key: facts[key] for key in ("pictures", "scores", "losses", "baselines", "unreadable")}
        print(json.dumps(result | {key: str(path) for key, path in paths.items()}, indent=2, allow_nan=False))
        return
    first, last = facts["scores"][0], facts["scores"][-1]
    print(f"loss of held-out pictures, before the first step and after the last epoch: {first:.4f}, {last:.4f}")
    said = facts["baselines"]
    print(f"by the mean picture: {said['mean_picture']:.4f}; by visible patches' mean: {said['visible_mean']:.4f}")
    print(f"{name} is in {folder} with a report; a config has it with this line at the top, to extract or fine-tune:")
    print(f'extends = "{section.resolve()}"')


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
