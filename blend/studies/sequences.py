"""What encoders over time are worth beside heads that see one frame, and what a blend gains by them, on the demo.

    python -m blend.studies.sequences --task va

Heads alone: the tabular head that is best on cross-fitted validation, a sequence head, the mean of three encoders, and
a fusion of both networks without and with the sound; smoothing and (au) thresholds are chosen on validation. Blends: of
the tabular heads, and of all. Cross-fitted scores are of held-out videos of five folds; test scores need the truth of a
test split, which only the demo has, and nothing is chosen by them. Whatever is finished is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from blend.config import Config
from blend.studies import demo_scores
from blend.studies.ablation import Data, read_demo
from blend.studies.demo_scores import Scores
from extract import config as extract_config
from extract.audio import step as audio_step
from extract.runtime import cli, errors
from extract.runtime.progress import progress
from heads import config as heads_config
from heads import run as heads_run
from heads.abaw.tasks import TASKS, Task

ENCODERS = ("sequence", "encoders", "fusion")
"""Standard heads that run on request."""
SOUND = "fusion_sound"
"""The fusion head that hears, as the blend knows it."""
TITLE = "The blend of all less that of the tabular heads"
NAMES = {
    "tabular": "best tabular head",
    "sequence": "sequence",
    "encoders": "mean of three encoders",
    "fusion": "fusion",
    SOUND: "fusion with sound",
    "without": "blend of the tabular heads",
    "with": "blend of all",
}


def main(config: Config, task: str, work: Path, seeds: int) -> tuple[dict[str, list[Scores]], dict[str, Any]]:
    """Each entry of NAMES -> its scores by seed; and what the blend of all gains on test, as `compare.gain`.

    Raises InputError for a corpus whose test truth is not known.
    """
    heard = demo_scores.choose_heads(config, task, [*config.features.networks, audio_step.NAME], ["fusion"])
    data = read_demo(heard, task, work, "sequences")
    tabular = [name for name in heads_config.standard(task) if name not in ENCODERS]
    seen = demo_scores.choose_heads(config, task, config.features.networks, [*tabular, *ENCODERS])
    results: dict[str, list[Scores]] = {name: [] for name in NAMES}
    with progress(f"encoders {task}", seeds, "seeds") as bar:
        for seed in range(seeds):
            for name, scores in _of_seed(data, seen, heard, seed).items():
                results[name].append(scores)
            bar.advance()
    return results, _gain(data, seeds)


def _of_seed(data: Data, seen: Config, heard: Config, seed: int) -> dict[str, Scores]:
    """All scores of one seed, in work folders of its own that share the corpus and its features."""
    task, folder = data.task.name, data.work / "sequences" / str(seed)
    ours = heads_run.main(seen, task, demo_scores.share(data.work, folder / "seen"), seed)
    sound = heads_run.main(heard, task, demo_scores.share(data.work, folder / "heard"), seed)["fusion"]
    alone = {name: demo_scores.score_alone(data, where, seed) for name, where in {**ours, SOUND: sound}.items()}
    tabular = {name: where for name, where in ours.items() if name not in ENCODERS}
    best = max(tabular, key=lambda name: alone[name][0])
    both = {**ours, SOUND: sound}
    blended = {
        "without": demo_scores.score_blend(
            data, seen, folder / "seen", seed, tabular, _scores_of(folder, task, False), heads=list(tabular)
        ),
        "with": demo_scores.score_blend(
            data, seen, folder / "seen", seed, both, _scores_of(folder, task, True), predictions={SOUND: sound}
        ),
    }
    return {"tabular": alone[best], **{name: alone[name] for name in (*ENCODERS, SOUND)}, **blended}


def _gain(data: Data, seeds: int) -> dict[str, Any]:
    """What the blends of all gain over those of the tabular heads, over the seeds and draws of the test videos."""
    kept = [
        [_scores_of(data.work / "sequences" / str(seed), data.task.name, h) for seed in range(seeds)]
        for h in (True, False)
    ]
    return demo_scores.compare_blends(data, *kept)


def _scores_of(folder: Path, task: str, heard: bool) -> Path:
    """Where the scores of a seed's blend are kept."""
    return folder / f"{task}-{'with' if heard else 'without'}.json"


def as_markdown(task: Task, result: Mapping[str, list[Scores]], gain: Mapping[str, Any]) -> str:
    """The scores as a table for a README: means over the seeds, and the deviation between them. Then the gain."""
    lines = demo_scores.list_table(task, {NAMES[name]: scores for name, scores in result.items()})
    change = np.array(result["with"])[:, 1] - np.array(result["without"])[:, 1]
    return "\n".join([*lines, "", demo_scores.describe_gain(change, gain, TITLE)])


EXAMPLES = """Examples:

python -m blend.studies.sequences --task expr --seeds 3"""


def command(
    task: Annotated[str, typer.Option(help="au, expr or va.")],
    seeds: Annotated[int, typer.Option(help="So many seeds, from 0.", min=1)] = 5,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure on the demo's test split what sequence heads are worth, and what a blend gains by them."""
    with errors.exits():
        settings, folder = demo_scores.read_config(task, config, overrides, work)
        result, gain = main(settings, task, folder, seeds)
        if as_json:
            print(json.dumps(demo_scores.describe(TASKS[task], result) | {"gain": gain}, indent=2))
        else:
            print(as_markdown(TASKS[task], result, gain))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
