"""What AutoML and plain models make of the same rows, beside the default blend.

    python -m blend.studies.peers --task expr                                    the demo
    python -m blend.studies.peers --task au --python peers/bin/python            with AutoGluon, installed apart
    python -m blend.studies.peers --task va --config mine.toml --labels truth/   your own corpus

Every peer learns from one table: all networks' columns of train's annotated frames (peers.export), with the weights and
the by-video dev slice that our heads have. What it predicts is scored as it is (units cut at .5, the largest class) and
given to the blend as its only head, so that its smoothing and thresholds are chosen by the selection that chooses ours.
Cross-fitted scores are of held-out videos of validation; test scores are of the demo, or of `--labels`. Nothing
is chosen by them. What is finished is not made again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend import compare
from blend.calibrate import video_counts
from blend.calibrate.video_counts import Table
from blend.config import BlendSettings, Config
from blend.crossfit import estimate
from blend.crossfit.selection import Selection
from blend.decision import combine
from blend.pool.pool import Pool
from blend.report import videos
from blend.studies import demo_scores
from blend.studies.ablation import Data, read_demo
from blend.studies.peers import export, processes, worker
from blend.studies.peers.processes import Peer, read_seconds
from extract import config as extract_config
from extract import run as extract_run
from extract.runtime import cli, errors
from extract.runtime.errors import InputError, WorkError
from extract.runtime.progress import progress
from heads import corpus_checks
from heads import run as heads_run
from heads.abaw import read
from heads.abaw.tasks import TASKS, Task
from heads.data import people, splits

BLEND, BEST = "blend of the standard heads", "best standard head"
NAMES = {
    "logistic": "logistic regression",
    "logistic_scaled": "logistic regression, few columns eight times as large",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "tabm": "TabM",
    "autogluon": "AutoGluon",
}
CROSS_FITTED_PART, TEST, AS_IS = "cross_fitted", "test", "as_is"


@dataclass(frozen=True)
class SeedResult:
    """What the blend, a head or a peer makes of a seed."""

    counts: dict[Any, Table]
    """By group of videos (blend.calibrate.video_counts): under CROSS_FITTED_PART, of held-out videos of validation, and
    TEST; of a single head under (CROSS_FITTED_PART, AS_IS) and (TEST, AS_IS), too.
    """
    seconds: float | None = None
    """Processor seconds to learn, where they are known."""
    failure: str = ""
    """Why there are no counts."""


def main(
    config: Config,
    task: str,
    work: Path,
    seeds: int,
    wanted: Sequence[str],
    pythons: Sequence[str],
    labels: Path | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The table (see `summarise`). `wanted` names peers, `pythons` are asked for them in turn, `labels` is the truth of
    the test list, `given` may have "limit" and "presets" of AutoGluon. A peer that fails is told, and so in the table.

    Raises InputError for bad input, and as `heads.run`.
    """
    known = {"limit": worker.LIMIT, "presets": worker.PRESETS, **(given or {})}
    peers = processes.find(wanted, pythons)
    config, data = read_corpus(config, task, work, labels)
    ways: dict[str, list[SeedResult]] = {}
    with progress(f"peers {task}", seeds * (2 + len(peers)), "ways") as bar:
        for seed in range(seeds):
            for name, way in _of_seed(config, data, peers, seed, known, bar.advance).items():
                ways.setdefault(name, []).append(way)
    versions = {peer.name: peer.version for peer in peers}
    return summarise(data, ways) | {"versions": versions, "given": known}


def read_corpus(config: Config, task: str, work: Path, labels: Path | None) -> tuple[Config, Data]:
    """The corpus with its features. Truth of test is the demo's, or that of `labels`; without it there is no test.

    Raises InputError for labels of the demo, and where the corpus has no list that they are of.
    """
    if config.corpus.demo:
        if labels is not None:
            raise InputError("--labels: the demo has its own; give your own corpus with --config")
        data = read_demo(config, task, work, "peers")
        return config, data
    facts = TASKS[task]
    annotations, listed = corpus_checks.read(config, facts)
    test = {}
    if labels is not None:
        if not listed:
            raise InputError(f"--labels {labels}: the config has no corpus.{task}.test, the list that they are of")
        test = {video: item for video, item in read.read_folder(labels, facts).items() if video in listed}
        if lacking := sorted(listed.keys() - test.keys()):
            raise InputError(f"--labels {labels}: lacks the test video {lacking[0]!r} ({len(lacking)} are missing)")
    config = extract_run.main(config, work)
    annotations = {"train": annotations["train"], "val": annotations["val"], "test": test}
    who = people.read(config.corpus, {video for part in annotations.values() for video in part})
    return config, Data(work, facts, tuple(config.features.networks), annotations, who)


def _of_seed(
    config: Config, data: Data, peers: Sequence[Peer], seed: int, given: Mapping[str, Any], advance: Callable[[], None]
) -> dict[str, SeedResult]:
    """All ways of one seed, in work folders of its own that share the corpus and its features."""
    task, home = data.task.name, data.work / "peers" / str(seed)
    settings: BlendSettings = getattr(config.blend, task)
    there = [name for name in ("corpus", "features") if (data.work / name).exists()]
    heads = heads_run.main(config, task, demo_scores.share(data.work, home / "ours", there), seed)
    ours = measure(data, heads, settings, seed)
    advance()
    alone = [measure(data, {name: where}, settings, seed) for name, where in heads.items()]
    best = max(alone, key=lambda way: float(video_counts.score(task, way.counts[CROSS_FITTED_PART].sum(0))))
    results = {BLEND: ours, BEST: best}
    advance()
    rows = data.work / "peers" / "rows" / task
    mark = export.write(data, seed, rows) if peers else ""
    for peer in peers:
        try:
            where = processes.learn(peer, data, rows, mark, seed, home / "learnt" / task / peer.name, given)
            results[peer.name] = replace(measure(data, {peer.name: where}, settings, seed), seconds=read_seconds(where))
        except WorkError as error:
            print(f"{error}; the others go on", file=sys.stderr)
            results[peer.name] = SeedResult({}, failure=str(error))
        advance()
    return results


def measure(data: Data, heads: Mapping[str, Path], settings: BlendSettings, seed: int) -> SeedResult:
    """The default selection on these folders of predictions, what it decides of held-out videos and of test, and what
    a single one is as it is. Raises InputError where no video can be held out.
    """
    values = demo_scores.read_pool(data, heads, "val")
    selected = Selection(values, settings, seed).select()
    if selected.cross_fit is None:
        raise InputError("validation is of one person or recording: no score of it can be held out")
    decided = videos.decide(values, selected)
    counts = {CROSS_FITTED_PART: _by_group(values, decided.decisions)}
    if len(heads) == 1:
        counts[CROSS_FITTED_PART, AS_IS] = _by_group(values, _as_is(values))
    if data.annotations["test"]:
        test = demo_scores.read_pool(data, heads, "test")
        counts[TEST] = _by_group(test, combine.combine(test, selected.params)[test.known_truth.rows])
        if len(heads) == 1:
            counts[TEST, AS_IS] = _by_group(test, _as_is(test))
    return SeedResult(counts)


def _as_is(values: Pool) -> NDArray[np.generic]:
    """What the only head's scores are on the annotated frames with nothing tuned."""
    return values.task.decide(values.scores[0][values.known_truth.rows])


def _by_group(values: Pool, decided: NDArray[np.generic]) -> Table:
    """Counts of decisions on the annotated frames, by person or recording."""
    count = values.blend_task.count(values.known_truth.values, decided, values.video_of, len(values.videos))
    return estimate.by_group(values, count)[0]


def summarise(data: Data, ways: Mapping[str, Sequence[SeedResult]]) -> dict[str, Any]:
    """{"task", "metric", "videos": {part: count}, "ways": {way: {part: {"score", "spread", "by_seed", "as_is", "gain":
    the blend's over it, as `compare.gain`}, "seconds"}}}, parts CROSS_FITTED_PART and, where its truth is known, TEST.
    A way that failed with a seed has "failed", why, and no part.
    """
    task = data.task.name
    failed = {name: why for name, seeds in ways.items() if (why := next((w.failure for w in seeds if w.failure), ""))}
    result: dict[str, Any] = {"task": task, "metric": data.task.metric, "videos": {}}
    result["ways"] = {name: {"seconds": None} | ({"failed": failed[name]} if name in failed else {}) for name in ways}
    for of, part in ((CROSS_FITTED_PART, "val"), (TEST, "test")):
        if not data.annotations[part]:
            continue
        labelled = _labelled(data, part)
        result["videos"][of] = sum(bool(item.valid.any()) for item in data.annotations[part].values())
        for name, seeds in ((name, ways[name]) for name in ways if name not in failed):
            scores = [float(video_counts.score(task, way.counts[of].sum(0))) for way in seeds]
            entry: dict[str, Any] = {"score": np.mean(scores), "spread": np.std(scores), "by_seed": scores}
            if name != BLEND:
                plain = [video_counts.score(task, way.counts[of, AS_IS].sum(0)) for way in seeds]
                both = [[way.counts[of] for way in each] for each in (ways[BLEND], seeds)]
                entry["as_is"] = float(np.mean(plain))
                entry["gain"] = compare.gain(task, both[0], both[1], labelled, compare.DRAWS, 0)
            about = result["ways"][name]
            about[of] = {key: float(value) if isinstance(value, np.floating) else value for key, value in entry.items()}
            if seeds[0].seconds is not None:
                about["seconds"] = float(np.mean([way.seconds for way in seeds]))
    return result


def _labelled(data: Data, part: str) -> list[int]:
    """The annotated frames of each group of a part's videos."""
    values = [data.annotations[part][video] for video in sorted(data.annotations[part])]
    lengths = np.array([int(item.valid.sum()) for item in values])
    of = splits.groups(sorted(data.annotations[part]), data.people)
    summed = np.bincount(of, weights=lengths).astype(int)
    return [int(count) for count in summed if count]


HEADS = {
    CROSS_FITTED_PART: ("validation, as it is", "cross-fitted", "the blend's gain, 95 % interval"),
    TEST: ("test, as it is", "test", "the blend's gain on test, 95 % interval"),
}


def as_markdown(task: Task, result: Mapping[str, Any]) -> str:
    """The table for a README: means over the seeds; ± is the deviation between them, the interval over videos."""
    parts = list(result["videos"])
    header = [f"{task.name}, {task.metric}", *(title for part in parts for title in HEADS[part]), "seconds"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name, way in result["ways"].items():
        failed = [f"failed: {way.get('failed', '').replace('|', '/')}", *[""] * (len(header) - 3)]
        values = failed if "failed" in way else [cell for part in parts for cell in _cells(way[part])]
        cells = [NAMES.get(name, name), *values]
        lines.append(f"| {' | '.join(cells)} | {'' if way['seconds'] is None else format(way['seconds'], '.0f')} |")
    told = ", ".join(f"{count} {part.replace('_', '-')} videos" for part, count in result["videos"].items())
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([*lines, f"\n{told}; {versions}; {result['given']}"])


def _cells(entry: Mapping[str, Any]) -> list[str]:
    score = f"{entry['score']:.3f} ± {entry['spread']:.3f}"
    if "gain" not in entry:
        return ["", score, ""]
    gain = entry["gain"]
    told = "" if gain["difference"] is None else f"{gain['difference']:+.3f}"
    if gain["interval"] is not None:
        low, high = gain["interval"]
        told += f" ({low:+.3f} to {high:+.3f})"
    return [f"{entry['as_is']:.3f}", score, told]


EXAMPLES = """Examples:

python -m blend.studies.peers --task expr

python -m blend.studies.peers --task au --python peers/bin/python --limit 300

python -m blend.studies.peers --task va --config mine.toml --labels truth/ --peers catboost,lightgbm

AutoGluon asks for other versions of libraries that are used here, so it has a virtual environment of its own:

python3 -m venv peers && peers/bin/pip install 'autogluon.tabular[lightgbm,catboost,xgboost,fastai]' pyarrow"""


def command(
    task: Annotated[str, typer.Option(help="au, expr or va.")],
    peers: Annotated[str, typer.Option(help="Which ones, by commas.")] = ",".join(NAMES),
    python: Annotated[
        list[str] | None, typer.Option(help="Another Python, for peers whose library is not installed here.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Annotations of the test list's videos, in the official format.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Seconds that AutoGluon has for a task.", min=1)] = worker.LIMIT,
    presets: Annotated[str, typer.Option(help="AutoGluon's.")] = worker.PRESETS,
    seeds: Annotated[int, typer.Option(help="So many seeds, from 0.", min=1)] = 3,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    as_json: cli.AsJson = False,
) -> None:
    """Compare the default blend with AutoML and plain models that learn from the same rows."""
    with errors.exits():
        settings, folder = demo_scores.read_config(task, config, overrides, work)
        wanted = [name for name in peers.split(",") if name]
        given = {"limit": limit, "presets": presets}
        result = main(settings, task, folder, seeds, wanted, [sys.executable, *(python or [])], labels, given)
        print(json.dumps(result, indent=2, allow_nan=False) if as_json else as_markdown(TASKS[task], result))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
