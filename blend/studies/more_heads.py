"""What heads that run on request are worth, alone and in a blend beside the standard ones, on the demo.

    python -m blend.studies.more_heads --task va --add linear_all,tabm_all

Of each seed: the standard head that is best on cross-fitted validation, each head on request alone, the blend of the
standard heads, and that of all. Cross-fitted scores are of held-out videos of five folds; test scores need the truth of
a test split, which only the demo has, and nothing is chosen by them. Whatever is finished is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from blend.config import Config
from blend.studies import demo_scores
from blend.studies.ablation import read_demo
from blend.studies.demo_scores import Scores
from extract import config as extract_config
from extract.runtime import cli, errors
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from heads import config as heads_config
from heads import run as heads_run
from heads.abaw.tasks import TASKS, Task

BEST = "best standard head"
WITHOUT, WITH = "blend of the standard heads", "blend of all"


def main(
    config: Config, task: str, extra_heads: Sequence[str], work: Path, seeds: int
) -> tuple[dict[str, list[Scores]], dict[str, Any]]:
    """BEST, each head on request, WITHOUT and WITH -> scores by seed; and what WITH gains on test, as `compare.gain`.

    Raises InputError for a corpus whose test truth is not known, and as `heads.run`.
    """
    data = read_demo(config, task, work, "more_heads")
    standard = [name for name, _ in heads_config.list_heads(config, task)]
    if again := sorted(set(standard) & set(extra_heads)):
        raise InputError(f"--add {','.join(again)}: these run by default; give heads that run on request")
    every = demo_scores.choose_heads(config, task, config.features.networks, [*standard, *extra_heads])
    results: dict[str, list[Scores]] = {}
    kept: list[list[Path]] = [[], []]
    with progress(f"more heads {task}", seeds, "seeds") as bar:
        for seed in range(seeds):
            folder = demo_scores.share(work, work / "more_heads" / str(seed))
            heads = heads_run.main(every, task, folder, seed)
            ours = {name: where for name, where in heads.items() if not _is_of(name, extra_heads)}
            alone = {name: demo_scores.score_alone(data, where, seed) for name, where in heads.items()}
            scores = {BEST: max((alone[name] for name in ours), key=lambda found: found[0])}
            scores |= {name: alone[name] for name in heads if name not in ours}
            for title, of, files in ((WITH, heads, kept[0]), (WITHOUT, ours, kept[1])):
                added = extra_heads if of is heads else []
                files.append(folder / f"{'-'.join([task, *added])}.json")
                scores[title] = demo_scores.score_blend(data, every, folder, seed, of, files[-1], heads=list(of))
            for name, found in scores.items():
                results.setdefault(name, []).append(found)
            bar.advance()
    return results, demo_scores.compare_blends(data, *kept)


def _is_of(name: str, more: Sequence[str]) -> bool:
    """Whether a trained head (`linear-demo_enet`) is one of those asked for (`linear`)."""
    return name in more or name.partition("-")[0] in more


def as_markdown(task: Task, result: Mapping[str, list[Scores]], gain: Mapping[str, Any]) -> str:
    """The scores as a table for a README: means over the seeds, and the deviation between them. Then the gain."""
    lines = demo_scores.list_table(task, result)
    crossed, test = (np.array(result[WITH]) - np.array(result[WITHOUT])).T
    lines.append(f"\n{WITH} less {WITHOUT}, cross-fitted, by seed: {', '.join(f'{item:+.3f}' for item in crossed)}")
    return "\n".join([*lines, demo_scores.describe_gain(test, gain, f"{WITH} less {WITHOUT}")])


EXAMPLES = """Examples:

python -m blend.studies.more_heads --task expr --seeds 3

python -m blend.studies.more_heads --task va --add tcn,bigru"""


def command(
    task: Annotated[str, typer.Option(help="au, expr or va.")],
    add: Annotated[str, typer.Option(help="Heads that run on request, by commas.")] = "linear_all,tabm_all",
    seeds: Annotated[int, typer.Option(help="So many seeds, from 0.", min=1)] = 5,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure on the demo's test split what heads on request are worth, and what a blend gains by them."""
    with errors.exits():
        settings, folder = demo_scores.read_config(task, config, overrides, work)
        more = [name for name in add.split(",") if name]
        result, gain = main(settings, task, more, folder, seeds)
        if as_json:
            print(json.dumps(demo_scores.describe(TASKS[task], result) | {"gain": gain}, indent=2))
        else:
            print(as_markdown(TASKS[task], result, gain))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
