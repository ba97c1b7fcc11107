"""A config for one's own data: what lies below a folder is found by its content and written as TOML.

python -m blend.init /data/ABAW --out mine.toml
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from extract import config as configs
from extract.media import frames, video
from extract.runtime import cli, errors, file_names, run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS, Task

DEPTH = 5
"""Folders below the given one that are looked into."""
FIRST = 20
"""Entries of a folder that are looked at to tell what it holds: a folder of crops has thousands."""
PARTS = ("train", "val")
NETWORKS = ("enet_b0_8_best_vgaf", "enet_b0_8_va_mtl")


@dataclass
class Layout:
    """What was found below a folder."""

    frames: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    annotations: dict[tuple[str, str], Path] = field(default_factory=dict)
    """(task, "train" or "val") -> folder."""
    lists: dict[str, Path] = field(default_factory=dict)
    """task -> official test list."""


def find_layout(root: Path) -> Layout:
    """What lies below `root`, told by content: annotations and test lists by their headers, crops by names of frames.

    Raises InputError for a folder that cannot be read.
    """
    result = Layout()
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; name the one that holds your frames and annotations")
    for folder, entries, holds_crops in _folders(root, DEPTH):
        if holds_crops:
            result.frames.append(folder)
        if any(path.suffix.lower() in video.EXTENSIONS and os.path.isfile(path) for path in entries[:FIRST]):
            result.videos.append(folder)
        texts = [path for path in entries if path.suffix.lower() == ".txt" and os.path.isfile(path)]
        headers = {path: _header(path) for path in texts[:FIRST]}
        for task in TASKS.values():
            if any(header == task.header.lower() for header in headers.values()):
                part = next((part for part in PARTS if part in folder.name.lower()), None)
                if part is not None:
                    result.annotations.setdefault((task.name, part), folder)
            for path, header in headers.items():
                if header == task.list_header.lower():
                    result.lists.setdefault(task.name, path)
    return result


def _folders(root: Path, depth: int, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, list[Path], bool]]:
    """`root` and the folders below it, each with what it holds, read once, and whether that is folders of crops.

    None below a folder that holds crops, of which there are thousands; none that is a link to one that it lies in
    (`above`).

    Raises InputError for a first folder that cannot be read; others are passed over with a warning.
    """
    try:
        entries = sorted(root.iterdir())
        if not os.access(root, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        what = f"{root}: cannot be read ({error.strerror})"
        if not above:
            raise InputError(f"{what}; change its permissions, or name another folder") from None
        print(f"warning: {what}: what lies in it is passed over", file=sys.stderr)
        return
    below = [path for path in entries if path.name[0] != "." and os.path.isdir(path)]
    holds_crops = any(_holds_frames(path) for path in below[:FIRST])
    yield root, entries, holds_crops
    above = (*above, root.resolve())
    if depth and not holds_crops:
        for path in below:
            if not path.is_symlink() or not any(folder.is_relative_to(path.resolve()) for folder in above):
                yield from _folders(path, depth - 1, above)


def _holds_frames(folder: Path) -> bool:
    """Whether a folder's first files are called like frames, `00001.jpg`."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(FIRST), strict=False)]
    except OSError:
        return False
    return any(frames.PICTURE.fullmatch(name) for name in names)


def _header(path: Path) -> str:
    """The first line of a text, in small letters and without commas at its end; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.readline(1000).strip().rstrip(", ").replace(" ", "").lower()
    except OSError:
        return ""


def write_config(layout: Layout, name: str) -> str:
    """The TOML text; what was not found stands in it as a comment to fill in."""
    lines = [
        "# Made by `affect-heads init`; every key is explained in the README files of extract, heads and blend.",
        "[corpus]",
        f"name = {json.dumps(name)}",
        _paths("frames", layout.frames, "<video>/00001.jpg below it", needed=True),
        _paths("videos", layout.videos, "raw videos, for networks that hear"),
        '# people = "people.csv"   # video,person: who is in several videos; folds then go by person',
        "",
    ]
    for task in TASKS.values():
        lines += _section(task, layout)
    lines += ["[features]", f"networks = {json.dumps(list(NETWORKS))}   # your own: see extract/README.md", ""]
    return "\n".join(lines)


def _paths(key: str, result: list[Path], what: str, needed: bool = False) -> str:
    values = [json.dumps(str(path), ensure_ascii=False) for path in result]
    if not values:
        return f'{"" if needed else "# "}{key} = "/data/ABAW/{key}"   # {"not found: " if needed else ""}{what}'
    return f"{key} = {values[0] if len(values) == 1 else '[' + ', '.join(values) + ']'}   # {what}"


def _section(task: Task, layout: Layout) -> list[str]:
    """The lines of a task; comments where its validation was not found."""
    result = {part: layout.annotations.get((task.name, part)) for part in PARTS} | {"test": layout.lists.get(task.name)}
    off = "" if result["val"] else "# "
    lines = [f"{off}[corpus.{task.name}]"]
    for part, path in result.items():
        what = "the official test list" if part == "test" else "a folder of <video>.txt"
        value = json.dumps(str(path or f"/data/ABAW/{task.name}/{part}"), ensure_ascii=False)
        lines.append(f"{off if path else '# '}{part} = {value}" + ("" if path else f"   # not found: {what}"))
    return [*lines, ""]


def main(root: Path, out: Path, name: str) -> Layout:
    """Write the config of what lies below `root`; returns what was found. Raises InputError where `out` is there, and
    for a name that no corpus may have.
    """
    file_names.check("corpus", name, "--name")
    if not re.fullmatch(configs.CORPUS_NAME, name):
        raise InputError(f"--name {name!r}: expected letters, digits, '.', '_' and '-', as in affwild2")
    if out.exists():
        raise InputError(f"{out}: is there already; give another --out, or remove it")
    layout = find_layout(root.resolve())
    if not layout.frames and not layout.annotations:
        advice = "name the folder that holds them"
        if layout.videos:
            raw = layout.videos[0]
            advice = f"of the raw videos in {raw} make crops first: affect-heads extract --videos {raw} --out FOLDER"
        raise InputError(f"{root}: found neither frames <video>/00001.jpg nor annotations; {advice}")
    run_folder.write_text(out, write_config(layout, name))
    return layout


EXAMPLES = """Examples:

python -m blend.init /data/ABAW                         affwild2.toml here, of what lies there

python -m blend.init crops --name mine --out mine.toml"""


def command(
    root: Annotated[Path, typer.Argument(help="The folder that holds frames, annotations and test lists.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; default <name>.toml.")] = None,
    name: Annotated[str, typer.Option(help="The corpus's name: results come into runs/<name>.")] = "affwild2",
    as_json: cli.AsJson = False,
) -> None:
    """Write a config for your data: tasks, frames and lists are found by what is in them."""
    with errors.exits():
        path = out or Path(f"{name}.toml")
        layout = main(root, path, name)
        ready = [task for task in TASKS if (task, "val") in layout.annotations]
        if as_json:
            results = {"config": str(path), "frames": [str(folder) for folder in layout.frames], "tasks": ready}
            print(json.dumps(results, ensure_ascii=False))
            return
        print(f"{path}: {len(layout.frames)} folders of frames, annotations of {', '.join(ready) or 'no task'}")
        if ready and layout.frames:
            print(f"next: python -m blend.run --task {ready[0]} --config {path}")
        else:
            print("what was not found is a comment in it: fill it in")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
