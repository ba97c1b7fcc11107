"""What temporal columns, averaged seeds and learning from train and validation change on the demo's test split.

    python -m blend.studies.ablation --task expr

Every variant is one head alone on all networks, learnt from train; its smoothing and (au) its thresholds are those that
are best on validation, and then it is scored on the test videos. That needs the truth of a test split, which only the
demo has. One seed says little: the table is over several, each variant against the same head and seed without it.
Nothing is chosen by these test scores; what is to be chosen goes by the scores on validation, which --json tells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from blend.decision import combine
from blend.decision.params import Params
from blend.pool import pool
from blend.pool.pool import Pool
from blend.search import search
from extract import config as extract_config
from extract import run as extract_run
from extract.demo.corpus import paths
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from heads import config as heads_config
from heads import run as heads_run
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS, Task
from heads.config import Spec
from heads.data import feature_file
from heads.data.predictions import Predictions
from heads.train import fit
from heads.train.model import Model
from heads.train.provenance import code_mark

PLAIN: dict[str, Any] = {"networks": "all", "temporal": [], "refit_val": False}
"""What all heads here have in common, whatever their file says."""
TEMPORAL = [{"of": "logits?"}, {"of": "va?"}]
"""Temporal columns of heads whose file has none."""
DIRECT = {"target": "direct"}
"""Valence and arousal themselves, not what a linear regression leaves of them."""
Variants = dict[str, dict[str, Any]]
HEADS: dict[str, Variants] = {
    "lightgbm": {"temporal columns": {"temporal": TEMPORAL}},
    "mlp": {"temporal columns": {"temporal": TEMPORAL}, "five seeds averaged": {"members": 5}},
}
"""Head -> variant -> what it sets."""
DIRECT_TOO = {"direct targets": DIRECT, "temporal columns and direct targets": DIRECT | {"temporal": TEMPORAL}}
EXTRA_VARIANTS: dict[tuple[str, str], Variants] = {("va", "lightgbm"): DIRECT_TOO}
"""The same of one task alone, by task and head."""
FILES = {"au": "mlp_all", "expr": "mlp_all", "va": "mlp"}
"""The standard mlp that takes all networks, by task."""
TRAINVAL = "train and validation"
KS = (0, 2, 5, 10, 15, 25, 50, 100)


class Score(NamedTuple):
    """The official score on test, and on the validation videos that smoothing and thresholds were chosen on."""

    test: float
    val: float | None
    """None where validation was learnt from."""


ScoresByHead = dict[str, dict[str, list[Score]]]
"""Head -> variant ("" without any) -> its scores by seed."""


@dataclass(frozen=True)
class Data:
    """One task of a corpus with a known test truth: annotations of "train", "val" and "test" by video."""

    work: Path
    task: Task
    networks: tuple[str, ...]
    annotations: Mapping[str, dict[str, Annotation]]
    people: Mapping[str, str] | None = None
    """Video -> person, where that is known."""

    def make_pool(self, results: dict[str, Predictions], part: str) -> Pool:
        """A part's frames as blend sees them: dense, gaps filled, with their truth."""
        prior = pool.as_row(heads_run.prior(self.annotations["train"], self.task), self.task)
        return pool.for_validation(self.task, results, self.annotations[part], prior, part, people=self.people)


def read_demo(config: heads_config.Config, task: str, work: Path, study: str) -> Data:
    """The demo with its features, which are made where they are missing, and the truth of its test split.

    Raises InputError, for `study`, for a corpus whose test truth is not known.
    """
    if not config.corpus.demo:
        raise InputError(f"blend.studies.{study}: only the demo's test truth is known; leave --config out")
    config = extract_run.main(config, work)
    where = paths(extract_run.corpus_folder(work))
    folders = {"train": where[task]["train"], "val": where[task]["val"], "test": where["truth"][task]}
    annotations = {part: read.read_folder(folder, TASKS[task]) for part, folder in folders.items()}
    return Data(work, TASKS[task], tuple(config.features.networks), annotations)


def main(config: heads_config.Config, task: str, work: Path, seeds: int) -> list[dict[str, Any]]:
    """The table's rows (see `table`). What was measured before with the same code and settings is not made again.

    Raises InputError for a corpus whose test truth is not known.
    """
    return table(measure_seeds(read_demo(config, task, work, "ablation"), seeds, work / "ablation" / f"{task}.json"))


def measure_seeds(data: Data, seeds: int, kept: Path) -> ScoresByHead:
    """All scores. `kept` holds what was finished before."""
    results: ScoresByHead = {}
    done = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    about = facts(data)
    runs = [(seed, head, variant) for seed in range(seeds) for head in HEADS for variant in ("", *variants(data, head))]
    with progress(f"ablation {data.task.name}", len(runs), "fits") as bar:
        for seed, head, variant in runs:
            item = spec(data, head, variants(data, head).get(variant, {}))
            mark = run_folder.fingerprint([about, item.settings.model_dump(mode="json"), seed])
            if mark not in done:
                done[mark] = scores(data, item, seed, with_trainval=not variant)
                run_folder.write_json(kept, done)
            plain, *more = (Score(*score) for score in done[mark])
            by_variant = results.setdefault(head, {})
            by_variant.setdefault(variant, []).append(plain)
            if more:
                by_variant.setdefault(TRAINVAL, []).append(more[0])
            bar.advance()
    return results


def facts(data: Data) -> dict[str, Any]:
    """What decides every score beside a head's settings and its seed: code, features and annotations."""

    def mark(item: Annotation) -> str:
        return hashlib.sha256(item.values.tobytes() + item.valid.tobytes()).hexdigest()

    videos, parts = sorted(video for group in data.annotations.values() for video in group), data.annotations.items()
    return {
        "task": data.task.name,
        "code": [run_folder.code_hash("blend", ("bench", "predict", "report")), code_mark()],
        "features": {network: feature_file.mark(data.work, network, videos) for network in data.networks},
        "annotations": {part: {video: mark(item) for video, item in sorted(group.items())} for part, group in parts},
    }


def variants(data: Data, head: str) -> Variants:
    """What is tried with a head of the task: variant -> what it sets."""
    return HEADS[head] | EXTRA_VARIANTS.get((data.task.name, head), {})


def spec(data: Data, head: str, override: dict[str, Any]) -> Spec:
    """A head of one variant and the features it sees. Temporal columns are those of the head's file, if it has any."""
    entry = FILES[data.task.name] if head == "mlp" else head
    alone = {"members": 1} if head == "mlp" else {}
    own = heads_config.read_raw(entry, data.task.name)[0].get("temporal")
    if own and "temporal" in override:
        override = override | {"temporal": own}
    settings = heads_config.read_head(entry, data.task.name, PLAIN | alone | override)
    has = {network: heads_config.kinds(data.work, network) for network in data.networks}
    return heads_config.plan_specs(entry, settings, has)[0]


def scores(data: Data, item: Spec, seed: int, with_trainval: bool) -> list[Score]:
    """The scores of a head learnt from train; with `with_trainval` also of one that learnt again from train and
    validation, with what was chosen before.
    """
    prepared = fit.prepare_train(data.work, item.sources, item.settings, data.annotations["train"], data.task, seed)
    model, _, _ = fit.fit(prepared, prepared.part, seed)
    val, params = choose_params(_pool(data, model, "val"))
    results = [Score(_score(_pool(data, model, "test"), params), val)]
    if with_trainval:
        everything = {**data.annotations["train"], **data.annotations["val"]}
        again = fit.prepare_train(data.work, item.sources, item.settings, everything, data.task, seed, dev=False)
        model.head.refit(again.part.train, seed)
        results.append(Score(_score(_pool(data, fit.as_model(again, model.head), "test"), params), None))
    return results


def choose_params(values: Pool) -> tuple[float, Params]:
    """A head's best score on these videos, and what reaches it: the k of box smoothing and (au) the thresholds."""
    tried = [search.params(values, [1.0], "box", k) for k in KS]
    return max(((_score(values, params), params) for params in tried), key=lambda item: item[0])


def _pool(data: Data, model: Model, part: str) -> Pool:
    return data.make_pool({"head": model.predict_videos(data.work, data.annotations[part])}, part)


def _score(values: Pool, params: Params) -> float:
    """The official score; 0 where it is not defined."""
    return float(np.nan_to_num(values.score(combine.combine(values, params))))


def table(result: ScoresByHead) -> list[dict[str, Any]]:
    """A row per head and variant: the test score over the seeds and, seed by seed, what it changes."""
    rows = []
    for head, by_variant in result.items():
        plain = np.array([score.test for score in by_variant[""]])
        for variant, by_seed in sorted(by_variant.items(), key=lambda item: item[0] == TRAINVAL):
            test = [score.test for score in by_seed]
            change = np.array(test) - plain
            row = {"head": head, "variant": variant, "test": float(np.mean(test)), "spread": float(np.std(test))}
            row |= {"change": float(change.mean()), "lowest": float(change.min()), "highest": float(change.max())}
            row |= {"better": int((change > 0).sum()), "seeds": len(test)}
            rows.append(row | {"by_seed": [score._asdict() for score in by_seed]})
    return rows


def as_markdown(task: Task, rows: list[dict[str, Any]]) -> str:
    """The rows as a table for a README."""
    lines = [f"| {task.name}: head | test {task.metric} | change | by seed | better in |", "|---|---|---|---|---|"]
    for row in rows:
        if not row["variant"]:
            lines.append(f"| {row['head']} | {row['test']:.3f} ± {row['spread']:.3f} | | | |")
            continue
        by_seed = f"{row['lowest']:+.3f} to {row['highest']:+.3f}"
        lines.append(
            f"| … with {row['variant']} | {row['test']:.3f} ± {row['spread']:.3f} | {row['change']:+.3f} | {by_seed} | "
            f"{row['better']} of {row['seeds']} |"
        )
    return "\n".join(lines)


EXAMPLES = """Examples:

python -m blend.studies.ablation --task au --seeds 3

python -m blend.studies.ablation --task expr --out ablation.json      the scores of every seed, too"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")],
    seeds: Annotated[int, typer.Option(help="So many seeds, from 0.", min=1)] = 5,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the rows here, as JSON, with the scores of every seed.")
    ] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure on the demo's test split what temporal columns, averaged seeds and train and validation change."""
    with errors.exits():
        if task not in TASKS:
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}")
        settings = extract_config.load(heads_config.Config, config, None)
        rows = main(settings, task, work or Path("runs") / settings.corpus.name, seeds)
        results = {"task": task, "metric": TASKS[task].metric, "rows": rows}
        if out is not None:
            run_folder.write_json(out, results)
        print(json.dumps(results, indent=2, allow_nan=False) if as_json else as_markdown(TASKS[task], rows))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
