"""timeline.html: a video's predictions to look through in any browser, offline; one file of about 40 bytes a frame.

Values are carried as bytes (a score's 256 steps; valence and arousal, which are told to the hundredth, as two bytes of
FINE steps), one face after the other, and drawn by predictions.js on the timeline that report.html has, too. The
annotated video is played beside it where it lies in the same folder.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend.film.drawing import by_face, colour, span
from blend.html import templates
from blend.predict.table import in_words, score_name
from blend.tasks.multilabel import DEFAULT_THRESHOLD
from heads.abaw.tasks import AU, EXPR, VA

if TYPE_CHECKING:
    import pandas as pd

    from blend.decision.params import Params

NO_FACE = 255
"""Of an expression: there is none."""
FINE = 10_000
"""Steps from 0 to 1 of valence and arousal."""
EVEN = 5e-4
"""Seconds by which frames may be off their rate before their times are carried one by one."""


def render(
    table: pd.DataFrame, said: dict[str, Any], params: list[Params], seconds: NDArray[np.float64] | None = None
) -> str:
    """The page, of a table of predictions, its summary and the blends that made it. `seconds` are the times of all
    frames, where people have numbers: the table may lack frames.
    """
    faces, numbered = by_face(table), table["face"].dtype.kind == "i"
    times = seconds if numbered and seconds is not None else faces[0][1]["time"].to_numpy(np.float64)
    even = np.abs(times - np.arange(len(times)) / said["rate"]).max() < EVEN
    thresholds = next((param.thresholds for param in params if param.thresholds), (DEFAULT_THRESHOLD,) * len(AU))
    data = {
        "frames": said["frames"], "rate": said["rate"], "times": None if even else _packed(times.astype("<f4")),
        "expressions": list(EXPR), "units": list(AU), "thresholds": list(thresholds),
        "faces": [_face(name, face) for name, face in faces], "numbered": numbered,
    }  # fmt: skip
    template = templates.environment(Path(__file__).parent / "templates").get_template("predictions.html")
    colours = {name: "#{:02x}{:02x}{:02x}".format(*colour(name)) for name, _ in faces if isinstance(name, int)}
    return template.render(said=said, data=data, dimensions=VA, in_words=in_words, colours=colours)


def _face(name: str | int, table: pd.DataFrame) -> dict[str, Any]:
    """One face's values as bytes, frame by frame, of somebody with a number from the `first` frame (from 0) to the last
    one; `seen` are the spans [from, to) of frames with the face.
    """
    table, first = span(table) if isinstance(name, int) else (table, 0)
    there = table["x"].notna().to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], there.astype(np.int8), [0]])))
    face: dict[str, Any] = {"name": name, "first": first, "seen": (edges + first).reshape(-1, 2).tolist()}
    if "expression" in table:
        known = {expression: i for i, expression in enumerate(EXPR)}
        face["expression"] = _packed(table["expression"].map(known).fillna(NO_FACE).to_numpy(np.uint8))
        face["scores"] = _packed(_steps(table, EXPR))
    if AU[0] in table:
        active = np.zeros((len(table), 16), np.uint8)
        active[:, : len(AU)] = table[list(AU)].fillna(0).to_numpy(np.uint8)
        face["active"] = _packed(np.packbits(active, axis=1, bitorder="little"))
        face["units"] = _packed(_steps(table, tuple(map(score_name, AU))))
    if VA[0] in table:
        values = np.nan_to_num(table[list(VA)].to_numpy(np.float64, na_value=0.0))
        face["affect"] = _packed(np.round(values * FINE).astype("<i2"))
    return face


def _steps(table: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Scores in [0, 1] as 0 to 255; 0 without a face."""
    values = table[list(names)].to_numpy(np.float64, na_value=0.0)
    steps: NDArray[np.uint8] = np.clip(np.round(255 * np.nan_to_num(values)), 0, 255).astype(np.uint8)
    return steps


def _packed(values: NDArray[np.generic]) -> str:
    return b64encode(np.ascontiguousarray(values).tobytes()).decode()
