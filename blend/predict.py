"""Trained blends on anybody's video: faces -> features -> heads -> blend -> a table, an annotated video, a timeline.

    python -m blend.predict clip.mp4 --blend runs/demo/blend/au --blend runs/demo/blend/expr

    predictor = Predictor.load("runs/demo/blend/au", "runs/demo/blend/expr")
    table = predictor.video("clip.mp4")      # a pandas DataFrame, a row per frame

A video is read frame by frame and crops lie on disk, so memory does not grow with its length but for some hundred bytes
a frame.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from extract import errors
from extract.console import console

if TYPE_CHECKING:
    import pandas as pd

    from blend.predict_blends import Trained
    from blend.predict_source import Clip, Found

DEFAULT_OUT = Path("predicted")
Format = Literal["csv", "parquet", "both"]


class Predictor:
    """Blends of up to three tasks, ready for one video after the other; models are loaded with the first."""

    def __init__(self, trained: list[Trained], networks: dict[str, Any]) -> None:
        self.trained, self.networks = trained, networks

    @staticmethod
    def load(*blends: str | Path, config: str | Path | None = None) -> Predictor:
        """Blends by their folders (`<work>/blend/<task>`); `config` is needed only for networks that are on no record.

        Raises InputError for a folder that holds no blend, or a blend whose heads cannot predict videos.
        """
        from blend import predict_blends, predict_networks

        trained = predict_blends.find(Path(folder) for folder in blends)
        return Predictor(trained, predict_networks.settings(trained, Path(config) if config is not None else None))

    @property
    def tasks(self) -> list[str]:
        """The tasks that are predicted, of "expr", "au", "va"."""
        return [one.task.name for one in self.trained]

    def video(
        self,
        path: str | Path,
        *,
        faces: int = 1,
        size: int = 112,
        fps: float = 30.0,
        detector: str | Path | None = None,
    ) -> pd.DataFrame:
        """Predict every frame of a video file, or of a folder of face crops (00001.jpg, ... at `fps`).

        Returns a row per frame and face (columns: blend.predict_table.build). `faces` 2 follows the left and the right
        person, `size` is the crops' edge in pixels, `detector` the face detector's file. Raises InputError for a video
        that cannot be read.
        """
        from blend import predict_source

        [clip] = predict_source.clips([Path(path)], fps)
        with tempfile.TemporaryDirectory(prefix="affect-heads-") as work:
            return self.table(clip, Path(work), faces, size, Path(detector) if detector is not None else None)[0]

    def table(self, clip: Clip, work: Path, faces: int, size: int, detector: Path | None) -> tuple[pd.DataFrame, Found]:
        """The table of a video and where its faces are. Crops and features stay below `work`, and what is there already
        is taken.
        """
        from blend import predict_features, predict_scores, predict_table
        from extract.progress import progress, step

        step("faces")
        found = clip.find_faces(work, faces, size, detector)
        blended = {}
        if any(len(frames) for frames, _ in found.people):
            step("features")
            predict_features.extract(self.trained, self.networks, clip, found, work)
            step("heads")
            with progress(f"predict {clip.name}", sum(len(one.heads) for one in self.trained), "heads") as bar:
                blended = predict_scores.predict(
                    self.trained, work, found.videos, found.frames, lambda note: bar.advance(1, note)
                )
        return predict_table.build(found, blended, self.tasks), found


def main(
    videos: list[Path],
    blends: list[Path],
    out: Path = DEFAULT_OUT,
    *,
    faces: int = 1,
    size: int = 112,
    fps: float = 30.0,
    table_format: Format = "csv",
    video: bool = True,
    config: Path | None = None,
    detector: Path | None = None,
    keep: bool = False,
) -> list[dict[str, Any]]:
    """Predict videos into `<out>/<video>/`; returns what is said of each (its `summary.json`).

    Each folder gets predictions.csv (or .parquet, or both), annotated.mp4 and one frame of it, annotated.png (unless
    not `video`), timeline.html, summary.json, and DONE last. A folder that was finished from the same video, blends and
    settings is left alone; of one that was not, crops and features that are there are taken. `keep` keeps them when all
    is done. Of several videos one that cannot be read is told in what is returned (`broken`, no `frames`), and the
    others are predicted. Raises InputError for blends and videos that cannot be used; videos finished before that stay.
    """
    from blend import predict_folder, predict_source
    from extract.progress import steps

    clips = predict_source.clips(videos, fps)
    predictor = Predictor.load(*blends, config=config)
    wanted = predict_folder.Wanted(faces, size, table_format, video, detector, keep)
    said = []
    for number, clip in enumerate(clips, 1):
        what = f"{clip.name} ({number} of {len(clips)})" if len(clips) > 1 else clip.name
        try:
            with steps(what, predict_folder.STEPS):
                said.append(predict_folder.make(predictor, clip, out / clip.name, wanted))
        except predict_source.NoVideo as error:
            if len(clips) == 1:
                raise
            nothing = {"video": clip.name, "source": str(clip.path.absolute()), "frames": 0, "faces": [], "files": {}}
            said.append(nothing | {"broken": str(error)})
    return said


def show(said: list[dict[str, Any]]) -> None:
    """Print what was found in the videos, as a table, and where it is."""
    from rich.table import Table

    from blend.predict_table import in_words

    shown = Table("video", "frames", "face", "with a face", "what it shows, by share of these frames, or on average")
    for one in said:
        for number, face in enumerate(one["faces"]):
            name, frames = (one["video"], f"{one['frames']:,}") if number == 0 else ("", "")
            shown.add_row(name, frames, face["face"], f"{face['frames']:,}", in_words(face))
    console().print(shown)
    for one in said:
        if one["frames"] and not any(face["frames"] for face in one["faces"]):
            print(f"{one['video']}: no face was found in it ({one['frames']:,} frames): its predictions are empty")
        for path in one["files"].values():
            print(path)


EXAMPLES = """Examples:

python -m blend.predict clip.mp4 --blend runs/demo/blend/au --blend runs/demo/blend/expr --blend runs/demo/blend/va

python -m blend.predict talk.mp4 --blend runs/affwild2/blend/expr --faces 2 --format both

python -m blend.predict runs/demo/corpus/cropped_aligned/demo-01 --blend runs/demo/blend/au      a folder of crops

python -m blend.predict *.mp4 --blend runs/mine/blend/va --out results --json > results.json"""


def command(
    videos: Annotated[
        list[Path], typer.Argument(help="Video files, or folders of face crops 00001.jpg, ...", show_default=False)
    ],
    blend: Annotated[
        list[Path], typer.Option(help="The folder of a blend, one per task; can be repeated.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Where a folder for each video goes.")] = DEFAULT_OUT,
    faces: Annotated[int, typer.Option(help="2: the left and the right person.", min=1, max=2)] = 1,
    table_format: Annotated[Format, typer.Option("--format", help="The table as csv, parquet, or both.")] = "csv",
    video: Annotated[bool, typer.Option(help="Draw on the video; off, it takes less time.")] = True,
    size: Annotated[int, typer.Option(help="Edge of the face crops in pixels.", min=16)] = 112,
    fps: Annotated[float, typer.Option(help="Frames per second of folders of crops.", min=0.1, max=1000)] = 30.0,
    detector: Annotated[
        Path | None, typer.Option(help="The face detector's file; default: the cache, else downloaded once.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The run's TOML file; default: what the blends have on record.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep crops and features, for the next blend.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON, and nothing else.")] = False,
) -> None:
    """Apply trained blends to videos: a table of every frame, an annotated video and a timeline for each."""
    with errors.exits():
        said = main(
            videos,
            blend,
            out,
            faces=faces,
            size=size,
            fps=fps,
            table_format=table_format,
            video=video,
            config=config,
            detector=detector,
            keep=keep,
        )
        if as_json:
            print(json.dumps({"videos": said}, indent=2, allow_nan=False, ensure_ascii=False))
        else:
            show(said)
        broken = [one for one in said if one["broken"]]
        for one in broken:
            rest = "the frames before that were" if one["frames"] else "nothing of it was"
            print(f"warning: {one['broken']}; {rest} predicted", file=sys.stderr)
        if broken:
            sys.exit(1)


def joined(arguments: list[str]) -> list[str]:
    """`--blend A B C`, as people write it, as `--blend A --blend B --blend C`; A is what it says, B and C are blends
    where they hold one. What begins like an option but is a file is the file.
    """
    out: list[str] = []
    after = False
    for argument in arguments:
        if argument.startswith("-") and Path(argument).exists():
            argument = f"./{argument}"  # a file, however it is called
        if after and out[-1] != "--blend" and _is_blend(Path(argument)):
            out.append("--blend")
        elif argument.startswith("-") or (after and out[-1] != "--blend"):
            after = argument == "--blend"
        out.append(argument)
    return out


def _is_blend(path: Path) -> bool:
    return path.name == "params.json" or (path / "params.json").is_file() or (path / "va").is_dir()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app(joined(sys.argv[1:]))
