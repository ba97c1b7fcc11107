"""Which file holds a video's sound: `<video>.mp4`, or a sound file of that name, in the folders of corpus.videos."""

from __future__ import annotations

import os
from pathlib import Path

from extract import video
from extract.errors import InputError

SOUND = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".mka", ".ac3")
SIDES = ("_left", "_right")
"""A video with two people is two folders of crops, and one file."""


def list_files(folders: list[Path]) -> dict[str, Path]:
    """Name without extension -> file, over one or several folders; where a video has a sound file beside, that counts.

    Raises InputError where a folder cannot be read or none holds such a file, and where two would be one video's.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            files = sorted(Path(entry.path) for entry in os.scandir(folder) if not entry.is_dir())
        except OSError as error:
            raise InputError(
                f"{folder}: folder of videos cannot be read ({error.strerror}); correct corpus.videos in the config"
            ) from None
        for file in files:
            if file.name[0] == "." or file.suffix.lower() not in (*video.EXTENSIONS, *SOUND):
                continue
            other = found.get(file.stem)
            if other is not None and _is_sound(other) == _is_sound(file):
                raise InputError(
                    f"{file}: the sound of {file.stem!r} is also in {other}; each video may have one file: rename or "
                    f"remove one of them"
                )
            if other is None or _is_sound(file):
                found[file.stem] = file
    if not found:
        raise InputError(
            f"{folders[0]}: no videos or sound files here; expected <video>.mp4, <video>.wav and the like: correct "
            f"corpus.videos in the config"
        )
    return found


def find(name: str, files: dict[str, Path]) -> Path | None:
    """The file of a video: its own, else for `_left` and `_right` that of the whole video; None where there is none."""
    if name in files:
        return files[name]
    return next((files.get(name.removesuffix(side)) for side in SIDES if name.endswith(side)), None)


def _is_sound(path: Path) -> bool:
    return path.suffix.lower() in SOUND
