"""`python -m extract.tabular`: somebody else's per-frame table becomes features, as a network of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from extract import config as configs
from extract.config import Config
from extract.runtime import cli, errors
from extract.runtime.errors import InputError
from extract.tabular.formats import Choice
from extract.tabular.importer import main


def _patterns(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


EXAMPLES = """Examples:
python -m extract.tabular processed/ --name openface                          a folder of OpenFace CSV files
python -m extract.tabular fex.csv --name pyfeat --columns 'AU*,Pitch,Roll,Yaw'    py-feat, with head pose
python -m extract.tabular table.parquet --name other --columns 'f_*' --va valence,arousal --video-column clip"""


def command(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file, or a folder of them.")],
    name: Annotated[str, typer.Option(help="The features' name, to be used in features.networks.")],
    format: Annotated[str | None, typer.Option(help="openface, pyfeat or table; default: told by its columns.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns for the embedding, as in AU*,pose_R*.")] = None,
    logits: Annotated[str | None, typer.Option(help="Columns for the logits.")] = None,
    va: Annotated[str | None, typer.Option(help="The columns of valence and arousal.")] = None,
    video_column: Annotated[str | None, typer.Option(help="Column of the videos; default: the file's name.")] = None,
    frame_column: Annotated[str | None, typer.Option(help="Column of the frame numbers; default: frame.")] = None,
    first_frame: Annotated[int | None, typer.Option(help="The table's number for a video's first frame.")] = None,
    config: cli.ConfigFile = configs.DEFAULT,
    work: cli.Work = None,
    redo: Annotated[bool, typer.Option(help="Replace what was imported under this name.")] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Import per-frame features of other programs; they can be used like those of a network."""
    with errors.exits():
        settings = configs.load(Config, config)
        if name in settings.networks:
            raise InputError(f"--name {name}: the config has a network of that name; choose another")
        folder = work or Path("runs") / settings.corpus.name
        chosen = (_patterns(columns), _patterns(logits), _patterns(va))
        choice = Choice(format, *chosen, video_column, frame_column, first_frame)
        done = main(file, name, folder, choice, redo=redo, roots=settings.corpus.frames)
        if as_json:
            said = {"format": done.plan.format.name, "first_frame": done.plan.first_frame, "columns": done.plan.kinds}
            said |= {"frames": done.frames, "videos": done.videos, "frames_without_face": done.without_face}
            print(json.dumps(said | {"folder": str(folder / "features" / name)}, indent=2, default=list))
            return
        kinds = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in done.plan.kinds.items())
        print(f"{done.plan.format.name} table, frames counted from {done.plan.first_frame}; {kinds}")
        print(f"{done.frames:,} frames of {done.videos} videos are in {folder / 'features' / name}", end="")
        print(f"; {done.without_face:,} frames without a face" if done.without_face else "")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
