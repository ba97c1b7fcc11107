"""A fitted head with all that it needs to predict new videos: what it reads, its temporal columns, its columns' names.

model = Model.load(folder)
rows, scores = model.predict_videos(work, videos)
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.config import check
from extract.features import store
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import SINGLE_TASKS
from heads.base.head import Head, family
from heads.data import feature_file, relative, table
from heads.data.predictions import Predictions
from heads.data.table import Rows, Source
from heads.data.temporal import TemporalColumns

OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES)
"""Errors that say nothing of a file's content."""
GROUP = 65_536
"""Rows that are in memory at a time where whole splits are predicted, and the rest of the video they end in."""


class DamagedModel(InputError):
    """A file of a finished model is gone, or not what it was, or does not fit the others."""


@dataclass(frozen=True)
class Model:
    """A head, fitted on rows that had `columns`."""

    head: Head
    sources: tuple[Source, ...]
    temporal: TemporalColumns
    columns: tuple[str, ...]
    source: str = ""
    """Begins what is said of it: the folder that it was read from."""

    def rows(
        self, work: Path, videos: Sequence[str], people: Mapping[str, str] | None = None, among: Iterable[str] = ()
    ) -> Rows:
        """All frames with features of these videos, with the columns that were learnt.

        `people` (video -> person) is for columns relative to a person: to their videos `among` these or, given, more.
        """
        settings = self.head.settings.relative
        extend = relative.extender(settings, self.temporal, work, self.sources, among or videos, people)
        return table.load(work, self.sources, videos, extend)

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """Scores [N, outputs]. Raises InputError, naming the first, for other columns than those learnt from, and where
        a model that was read from files gives scores that are not finite.
        """
        if not len(rows):
            return np.empty((0, len(self.head.task.outputs)), np.float32)
        if (result := tuple(rows.columns)) != self.columns:
            raise InputError(self._differs(result))
        scores = self.head.predict(rows)
        if not np.isfinite(scores).all():
            what = f"a head of family {self.head.settings.family} predicted scores that are not finite"
            if not self.source:
                raise RuntimeError(what)
            raise InputError(f"{self.source}{what}; its files are damaged: make it anew")
        return scores

    def _differs(self, result: tuple[str, ...]) -> str:
        """What to say of columns that are not those learnt from."""
        missing = [name for name in self.columns if name not in set(result)]
        unknown = [name for name in result if name not in set(self.columns)]
        what = "; ".join(
            f"{len(names)} are {options} (first: {names[0]})"
            for names, options in ((missing, "missing"), (unknown, "not among them"))
            if names
        )
        return (
            f"{self.source}this head learnt from {len(self.columns)} columns, these rows have {len(result)}: "
            f"{what or 'they are in another order'}; give it the features of {_networks(self.columns)}"
        )

    def predict_videos(self, work: Path, videos: Iterable[str], people: Mapping[str, str] | None = None) -> Predictions:
        """Predict every frame with features of these videos, some at a time: memory is bounded. `people` as `rows`."""
        there = table.frames(work, self.sources, videos)
        results: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        for group in divide_videos(there):
            items = self.rows(work, group, people, there)
            scores = self.predict(items)
            results |= {video: (items.frame[a:b], scores[a:b]) for video, a, b in items.spans}
        return Predictions(self.head.task.outputs, results)

    def save(self, folder: Path) -> None:
        """Write the head and what belongs to it into an existing folder."""
        self.head.save(folder)
        self.temporal.save(folder)
        run_folder.write_json(
            folder / "model.json",
            {
                "task": self.head.task.name,
                "settings": self.head.settings.model_dump(mode="json"),
                "sources": [asdict(source) for source in self.sources],
                "columns": self.columns,
            },
        )

    @staticmethod
    def load(folder: Path) -> Model:
        """Read what `save` wrote: the same predictions to the bit.

        Raises DamagedModel, before any library sees it, for a file that is not the one whose hash the folder's DONE
        has, and for files that do not fit together, whatever their hashes.
        """
        check_files(folder)
        try:
            model = _read(folder)
            model.head.check(model.columns)
        except InputError as error:
            if str(folder) in str(error):
                raise
            raise InputError(f"{folder}: {error}") from error
        except ImportError:  # of this machine, not of the model
            raise
        except MemoryError as error:  # of the machine, or of a file that asks for more than there is
            raise InputError(f"{folder}: too little memory to read the model ({error}): free some") from error
        except Exception as error:  # each library has its own kinds for damaged files
            if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
                raise
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise DamagedModel(
                f"{folder}: the model cannot be read ({why}); it is damaged or of another version"
            ) from error
        check_files(folder)  # what was read is what was compared, also where somebody learns it anew meanwhile
        return model


def _read(folder: Path) -> Model:
    """The model of a folder whose hashes fit. Raises InputError or ValueError, or whatever a library does."""
    about = run_folder.read_json(folder / "model.json", "make the head anew")
    columns = about["columns"]
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        raise ValueError("model.json: columns are no list of names")
    kind = family(str(about["settings"]["family"]))
    head = kind(SINGLE_TASKS[about["task"]], check(kind.Settings, about["settings"], folder / "model.json"))
    head.load(folder)
    temporal = TemporalColumns.load(folder)
    if not (sources := tuple(Source.from_json(source) for source in about["sources"])):
        raise ValueError("model.json: no sources")
    return Model(head, sources, temporal, tuple(columns), f"{folder}: ")


def check_files(folder: Path) -> None:
    """Raise DamagedModel where a file of a finished model is not what it was."""
    if (folder / run_folder.DONE_FILE).exists() and (file := run_folder.damage(folder, beside=False)) is not None:
        raise DamagedModel(f"{file}: {'gone' if not file.exists() else 'not what it was'} since the model was made")


def divide_videos(frames_by_video: table.Frames) -> Iterator[list[str]]:
    """Videos, in their order, some at a time."""
    group: list[str] = []
    rows = 0
    for video, frames in frames_by_video.items():
        group.append(video)
        rows += len(frames)
        if rows >= GROUP:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _networks(columns: Iterable[str]) -> str:
    """The networks that columns are of. A name may have dots, a column's rest begins with its kind."""
    kinds = tuple(f".{kind}." for kind in (*store.KINDS, feature_file.TABLE, table.PRESENT))
    results = {name[: min(name.find(kind) for kind in kinds if kind in name)] for name in columns}
    return ", ".join(sorted(results))
