"""The predictions of a video as a table: one row per face and frame, empty where there is no face; and in words."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend.film.drawing import by_face
from blend.predict.scores import BlendedVideo
from blend.predict.source import DetectedFaces, PictureFolder
from extract.faces.boxes import SIDES
from extract.runtime.run_folder import write_whole
from heads.abaw.tasks import AU, EXPR, TASKS, VA

if TYPE_CHECKING:
    import pandas as pd

DIGITS = "%.7g"
QUALITY = {"detector_score": "score", "sharpness": "sharpness", "roll": "roll"}
"""Columns of people by number, and what they are of boxes.MEASURES: how sure the detector was of the face, 0 to 1;
variance of the Laplacian of its crop, small where blurred; by how many degrees the head is turned clockwise."""


def score_name(unit: str) -> str:
    """The column of an action unit's score; the unit's own column has what was decided."""
    return f"{unit}_score"


def build(
    result: DetectedFaces, blended: dict[str, list[BlendedVideo]], tasks: Collection[str], note: str = ""
) -> pd.DataFrame:
    """The table of a video, by frame, then from left to right (or by number), with the columns of these tasks.

    Columns: `frame` (from 1), `time` (seconds), `face` (single; or left, right; or a number), `x`, `y`, `width`,
    `height` (the face's box, pixels); of people by number QUALITY, too; of an expr blend `expression` (decided) and a
    score per class; of an au blend each unit (0 or 1) and its score; of a va blend `valence`, `arousal`; where there is
    a `note` on what made all this, it is the last column, `by`. People with numbers have rows where they are seen; of
    the others every frame is a row, in which all but the first three are missing where there is no face.
    """
    import pandas as pd

    measured = QUALITY if result.by_number else ()
    names, spans = [*SIDES, *measured, *columns_of(tasks), *(["by"] if note else [])], result.spans(result.frames)
    everybody = zip(result.names, result.videos, result.people, result.measures or result.names, strict=True)
    parts = []
    for name, video, (frames, boxes), measures in everybody:
        columns: dict[str, Any] = {side: boxes[:, k].round(2) for k, side in enumerate(SIDES)}
        columns |= {column: measures[QUALITY[column]].round(2) for column in measured}
        at = frames.astype(np.int64) - spans[video][0]
        for item in blended.get(video, []):
            columns |= name_values(item.task, item.scores[at], item.decisions[at])
        numbers = frames if result.by_number else np.arange(1, result.frames + 1)
        parts.append(_rows(columns | {"by": note}, frames, numbers, names, result.timing.seconds, name))
    if not parts:
        nothing = np.empty(0, np.int32)
        parts = [_rows({}, nothing, nothing, names, result.timing.seconds, 0)]
    return pd.concat(parts, ignore_index=True).sort_values("frame", kind="stable", ignore_index=True)


def _rows(
    columns: dict[str, Any], frames: NDArray[np.int32], numbers: NDArray[np.integer], names: list[str],
    seconds: NDArray[np.float64], face: str | int,
) -> pd.DataFrame:  # fmt: skip
    """One face's rows, one for each of the frames `numbers`; `columns` are of `frames`, missing elsewhere."""
    import pandas as pd

    kinds = dict.fromkeys(names, "float32") | dict.fromkeys(AU, "Int8") | {"expression": "string", "by": "string"}
    table = pd.DataFrame(columns, index=frames).reindex(index=numbers, columns=names)
    table = table.astype({name: kinds[name] for name in names})
    table.insert(0, "frame", numbers.astype(np.int32))
    table.insert(1, "time", seconds[numbers - 1].round(4))
    table.insert(2, "face", [face] * len(numbers) if isinstance(face, str) else np.full(len(numbers), face, np.int32))
    return table


def build_album(
    clip: PictureFolder, result: DetectedFaces, blended: dict[str, list[BlendedVideo]], tasks: Collection[str],
    note: str,
) -> pd.DataFrame:  # fmt: skip
    """The table of a folder of pictures: as `build`, with the file's name as `picture` for `frame` and `time`."""
    import pandas as pd

    parts = []
    for name, part in clip.split(result):
        table = build(part, blended, tasks, note).drop(columns=["frame", "time"])
        table.insert(0, "picture", name)
        parts.append(table)
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def columns_of(tasks: Collection[str]) -> list[str]:
    """The columns of what these tasks predict."""
    expr = ["expression", *EXPR] if "expr" in tasks else []
    au = [*AU, *map(score_name, AU)] if "au" in tasks else []
    return [*expr, *au, *(VA if "va" in tasks else ())]


def name_values(task: str, scores: NDArray[np.float32], decided: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """A task's columns [N], from scores [N, outputs] and what was decided [N, outputs], of expr [N]; in the table's
    order.
    """
    if TASKS[task].is_regression:
        return {name: decided[:, i] for i, name in enumerate(VA)}
    if TASKS[task].is_multilabel:
        units: dict[str, NDArray[np.generic]] = {name: decided[:, i].astype(np.int8) for i, name in enumerate(AU)}
        return units | {score_name(name): scores[:, i] for i, name in enumerate(AU)}
    names = np.array(EXPR, object)[decided.astype(np.int64)]
    return {"expression": names, **{name: scores[:, i] for i, name in enumerate(EXPR)}}


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV or Parquet, as the path ends; whole or not at all."""
    with write_whole(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False, compression="zstd")
        else:
            table.to_csv(temporary, index=False, float_format=DIGITS, lineterminator="\n")


def summary(table: pd.DataFrame) -> list[dict[str, Any]]:
    """What the table says of each face, JSON-able: frames, share of each expression and unit, mean and range of va."""
    return [_face(name, values) for name, values in by_face(table)]


def _face(name: str | int, table: pd.DataFrame) -> dict[str, Any]:
    seen = table[table["x"].notna()]
    facts: dict[str, Any] = {"face": name, "frames": len(seen)}
    if not len(seen):
        return facts
    if "expression" in seen:
        shares = seen["expression"].value_counts(normalize=True)
        facts["expressions"] = {str(key): round(float(value), 4) for key, value in shares.items()}
    if AU[0] in seen:
        facts["units"] = {unit: round(float(seen[unit].mean()), 4) for unit in AU}
    if VA[0] in seen:
        facts["affect"] = {
            key: {what: round(float(getattr(seen[key], what)()), 4) for what in ("mean", "min", "max")} for key in VA
        }
    return facts


def in_words(facts: dict[str, Any]) -> str:
    """One face's summary as a line."""
    if not facts["frames"]:
        return "no face"
    parts = []
    if "expressions" in facts:
        most = list(facts["expressions"].items())[:3]
        parts.append(", ".join(f"{name} {share:.0%}" for name, share in most))
    if "units" in facts:
        active = sorted(((share, unit) for unit, share in facts["units"].items() if share), reverse=True)[:4]
        parts.append(", ".join(f"{unit} {share:.0%}" for share, unit in active) or "no unit active")
    if "affect" in facts:
        parts.append(", ".join(f"{key} {facts['affect'][key]['mean']:+.2f}" for key in VA))
    return "; ".join(parts)
