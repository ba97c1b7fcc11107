"""`python -m blend.predict`: trained blends on anybody's video."""

from __future__ import annotations

import json
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from blend.predict import stream
from blend.predict.predictor import DEFAULT, Predictor
from blend.predict.run import DEFAULT_OUT, Format, main, show
from blend.predict.source import choose_people
from blend.predict.stream import StreamOptions
from extract.faces.people import MAX_PEOPLE
from extract.runtime import cli, errors
from extract.runtime.errors import InputError

EXAMPLES = """Examples:

python -m blend.predict clip.mp4 --blend runs/demo/blend/au --blend runs/demo/blend/expr --blend runs/demo/blend/va

python -m blend.predict clip.mp4 --pretrained      what a network says of itself, without a blend

python -m blend.predict talk.mp4 --blend runs/affwild2/blend/expr --faces 2 --format both

python -m blend.predict party.mp4 --pretrained --faces 5      up to five people at once, each with a number

python -m blend.predict runs/demo/corpus/cropped_aligned/demo-01 --blend runs/demo/blend/au      a folder of crops

python -m blend.predict --camera 0 --blend runs/demo/blend/au --serve 8081      live: JSON lines, and a page to see

ffmpeg ... -f mpegts - | python -m blend.predict - --pretrained      a pipe; likewise rtsp:// and http:// addresses

python -m blend.predict *.mp4 --blend runs/mine/blend/va --out results --json > results.json"""


NETWORKS = (".onnx", ".pt", ".pth")
"""Ends of files that are networks, not videos."""

Videos = Annotated[
    list[str] | None,
    typer.Argument(
        help="Video files, folders of face crops 00001.jpg, ... or of other pictures; or one stream: an address, - "
        "for a pipe.",
        show_default=False,
    ),
]
Blends = Annotated[
    list[Path] | None, typer.Option(help="The folder of a blend, one per task; can be repeated.", show_default=False)
]
PretrainedName = Annotated[
    str | None,
    typer.Option(
        metavar="[NETWORK]",
        help=f"In place of blends what a network says of itself, by default {DEFAULT}; your own with --config.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Where a folder for each video goes; of a stream a new file for its lines, default stdout.",
        show_default=str(DEFAULT_OUT),
    ),
]
Faces = Annotated[
    int, typer.Option(help="2: the left and the right person; more: so many at once, by number.", min=1, max=MAX_PEOPLE)
]
Ids = Annotated[bool, typer.Option("--ids", help="By number with --faces 1 and 2, too.")]
MinFace = Annotated[
    float | None, typer.Option(help="By number: pixels of the smallest face; default 30.", show_default=False)
]
MinScore = Annotated[
    float | None,
    typer.Option(help="By number: how sure the detector must be once, 0.6 to 1; default 0.8.", show_default=False),
]
TableFormat = Annotated[Format, typer.Option("--format", help="The table as csv, parquet, or both.")]
Draws = Annotated[bool, typer.Option(help="Draw on the video; off, it takes less time.")]
Size = Annotated[int, typer.Option(help="Edge of the face crops in pixels.", min=16, max=1024)]
Fps = Annotated[float, typer.Option(help="Frames per second of folders of crops.", min=0.1, max=1000)]
Detector = Annotated[
    Path | None, typer.Option(help="The face detector's file; default: the cache, else downloaded once.")
]
ConfigOfRun = Annotated[Path | None, typer.Option(help="The run's TOML file; default: what the blends have on record.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep crops and features, for the next blend.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary as JSON, and nothing else.")]
Camera = Annotated[
    str | None, typer.Option(help="In place of videos a camera: 0, 1, ... or its device.", show_default=False)
]
Drop = Annotated[
    bool | None,
    typer.Option(
        "--drop/--no-drop",
        help="Of a stream: leave out frames where predicting is slower, or let them wait. Default: those of pipes "
        "and of finished files on the web wait.",
        show_default=False,
    ),
]
Serve = Annotated[
    int | None,
    typer.Option(help="Of a stream: a port of this machine where a browser sees it.", show_default=False, min=0),
]
Window = Annotated[bool, typer.Option("--window", help="Of a stream: show it in a window.")]


def command(
    videos: Videos = None, blend: Blends = None, pretrained: PretrainedName = None, out: Out = None, faces: Faces = 1,
    ids: Ids = False, min_face: MinFace = None, min_score: MinScore = None, table_format: TableFormat = "csv",
    video: Draws = True, size: Size = 112, fps: Fps = 30.0, detector: Detector = None, config: ConfigOfRun = None,
    keep: Keep = False, as_json: AsJson = False, camera: Camera = None, drop: Drop = None, serve: Serve = None,
    window: Window = False,
) -> None:  # fmt: skip
    """Apply trained blends to videos: a table of every frame, an annotated video and a timeline for each."""
    with errors.exits():
        if (source := stream.find_source(videos or [], camera)) is not None:
            if table_format != "csv" or keep or not video:
                raise InputError("a stream: --format, --keep and --no-video are for files; leave them out")
            people = choose_people(faces, ids or faces > 1, min_face, min_score)
            options = StreamOptions(out, drop, serve, window, people)
            with Predictor(*(blend or ()), pretrained=pretrained, config=config, size=size, detector=detector) as made:
                _predict_stream(source, made, options)
            return
        if drop is not None or serve is not None or window:
            raise InputError("--drop, --serve and --window are for streams: --camera 0, an address, or - for a pipe")
        if not videos:
            raise InputError(
                "no video given; name video files, pictures or folders, as in affect-heads predict clip.mp4 "
                "--pretrained; or a stream's address, - for a pipe, or --camera 0"
            )
        said = main(
            [Path(path) for path in videos], blend, out or DEFAULT_OUT, faces=faces, ids=ids, min_face=min_face,
            min_score=min_score, size=size, fps=fps, table_format=table_format, video=video, config=config,
            detector=detector, keep=keep, pretrained=pretrained,
        )  # fmt: skip
        if not tell(said, as_json):
            sys.exit(1)


def _predict_stream(source: tuple[str, bool], predictor: Predictor, options: StreamOptions) -> None:
    """A stream to its end; Ctrl-C before its first frame, or twice, leaves nothing that goes on from there."""
    try:
        stream.main(*source, predictor, options)
    except KeyboardInterrupt:
        print("interrupted: the lines that were written stay", file=sys.stderr)
        sys.exit(130)


def tell(said: list[dict[str, Any]], as_json: bool) -> bool:
    """Print what was predicted, and on stderr what to know of it; returns whether every file was whole."""
    if as_json:
        print(json.dumps({"videos": said}, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        show(said)
    if note := next((item["note"] for item in said if "note" in item), ""):
        print(f"warning: {note}", file=sys.stderr)
    broken = [item for item in said if item["broken"]]
    for entry in broken:
        parts = "the frames before that were" if "rate" in entry else "the other pictures were"
        rest = parts if entry["frames"] else "nothing of it was"
        print(f"warning: {entry['broken']}; {rest} predicted", file=sys.stderr)
    return not broken


def prepare_arguments(arguments: list[str]) -> list[str]:
    """Command-line words as typer takes them: `--pretrained` with its name, `--blend` before every blend."""
    return join_blends(complete_pretrained_option(arguments))


def complete_pretrained_option(arguments: list[str]) -> list[str]:
    """`--pretrained` without a name as `--pretrained enet_b0_8_va_mtl`. The next word is its name unless there is none,
    it begins like an option, or is a file or folder.
    """
    results: list[str] = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue="-"):
        results.append(argument)
        if argument == "--pretrained" and Path(following).suffix.lower() in NETWORKS:
            raise InputError(
                f"--pretrained {following}: a network of your own has a name: give its TOML file with --config, and "
                f"here the NAME of its section [networks.NAME]"
            )
        if argument == "--pretrained" and (following.startswith("-") or Path(following).exists()):
            results.append(DEFAULT)
    return results


def join_blends(arguments: list[str]) -> list[str]:
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
    cli.start(command, EXAMPLES, prepare_arguments(sys.argv[1:]))
