"""Feature store -> one table for pandas and other programs, written video by video: memory holds a few of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from extract import config as configs
from extract.config import Config
from extract.features import store
from extract.features.store import KINDS, VideoFeatures
from extract.runtime import cli, errors, inputs
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from extract.runtime.run_folder import write_whole

FORMATS = ("parquet", "csv")
ROWS = 16384
"""Rows that are written together at least: a Parquet file of many tiny pieces is slow to read."""


def main(network: str, work: Path, out: Path, *, format: str | None = None, kinds: list[str] | None = None) -> int:
    """Write the features of a network (or imported table) to `out`, whole or not at all; return the number of rows.

    Columns: `video`, `frame`, then those of each kind (`kinds`; default: all there are) as float32, named as in the
    imported table, or `embedding_0` …, `logits_<class>` …, `valence`, `arousal`. Rows are sorted by video and frame.
    `format` is parquet or csv; default: as `out` is called. Raises InputError for a network without features, a kind
    that it does not have, damaged or mixed feature files.
    """
    format = format or out.suffix.lower().removeprefix(".")
    if format not in FORMATS:
        raise InputError(f"{out}: format {format!r}; expected --format {' or '.join(FORMATS)}")
    videos = store.videos(work, network)
    paths = [store.path(work, network, video) for video in videos]
    columns = _columns(paths[0], kinds)
    names = [name for names in columns.values() for name in names]
    rows = 0
    with (
        progress(f"export {network}", len(videos), "videos") as bar,
        write_whole(out) as temporary,
        _writer(temporary, format, names) as write,
    ):
        for video, path in zip(videos, paths, strict=True):
            features = store.read(path)
            write(video, features.frame, _joined(features, columns, path))
            rows += len(features.frame)
            bar.advance()
    return rows


def _columns(path: Path, kinds: list[str] | None) -> dict[str, list[str]]:
    """Kind -> column names, from the first video's file."""
    features, about = store.read(path), store.read_about(path) or {}
    if not features.has():
        raise store.damage_error(path, "no features in it", about)
    for kind in kinds or []:
        if kind not in features.has():
            raise InputError(f"--kinds {kind}: {path} has only {', '.join(features.has())}")
    imported = inputs.parse_json(about["columns"]) if "table" in about else {}
    classes = inputs.parse_json(about["outputs"])[-1] if "outputs" in about else None
    columns = {}
    for kind in kinds or features.has():
        width = getattr(features, kind).shape[1]
        names = {"va": ["valence", "arousal"], "logits": [f"logits_{each}" for each in classes or []]}.get(kind, [])
        names = imported.get(kind, names)
        columns[kind] = names if len(names) == width else [f"{kind}_{i}" for i in range(width)]
    every = ["video", "frame", *(name for names in columns.values() for name in names)]
    if len(set(every)) < len(every):
        return {kind: [f"{kind}_{name}" for name in names] for kind, names in columns.items()}
    return columns


def _joined(
    features: VideoFeatures, columns: dict[str, list[str]], path: Path
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The chosen kinds side by side, float32 [N, columns]."""
    parts = []
    for kind, names in columns.items():
        part = getattr(features, kind)
        if part is None or part.shape != (len(features.frame), len(names)):
            result = "none" if part is None else f"shape {part.shape}"
            raise InputError(
                f"{path}: {kind}: found {result}, expected shape {(len(features.frame), len(names))} as in other "
                f"videos; run python -m extract.run --redo"
            )
        parts.append(part.astype(np.float32))
    return np.hstack(parts)


@contextmanager
def _writer(path: Path, format: str, names: list[str]) -> Iterator[Callable[[str, Any, Any], None]]:
    """Give a function that appends one video's rows: write(video, frame [N], values [N, columns])."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    schema = pa.schema(
        [("video", pa.string()), ("frame", pa.int32()), *((name, pa.float32()) for name in names)], metadata={}
    )
    opened = parquet.ParquetWriter(path, schema) if format == "parquet" else csv.CSVWriter(path, schema)
    waiting: list[Any] = []
    with opened as file:

        def flush() -> None:
            if waiting:
                file.write_table(pa.concat_tables(waiting))
                waiting.clear()

        def write(video: str, frame: Any, values: Any) -> None:
            columns = [pa.array([video] * len(frame), pa.string()), pa.array(frame, pa.int32())]
            columns += [pa.array(np.ascontiguousarray(column)) for column in values.T]
            if len(frame):
                waiting.append(pa.Table.from_arrays(columns, schema=schema))
            if sum(map(len, waiting)) >= ROWS:
                flush()

        yield write
        flush()


EXAMPLES = """Examples:
python -m extract.export --network demo_enet --format parquet features.parquet
python -m extract.export --network demo_mt_enet --kinds logits,va features.csv"""


def command(
    out: Annotated[Path, typer.Argument(help="The table to write.")],
    network: Annotated[str, typer.Option(help="Whose features: a network or an imported table.")],
    format: Annotated[str | None, typer.Option(help="parquet or csv; default: as the file is called.")] = None,
    kinds: Annotated[str | None, typer.Option(help=f"Of {','.join(KINDS)}; default: all there are.")] = None,
    config: cli.ConfigFile = configs.DEFAULT,
    work: cli.Work = None,
    as_json: cli.AsJson = False,
) -> None:
    """Write features to one table: video, frame, and a column per feature."""
    with errors.exits():
        folder = work or Path("runs") / configs.load(Config, config).corpus.name
        rows = main(network, folder, out, format=format, kinds=kinds.split(",") if kinds else None)
        print(json.dumps({"rows": rows, "file": str(out)}) if as_json else f"{rows:,} rows are in {out}")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
