"""What a network fine-tuned on the demo's training videos is worth: alone, and in a blend beside the standard heads.

    python -m blend.studies.finetuned --task expr

Of each seed: a linear head on a frame's embedding in the network as it was, the outputs of the fine-tuned one (at its
best epoch, chosen on held-out videos of train), the blend of the standard heads on the networks as they ship, and that
blend with the fine-tuned outputs as one more head. Cross-fitted scores are of held-out videos of validation. Those of
test need the truth of a test split, which only the demo has; nothing is chosen by them. What is finished is not made
again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from blend.config import Config
from blend.studies import demo_scores
from blend.studies.ablation import Data, read_demo
from blend.studies.demo_scores import Scores
from extract import config as extract_config
from extract.learning import names
from extract.runtime import cli, errors, run_folder
from extract.runtime.progress import progress
from heads import run as heads_run
from heads.abaw.tasks import TASKS, Task
from heads.finetune import __main__ as finetune

NETWORK = "demo_mt_enet"
RECIPE_NAME = "tuned"
"""The head of the fine-tuned network's outputs, and how its recipe is called: [finetune.tuned]."""
RECIPE = {"stride": 2}
FROZEN_SETTINGS = {"inputs": ["embedding"], "temporal": []}
"""What the linear head reads beside the fine-tuned network: as much as its output layer."""
NAMES = {
    "frozen": "linear head on the frozen network's embedding",
    "tuned": "fine-tuned network alone",
    "without": "blend of the standard heads",
    "with": "the same with the fine-tuned network",
}
Result = tuple[dict[str, Scores], int, float | None]
"""Scores by NAMES, the epoch that was kept (0: the start), and the seconds of fine-tuning, where they are known."""


def main(config: Config, task: str, network: str, work: Path, seeds: int) -> list[Result]:
    """Of each seed the scores by NAMES, the epoch kept, and the seconds of fine-tuning. Raises InputError for a corpus
    whose test truth is not known, and as `heads.finetune`.
    """
    section = {_name(task): config.finetune.get(RECIPE_NAME, finetune.Recipe(**RECIPE))}
    config = config.model_copy(update={"finetune": section})
    data = read_demo(config, task, work, "finetuned")
    results = []
    with progress(f"finetuned {task}", seeds, "seeds") as bar:
        for seed in range(seeds):
            results.append(_measure(data, config, network, seed))
            bar.advance()
    return results


def _measure(data: Data, config: Config, network: str, seed: int) -> Result:
    """One seed, in work folders of its own that share the corpus and its features."""
    task = data.task.name
    home = data.work / "finetuned" / f"{network}-{seed}"
    folder = demo_scores.share(data.work, home / "seen")
    seconds = _fine_tune(config, task, network, folder, seed)
    tuned = _predict(config, task, folder, home / task, seed)
    linear = demo_scores.choose_heads(config, task, [network], ["linear"], linear=FROZEN_SETTINGS)
    [frozen] = heads_run.main(linear, task, demo_scores.share(data.work, home / "frozen"), seed).values()
    scores = {
        name: demo_scores.score_alone(data, head, seed) for name, head in (("frozen", frozen), (RECIPE_NAME, tuned))
    }
    standard = heads_run.main(config, task, folder, seed)
    for name, given in (("without", {}), ("with", {RECIPE_NAME: tuned})):
        kept = home / f"{task}-{name}.json"
        scores[name] = demo_scores.score_blend(
            data, config, folder, seed, {**standard, **given}, kept, predictions=given
        )
    facts = json.loads((folder / "networks" / _name(task) / "provenance.json").read_text(encoding="utf-8"))
    return {name: scores[name] for name in NAMES}, facts["epoch"], seconds


def _name(task: str) -> str:
    """Of the network: each task's is kept."""
    return f"{RECIPE_NAME}_{task}"


def _fine_tune(config: Config, task: str, network: str, folder: Path, seed: int) -> float | None:
    """Fine-tune, unless it is done; the seconds that it took, kept beside it. None where a killed process began it."""
    name, kept = _name(task), folder / f"{task}-seconds.json"
    done = folder / "networks" / name / run_folder.DONE_FILE
    before = done.read_bytes() if done.exists() else None
    resumed = before is None and done.parent.exists()
    began = time.perf_counter()
    finetune.main(config, task, network, name, folder, seed)
    if done.read_bytes() != before:
        run_folder.write_json(kept, {"seconds": None if resumed else time.perf_counter() - began})
    took = json.loads(kept.read_text(encoding="utf-8"))["seconds"] if kept.exists() else None
    return None if took is None else float(took)


def _predict(config: Config, task: str, work: Path, folder: Path, seed: int) -> Path:
    """The head of the fine-tuned network's outputs, of which nothing is learnt."""
    kind = "va" if TASKS[task].labels == "regression" else "logits"
    text = f'family = "pretrained"\nnetworks = "each"\ninputs = ["{kind}"]\n'
    network = run_folder.file_hash(work / "networks" / _name(task) / f"{_name(task)}.onnx")
    place = demo_scores.share(work, folder / network[:12], ["corpus"])  # features are of one network's weights
    run_folder.write_text(place / f"{RECIPE_NAME}.toml", text)
    own = names.add_learnt_networks(config, work, [_name(task)])
    own = demo_scores.choose_heads(own, task, [_name(task)], [str(place / f"{RECIPE_NAME}.toml")])
    [head] = heads_run.main(own, task, place, seed).values()
    return head


def as_markdown(task: Task, results: list[Result]) -> str:
    """Means over the seeds and the deviation between them, as a table for a README; then what the blend gains."""
    lines = demo_scores.list_table(task, {title: _of_seeds(results, name) for name, title in NAMES.items()})
    gains = ", ".join(f"{scores['with'][1] - scores['without'][1]:+.3f}" for scores, *_ in results)
    epochs = ", ".join(str(epoch) for _, epoch, _ in results)
    took = ", ".join("?" if seconds is None else f"{seconds:.0f}" for *_, seconds in results)
    told = f"Blend with less without, test, by seed: {gains}; epochs kept: {epochs}; fine-tuning took {took} s"
    return "\n".join([*lines, f"\n{told}"])


def describe(task: Task, results: list[Result]) -> Mapping[str, Any]:
    """The same as values."""
    about = demo_scores.describe(task, {name: _of_seeds(results, name) for name in NAMES})
    return about | {"epochs": [epoch for _, epoch, _ in results], "seconds": [took for *_, took in results]}


def _of_seeds(results: list[Result], name: str) -> list[Scores]:
    return [scores[name] for scores, *_ in results]


EXAMPLES = """Examples:

python -m blend.studies.finetuned --task expr

python -m blend.studies.finetuned --task au --seeds 1 --set finetune.tuned.stride=4"""


def command(
    task: Annotated[str, typer.Option(help="au, expr or va.")],
    network: Annotated[str, typer.Option(help="Which network is fine-tuned.")] = NETWORK,
    seeds: Annotated[int, typer.Option(help="So many seeds, from 0.", min=1)] = 3,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure on the demo what a fine-tuned network is worth, alone and in a blend."""
    with errors.exits():
        settings, folder = demo_scores.read_config(task, config, overrides, work)
        results = main(settings, task, network, folder, seeds)
        print(json.dumps(describe(TASKS[task], results), indent=2) if as_json else as_markdown(TASKS[task], results))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
