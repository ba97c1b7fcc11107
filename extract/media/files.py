"""Which files of the folders of corpus.videos hold a video's sound and the times of its pictures: `<video>.mp4` both;
where a sound file of that name is beside it, the sound is that file's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from extract.media import video
from extract.media.frames import strip_side
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose

SOUND = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".mka", ".ac3")


@dataclass(frozen=True)
class Files:
    """The file of a video's pictures, and that of its sound."""

    video: Path | None = None
    sound: Path | None = None


def list_files(folders: list[Path]) -> dict[str, Files]:
    """Name without extension -> video and sound file of that name, over one or several folders.

    Raises InputError where a folder cannot be read or none holds such a file, and where two would be one video's.
    """
    results: dict[str, Files] = {}
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
            kind = "sound" if file.suffix.lower() in SOUND else "video"
            name = compose(file.stem)
            files_of = results.get(name, Files())
            if (other := getattr(files_of, kind)) is not None:
                raise InputError(
                    f"{file}: the {kind} of {name!r} is also in {other}; each video may have one file, and one of "
                    f"sound beside it: rename or remove one of them"
                )
            results[name] = replace(files_of, **{kind: file})
    if not results:
        raise InputError(
            f"{folders[0]}: no videos or sound files here; expected <video>.mp4, <video>.wav and the like: correct "
            f"corpus.videos in the config"
        )
    return results


def find(name: str, files: dict[str, Files]) -> Files:
    """The files that hold a video's pictures and its sound, which may be one; None where there is none.

    `_left` and `_right` take from the whole video what they have not of their own.
    """
    own, shared = files.get(name, Files()), files.get(strip_side(name), Files())
    video = own.video or shared.video
    return Files(video, own.sound or own.video or shared.sound or shared.video)
