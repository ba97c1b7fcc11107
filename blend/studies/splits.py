"""Random splits by person of a labelled corpus: what the default promises and reaches on people it has not seen.

    python -m blend.studies.splits --task expr --config mine.toml --splits 10
    python -m blend.studies.splits --task au                             60 videos drawn by the demo, all labelled

All labelled people, of train and validation, go into three parts (half, a quarter, a quarter). The heads learn on the
first, the blend is chosen on the second, and every way to a blend is scored on the third, whose labels nothing else
reads; nor is the corpus's own test list looked at. Features are those of the work folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from blend.config import Config
from blend.studies import results
from extract import config as extract_config
from extract import errors
from extract import run as extract_run
from extract.errors import InputError
from extract.progress import progress
from heads.tasks import TASKS


def main(
    config: Config, task: str, work: Path, splits: int, seed: int, out: Path, heads: list[str] | None = None
) -> dict[str, Any]:
    """The table (see `blend.studies.split_table.summarise`) of so many splits; `out` keeps every split's results.

    `heads` names some of our heads; None: all that the config asks for. Raises InputError for bad input.
    """
    from blend.studies import demo_corpus, split_corpus, split_table

    if config.corpus.demo:
        config = config.model_copy(update={"corpus": demo_corpus.make(work / "corpus")})
    corpus = split_corpus.read(config, TASKS[task])
    config = extract_run.main(config, work)
    jobs = [facts(config, corpus, task, seed, number, heads) for number in range(splits)]
    code = _code()

    def one(job: results.Job) -> dict[str, Any]:
        return measured(config, corpus, work, job)

    made = []
    with progress(f"splits {task}", splits, "splits") as bar:
        for _, found in results.complete(out, jobs, one, code, workers=1):
            made.append(found)
            bar.advance()
    return split_table.summarise(task, made)


def facts(config: Config, corpus: Any, task: str, seed: int, number: int, heads: list[str] | None) -> results.Job:
    """What a split is of: another corpus or other settings are other splits."""
    from extract import rundir

    made_of = {
        "annotations": {video: rundir.file_hash(path) for video, path in corpus.files.items()},
        "people": corpus.groups,
        "networks": config.features.networks,
        "heads": getattr(config.heads, task).model_dump(mode="json"),
        "blend": getattr(config.blend, task).model_dump(mode="json"),
    }
    return {
        "study": "splits",
        "corpus": config.corpus.name,
        "task": task,
        "number": number,
        "seed": seed,
        "heads": heads,
        "made_of": rundir.fingerprint(made_of),
    }


def measured(config: Config, corpus: Any, work: Path, job: results.Job) -> dict[str, Any]:
    """One split: its heads, every way to a blend, and their scores on the third part."""
    from blend import ingredients, pool
    from blend.studies import split_corpus
    from blend.studies.measure import measure
    from heads import labels, people, predictions

    task, seed = job["task"], job["seed"]
    folder = work / "splits" / task / f"{seed}-{job['number']}"
    chosen = split_corpus.parts(corpus, seed, job["number"])
    paths, truth = split_corpus.write(corpus, chosen, folder)
    split_corpus.link_features(work, folder)
    own = config.model_copy(update={"corpus": config.corpus.model_copy(update={task: paths})})
    own, made_of = ingredients.gather(own, task, folder, seed, job["heads"], {})
    validation = ingredients.pools(made_of).validation
    prior = ingredients.as_row(made_of.prior, made_of.task)
    found = {head: predictions.read(path / "test.parquet", made_of.task) for head, path in made_of.ours.items()}
    annotations, who = labels.read_folder(truth, made_of.task), people.read(own.corpus, chosen["test"])
    test = pool.for_validation(made_of.task, found, annotations, prior, "test", people=who)
    counts = {
        part: {"people": len({corpus.groups[v] for v in videos}), "videos": len(videos),
               "frames": sum(int(corpus.annotations[v].valid.sum()) for v in videos)}
        for part, videos in chosen.items()
    }  # fmt: skip
    scores = measure(validation, {"test": test}, made_of.settings, seed, folded=False)
    return scores | {"parts": counts, "heads": sorted(made_of.ours)}


def _code() -> str:
    from extract import rundir
    from heads.code_mark import code_mark

    return rundir.fingerprint([results.code_of("blend.studies.splits"), code_mark()])


EXAMPLES = """Examples:

python -m blend.studies.splits --task expr --config mine.toml --splits 10

python -m blend.studies.splits --task au --heads mlp_all,lightgbm-demo_enet      the demo's drawn faces, two heads

python -m blend.studies.splits --task va --out va.jsonl --markdown"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")],
    config: Annotated[
        Path, typer.Option(help="The run's TOML file.", show_default=extract_config.SHOWN)
    ] = extract_config.DEFAULT,
    work: Annotated[
        Path | None, typer.Option(help="Work folder; default runs/<corpus name>, runs/demo-splits for the demo.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, overrides the config.")] = None,
    splits: Annotated[int, typer.Option(help="Random splits.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same splits.", min=0)] = 0,
    heads: Annotated[str | None, typer.Option(help="Which of our heads, divided by commas.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Every split is added to this file; default <work>/splits/<task>.jsonl.")
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table for a README.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
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
        found = main(settings, task, folder, splits, seed, kept, names)
        if as_json:
            print(json.dumps(results.as_json_value(found), indent=2, allow_nan=False))
            return
        from blend.studies import split_table

        split_table.show(found, as_markdown)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
