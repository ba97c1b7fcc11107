"""timeline.html: a video's predictions to look through in any browser, offline; one file of about 40 bytes a frame.

Values are carried as bytes (a score's 256 steps; valence and arousal, which are told to the hundredth, as two bytes of
FINE steps), one face after the other, and drawn by predict_timeline.js. The annotated video is played beside it where
it lies in the same folder.
"""

from __future__ import annotations

import json
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend.predict.table import in_words, score_name
from blend.tasks.multilabel import DEFAULT_THRESHOLD
from heads.abaw.tasks import AU, EXPR, TASKS, VA

if TYPE_CHECKING:
    import pandas as pd

    from blend.decision.params import Params

NO_FACE = 255
"""Of an expression: there is none."""
FINE = 10_000
"""Steps from 0 to 1 of valence and arousal."""
EVEN = 5e-4
"""Seconds by which frames may be off their rate before their times are carried one by one."""


def render(table: pd.DataFrame, said: dict[str, Any], params: list[Params]) -> str:
    """The page, of a table of predictions, its summary and the blends that made it."""
    faces = [(str(name), some) for name, some in table.groupby("face", sort=False)]
    times = faces[0][1]["time"].to_numpy(np.float64)
    even = np.abs(times - np.arange(len(times)) / said["rate"]).max() < EVEN
    thresholds = next((one.thresholds for one in params if TASKS[one.task].is_multilabel), None)
    thresholds = thresholds or (DEFAULT_THRESHOLD,) * len(AU)
    data = {
        "frames": said["frames"],
        "rate": said["rate"],
        "times": None if even else _packed(times.astype("<f4")),
        "expressions": list(EXPR),
        "units": list(AU),
        "thresholds": list(thresholds),
        "faces": [_face(name, some) for name, some in faces],
    }
    carried = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    title = escape(said["video"])
    film = escape(said["files"].get("video", ""), quote=True)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{title}: predictions</title><style>{_file("css")}</style></head>'
        f"\n<body><main><h1>{title}</h1><p>{_facts(said)}</p>"
        + (
            f'<video src="{film}" controls muted preload="metadata" aria-label="annotated video"></video>'
            if film
            else ""
        )
        + _controls(said["frames"], any("units" in face for face in data["faces"]))
        + "".join(_view(one, len(faces)) for one in said["faces"])
        + _shares(said["faces"])
        + f'</main><script type="application/json" id="data">{carried}</script><script>{_file("js")}</script>'
        f"</body></html>\n"
    )


def _face(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """One face's values as bytes, frame by frame; `seen` are the spans [from, to) of frames with the face."""
    there = table["x"].notna().to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], there.astype(np.int8), [0]])))
    face: dict[str, Any] = {"name": name, "seen": edges.reshape(-1, 2).tolist()}
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


def _facts(said: dict[str, Any]) -> str:
    shown = f"{said['frames']:,} frames, {said['rate']:.4g} a second, {said['seconds']:.1f} s."
    if not any(face["frames"] for face in said["faces"]):
        shown += " No face was found in it, so there are no predictions."
    if said["broken"]:
        shown += f" The file is not whole: {said['broken']}."
    return escape(shown)


def _controls(frames: int, with_units: bool) -> str:
    buttons = (("in", "zoom in"), ("out", "zoom out"), ("all", "all"))
    pressed = "".join(f'<button id="{name}" type="button">{text}</button>' for name, text in buttons)
    slider = f'<input id="at" type="range" min="0" max="{frames - 1}" value="0" aria-label="frame">'
    keys = (
        "Click or drag to choose a frame. Keys on a timeline: arrows (with Shift: a second), Page Up and Down, Home, "
        "End, + and - to zoom, 0 for all, space to play."
    )
    units = "<br>Of a unit the curve is its score, the dots its threshold; it is shaded where it is active."
    return f'<div class="bar">{pressed}{slider}</div><p class="dim">{keys}{units if with_units else ""}</p>'


def _view(face: dict[str, Any], faces: int) -> str:
    name = escape(face["face"])
    heading = f"<h2>The {name} face</h2>" if faces > 1 else ""
    about = escape(f"timeline of the {face['face']} face: {in_words(face)}", quote=True)
    return (
        f'<section>{heading}<canvas tabindex="0" role="img" aria-label="{about}"></canvas><output></output></section>'
    )


def _shares(faces: list[dict[str, Any]]) -> str:
    """What the timeline shows, as numbers: share of the frames with a face."""
    rows = ["".join(f"<th scope='col'>{escape(text)}</th>" for text in ("", *(face["face"] for face in faces)))]

    def row(name: str, cells: list[str]) -> None:
        rows.append(f"<th scope='row'>{escape(name)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells))

    row("frames with a face", [f"{face['frames']:,}" for face in faces])
    for key, names in (("expressions", EXPR), ("units", AU)):
        if any(key in face for face in faces):
            for name in names:
                row(name, [f"{face.get(key, {}).get(name, 0.0):.1%}" for face in faces])
    if any("affect" in face for face in faces):
        for name in VA:
            row(name, [f"{face['affect'][name]['mean']:+.2f}" if "affect" in face else "" for face in faces])
    table = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return (
        f"<h2>In all</h2><p class='dim'>Share of the frames with a face; of valence and arousal the mean.</p>"
        f"<div class='scroll'><table>{table}</table></div>"
    )


def _file(kind: str) -> str:
    return Path(__file__).with_suffix(f".{kind}").read_text(encoding="utf-8")
