"""A page: the loss of each epoch, and held-out pictures masked, reconstructed and as they are. One file, no script."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from extract.learning import pictures
from extract.learning.pictures import Unreadable
from extract.pretrain import images
from extract.pretrain.train import HELD_OUT, Baselines, Run
from extract.runtime.run_folder import write_text

if TYPE_CHECKING:
    from extract.learning.checkpoint import Position

NAME = "report.html"
EXAMPLES = 8
WIDE, HIGH = 640, 240
"""Of the chart, in pixels."""


def write(model: Any, run: Run, position: Position, baselines: Baselines) -> Path:
    """Write the page of a finished run into its folder; returns its path."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    rows = [[_encode(picture) for picture in row] for row in draw_examples(model, run)]
    text = environment.get_template(NAME).render(
        name=run.name, settings=run.settings, run=run, losses=position.losses, scores=position.scores,
        baselines=baselines, rows=rows, unreadable=len(position.unreadable), wide=WIDE, high=HIGH,
        **_draw_curves(position, baselines),
    )  # fmt: skip
    write_text(run.folder / NAME, text)
    return run.folder / NAME


def draw_examples(model: Any, run: Run) -> list[tuple[NDArray[np.uint8], ...]]:
    """Of evenly spaced held-out pictures: masked, reconstructed, and as they are, each uint8 [size, size, 3]."""
    rows = pictures.space_evenly(len(run.held_out_pictures), EXAMPLES)
    facts = run.describe_network()
    results = []
    for values, chosen in pictures.read_batches(run.held_out_pictures, rows, 1, facts, Unreadable()):
        if not len(chosen):
            continue
        x = torch.from_numpy(values)
        with torch.inference_mode():
            out = model(
                pixel_values=x, noise=torch.from_numpy(images.draw_views(chosen, run.patches, run.seed, HELD_OUT).noise)
            )
            patches, made, hidden = model.patchify(x), out.logits, out.mask[:, :, None]
            if model.config.norm_pix_loss:
                made = made * (patches.var(-1, keepdim=True) + 1e-6).sqrt() + patches.mean(-1, keepdim=True)
            shown = (patches * (1 - hidden), patches * (1 - hidden) + made * hidden, patches)
            masked, *rest = (model.unpatchify(part)[0] for part in shown)
        mean, scale = (torch.tensor(part)[:, None, None] for part in (facts.mean, facts.std))
        arrays = [
            (part * scale + mean).clamp(0, 1).mul(255).round().byte().permute(1, 2, 0) for part in (masked, *rest)
        ]
        results.append(tuple(part.numpy() for part in arrays))
    return results


def _encode(picture: NDArray[np.uint8]) -> str:
    """A picture as a data URI."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _draw_curves(position: Position, baselines: Baselines) -> dict[str, Any]:
    """Lines of the chart as SVG points, and what its axis says: losses over epochs, from 0 to the largest."""
    known = (baselines.mean_picture, baselines.visible_mean)
    most = 1.05 * max(*position.losses, *position.scores, *known)
    last = len(position.losses)

    def draw(values: list[float], first: int) -> str:
        return " ".join(f"{WIDE * (i + first) / last:.1f},{HIGH * (1 - v / most):.1f}" for i, v in enumerate(values))

    levels = sorted(zip(known, ("mean picture", "visible patches' mean"), strict=True), reverse=True)
    return {
        "most": most,
        "curves": {"held-out": draw(position.scores, 0), "learnt from": draw(position.losses, 1)},
        "levels": [
            (name, HIGH * (1 - value / most), shift) for (value, name), shift in zip(levels, (-5, 14), strict=True)
        ],
    }
