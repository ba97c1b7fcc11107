"""Random splits by person of a labelled corpus: what the default promises and reaches on people it has not seen.

    python -m blend.studies.splits --task expr --config mine.toml --splits 10
    python -m blend.studies.splits --task au                             60 videos drawn by the demo, all labelled

All labelled people, of train and validation, go into three parts (half, a quarter, a quarter). The heads learn on the
first, the blend is chosen on the second, and every way to a blend is scored on the third, whose labels nothing else
reads; nor is the corpus's own test list looked at. Features are those of the work folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.config import Config, RunRequest
from blend.pool import inputs as blend_inputs
from blend.pool import pool
from blend.studies import results
from blend.studies.corpora import demo_corpus, split_corpus
from blend.studies.corpora.split_corpus import LabelledCorpus
from blend.studies.simulation import table
from blend.studies.simulation.measure import (
    BEST_HEAD,
    CROSS_FITTED_WAY,
    EQUAL_WAY,
    PLAIN_WAY,
    SMOOTHED_WAY,
    STACKING,
    STACKING_WAY,
    TUNED_WAY,
    measure,
)
from blend.studies.simulation.measure import WAYS as SIMULATED
from extract import config as extract_config
from extract import run as extract_run
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.data import people, predictions
from heads.train.provenance import code_mark


def main(
    config: Config, task: str, work: Path, splits: int, seed: int, out: Path, heads: list[str] | None = None
) -> dict[str, Any]:
    """The table (see `summarise`) of so many splits; `out` keeps every split's results.

    `heads` names some of our heads; None: all that the config asks for. Raises InputError for bad input.
    """
    if config.corpus.demo:
        config = config.model_copy(update={"corpus": demo_corpus.make(work / "corpus")})
    corpus = split_corpus.read(config, TASKS[task])
    config = extract_run.main(config, work)
    jobs = [facts(config, corpus, task, seed, number, heads) for number in range(splits)]
    code = run_folder.fingerprint([results.code_of("blend.studies.splits"), code_mark()])

    def measure_job(job: results.Job) -> dict[str, Any]:
        return measure_split(config, corpus, work, job)

    made = []
    with progress(f"splits {task}", splits, "splits") as bar:
        for _, result in results.complete(out, jobs, measure_job, code, workers=1):
            made.append(result)
            bar.advance()
    return summarise(task, made)


def facts(
    config: Config, corpus: LabelledCorpus, task: str, seed: int, number: int, heads: list[str] | None
) -> results.Job:
    """What a split is of: another corpus or other settings are other splits."""
    sources = {
        "annotations": {video: run_folder.file_hash(path) for video, path in corpus.files.items()},
        "people": corpus.groups,
        "networks": config.features.networks,
        "heads": getattr(config.heads, task).model_dump(mode="json"),
        "blend": getattr(config.blend, task).model_dump(mode="json"),
    }
    asked = {"study": "splits", "corpus": config.corpus.name, "task": task, "number": number, "seed": seed}
    return asked | {"heads": heads, "made_of": run_folder.fingerprint(sources)}


def measure_split(config: Config, corpus: LabelledCorpus, work: Path, job: results.Job) -> dict[str, Any]:
    """One split: its heads, every way to a blend, and their scores on the third part."""
    task, seed = job["task"], job["seed"]
    folder = work / "splits" / task / f"{seed}-{job['number']}"
    chosen = split_corpus.parts(corpus, seed, job["number"])
    paths, truth = split_corpus.write(corpus, chosen, folder)
    split_corpus.link_features(work, folder)
    own = config.model_copy(update={"corpus": config.corpus.model_copy(update={task: paths})})
    own, sources = blend_inputs.prepare_inputs(own, RunRequest(task, folder, seed, job["heads"]))
    validation = blend_inputs.load_pools(sources).validation
    prior = pool.as_row(sources.prior, sources.task)
    entries = {
        head: predictions.read(path / "test.parquet", sources.task) for head, path in sources.project_heads.items()
    }
    annotations, who = read.read_folder(truth, sources.task), people.read(own.corpus, chosen["test"])
    test = pool.for_validation(sources.task, entries, annotations, prior, "test", people=who)
    counts = {
        part: {"people": len({corpus.groups[v] for v in videos}), "videos": len(videos),
               "frames": sum(int(corpus.annotations[v].valid.sum()) for v in videos)}
        for part, videos in chosen.items()
    }  # fmt: skip
    scores = measure(validation, {"test": test}, sources.settings, seed, folded=False, stacked=True)
    return scores | {"parts": counts, "heads": sorted(sources.project_heads)}


EXAMPLES = """Examples:

python -m blend.studies.splits --task expr --config mine.toml --splits 10

python -m blend.studies.splits --task au --heads mlp_all,lightgbm-demo_enet      the demo's drawn faces, two heads

python -m blend.studies.splits --task va --out va.jsonl --markdown"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")],
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: Annotated[
        Path | None, typer.Option(help="Work folder; default runs/<corpus name>, runs/demo-splits for the demo.")
    ] = None,
    overrides: cli.Overrides = None,
    splits: Annotated[int, typer.Option(help="Random splits.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same splits.", min=0)] = 0,
    heads: Annotated[str | None, typer.Option(help="Which of our heads, divided by commas.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Every split is added to this file; default <work>/splits/<task>.jsonl.")
    ] = None,
    as_markdown: cli.AsMarkdown = False,
    as_json: cli.AsJson = False,
) -> None:
    """Train and blend on random splits by person, and compare what was promised with what the third part gives."""
    with errors.exits():
        if task not in TASKS:
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}")
        names = None if heads is None else [name.strip() for name in heads.split(",") if name.strip()]
        if names == []:
            raise InputError("--heads: name some of our heads, divided by commas")
        settings = extract_config.load(Config, config, overrides)
        folder = work or Path("runs") / ("demo-splits" if settings.corpus.demo else settings.corpus.name)
        kept = out or folder / "splits" / f"{task}.jsonl"
        result = main(settings, task, folder, splits, seed, kept, names)
        if as_json:
            print(json.dumps(results.as_json_value(result), indent=2, allow_nan=False))
        else:
            show(result, as_markdown)


SLACK = 0.005
"""How far the default's mean may lie below another way's."""
MIN_COVERAGE = 0.9
"""How often the interval should hold the test score."""
WAYS = SIMULATED | STACKING
HEADER = ("way to a blend", "test score", "default's over it", "default is better in")


def summarise(task: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table, of splits as `blend.studies.splits.measured` returns them.

    {"task", "splits", "parts": {part: mean counts}, "ways": {way: {"mean", "spread", "under", "se", "better"}},
    "estimates": {"own", "held"}, "inside", "known", "by_split": [...]}: `under` is the default's mean score less the
    way's, with the standard error of that over splits, `better` in how many the default is; `own` is the error of the
    tuned score of select = "tuned", `held` of the default's cross-fitted estimate; `inside` in how many of the `known`
    splits the default's 95 % interval held the test score.
    """
    test = {way: np.array([item["test"]["test"][way] for item in results]) for way in WAYS}
    default = test[CROSS_FITTED_WAY]
    intervals = [entry["said"][CROSS_FITTED_WAY]["interval"] for entry in results]
    inside = [i is not None and bool(i[0] <= score <= i[1]) for i, score in zip(intervals, default, strict=True)]
    return {
        "task": task,
        "splits": len(results),
        "parts": {
            part: {key: float(np.mean([element["parts"][part][key] for element in results])) for key in counts}
            for part, counts in results[0]["parts"].items()
        },
        "ways": {
            way: {
                "mean": float(values.mean()),
                "spread": float(values.std(ddof=1)) if len(values) > 1 else None,
                "under": float((default - values).mean()),
                "se": table.standard_error(default - values),
                "better": int((default > values).sum()),
            }
            for way, values in test.items()
        },
        "estimates": {
            "own": _errors(results, TUNED_WAY, "own", test[TUNED_WAY]),
            "held": _errors(results, CROSS_FITTED_WAY, "held", default),
        },
        "inside": sum(inside),
        "known": sum(i is not None for i in intervals),
        "by_split": [
            {"test": float(score), "held": result["said"][CROSS_FITTED_WAY]["held"], "interval": interval,
             "inside": holds, "best_head": result["best_head"], **result["chosen"]}
            for result, score, interval, holds in zip(results, default, intervals, inside, strict=True)
        ],
    }  # fmt: skip


def _errors(results: Sequence[dict[str, Any]], way: str, key: str, test: NDArray[np.float64]) -> dict[str, Any] | None:
    said = [result["said"][way][key] for result in results]
    return table.errors(np.array([np.nan if item is None else item for item in said]) - test, paired=False)


def claims(result: dict[str, Any]) -> dict[str, bool]:
    """What should be true of the table -> whether it is."""
    text = "the default's mean test score is not below that of {} by more than {}"
    held = {
        text.format(WAYS[way], SLACK): result["ways"][way]["under"] >= -SLACK
        for way in (BEST_HEAD, PLAIN_WAY, SMOOTHED_WAY, EQUAL_WAY, TUNED_WAY, STACKING_WAY)
    }
    inside = result["inside"] >= MIN_COVERAGE * result["known"]
    return held | {f"the interval holds the test score in {MIN_COVERAGE:.0%} or more": inside}


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Cells under HEADER."""
    return [
        [name, f"{item['mean']:.3f}" + (f" ± {item['spread']:.3f}" if item["spread"] is not None else ""),
         "" if way == CROSS_FITTED_WAY else table.gain(item),
         "" if way == CROSS_FITTED_WAY else f"{item['better']} of {result['splits']}"]
        for way, name in WAYS.items()
        for item in [result["ways"][way]]
    ]  # fmt: skip


def sentence(result: dict[str, Any]) -> str:
    """What the table does not say."""
    sizes = "; ".join(
        f"{part} {counts['people']:.0f} people, {counts['videos']:.0f} videos, {counts['frames']:,.0f} frames"
        for part, counts in result["parts"].items()
    )
    own, held = (table.format_signed_number(result["estimates"][key]) for key in ("own", "held"))
    return (
        f"{result['splits']} splits ({sizes}). The 95 % interval held the test score in {result['inside']} of "
        f"{result['known']}. Error of the tuned score {own}, of the cross-fitted estimate {held}."
    )


def show(result: dict[str, Any], as_markdown: bool) -> None:
    """Print the table and what does not hold of it."""
    if as_markdown:
        print(table.markdown(HEADER, rows(result)) + "\n")
    else:
        table.show(HEADER, rows(result))
    print(sentence(result))
    for claim, holds in claims(result).items():
        if not holds:
            print(f"not so: {claim}")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
