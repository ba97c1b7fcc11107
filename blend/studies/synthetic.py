"""What each step of learning from synthetic data is worth on the embedded pictures.

    python -m blend.studies.synthetic                3 draws of the pictures, in runs/synthetic
    python -m blend.studies.synthetic --draws 1

Each draw has other people: small, clean pictures to learn from, poor photographs for validation and test. The steps are
the published ones: the networks as they are, heads and a fine-tuned network on the small pictures and on enlarged ones,
pre-trained and learnt ones blended, .3 to .7 as published, and by the search. No setting was chosen on these
pictures' test part; it is read for this table alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from blend import run as blend_run
from blend.config import Config
from blend.submission.test_score import final_score
from extract import config as configs
from extract import enlarge
from extract.demo import picture_corpus
from extract.runtime import cli, errors
from heads.abaw import read, test_list
from heads.abaw.tasks import find
from heads.data import predictions
from heads.data.predictions import Predictions
from heads.finetune import __main__ as finetune
from heads.train import fit

TASK = "lsd"
NETWORKS = ["demo_enet", "demo_mt_enet"]
LEARNER = "demo_mt_enet"
"""The network that is fine-tuned, as published: the one that knows valence and arousal."""
RECIPE_NAME = "tuned"
RECIPE = {"head_epochs": 3, "epochs": 10, "rate": 1e-3}
SHARE = 0.3
"""Of the pre-trained networks in the published blend."""
PRETRAINED_HEAD, HEADS, FINE = f"pretrained-{LEARNER}", "mlp_all", f"pretrained-{RECIPE_NAME}"
SMALL, LARGE = "small", "enlarged"
STEPS = {
    "pretrained": "pre-trained network",
    "heads": "heads on small pictures",
    "enlarged": "heads on enlarged pictures",
    "fine_tuned_small": "fine-tuned network on small pictures",
    "fine_tuned": "fine-tuned network on enlarged pictures",
    "blended_fine_tuned": "pre-trained .3, fine-tuned on enlarged pictures .7",
    "blended": "pre-trained .3, heads on enlarged pictures .7",
    "searched": "blend of all by the search, submitted",
}
Score = tuple[float, float]
"""On validation (of the searched blend: cross-fitted) and on test."""


def main(folder: Path, draws: int = 3, recipe: Mapping[str, Any] = RECIPE) -> list[dict[str, Score]]:
    """Scores of the STEPS, macro F1, of each draw of the pictures. What is finished in `folder` is not made again."""
    return [_measure(folder / f"draw{seed}", seed, recipe) for seed in range(draws)]


def _measure(folder: Path, seed: int, recipe: Mapping[str, Any]) -> dict[str, Score]:
    """One draw: all steps in a folder of their own."""
    picture_corpus.make(folder / "corpus", seed=seed)
    where = picture_corpus.paths(folder / "corpus")
    enlarge.main(where[TASK]["train"], folder / LARGE / "train")
    small, large = ({key: str(path) for key, path in where[TASK].items()} for _ in range(2))
    large["train"] = str(folder / LARGE / "train")
    report: Any = None
    for name, pictures in ((SMALL, small), (LARGE, large)):
        finetune.main(_config(pictures, NETWORKS, recipe), TASK, LEARNER, RECIPE_NAME, folder / name)
        report = blend_run.main(_config(pictures, [*NETWORKS, RECIPE_NAME], recipe), TASK, folder / name)

    truth = {
        part: read.read_folder(path, find(TASK))
        for part, path in (("val", where[TASK]["val"]), ("test", where["truth"][TASK]))
    }

    def score(members: Mapping[tuple[str, str], float]) -> Score:
        """Of a mix of heads, (work folder, head) -> weight."""
        scored = []
        for part in ("val", "test"):
            files = {key: folder / key[0] / "heads" / TASK / key[1] / f"{part}.parquet" for key in members}
            each = {key: predictions.read(path, find(TASK)) for key, path in files.items()}
            mixed = mix(list(each.values()), list(members.values()))
            result = fit.score_predictions(mixed, truth[part], find(TASK))[0]
            scored.append(float("nan") if result is None else result)
        return scored[0], scored[1]

    sent, listed = folder / LARGE / "blend" / TASK / "submission.txt", test_list.read(where[TASK]["test"], find(TASK))
    submitted = final_score(sent, listed, where["truth"][TASK], find(TASK))
    return {
        "pretrained": score({(LARGE, PRETRAINED_HEAD): 1}),
        "heads": score({(SMALL, HEADS): 1}),
        "enlarged": score({(LARGE, HEADS): 1}),
        "fine_tuned_small": score({(SMALL, FINE): 1}),
        "fine_tuned": score({(LARGE, FINE): 1}),
        "blended_fine_tuned": score({(LARGE, PRETRAINED_HEAD): SHARE, (LARGE, FINE): 1 - SHARE}),
        "blended": score({(LARGE, PRETRAINED_HEAD): SHARE, (LARGE, HEADS): 1 - SHARE}),
        "searched": (report["expected"], submitted["score"]),
    }


def _config(paths: Mapping[str, str], networks: Sequence[str], recipe: Mapping[str, Any]) -> Config:
    """Logits of each network, of the fine-tuned one, too, where there is one; and a head on all columns of the others,
    as a head must not learn from features of the pictures that their network has learnt from.
    """
    tables = {
        "corpus": {"name": "synthetic", TASK: dict(paths)},
        "features": {"networks": list(networks)},
        "finetune": {RECIPE_NAME: dict(recipe)},
        "heads": {TASK: {"use": ["pretrained", HEADS], HEADS: {"networks": NETWORKS}}},
    }
    return configs.from_tables(Config, tables)


def mix(members: Sequence[Predictions], weights: Sequence[float]) -> Predictions:
    """The weighted sum of heads' predictions of the same frames."""
    first = members[0]
    videos = {}
    for name, (frames, _) in first.videos.items():
        scores = sum(w * np.asarray(m.videos[name][1], np.float64) for m, w in zip(members, weights, strict=True))
        videos[name] = (frames, np.asarray(scores, np.float32))
    return Predictions(first.outputs, videos)


def as_markdown(draws: Sequence[Mapping[str, Score]]) -> str:
    """Means over the draws, and the deviation between them, as a table for a README."""
    lines = ["| lsd, macro F1 | validation | test |", "|---|---|---|"]
    for step, title in STEPS.items():
        columns = np.array([draw[step] for draw in draws]).T
        lines.append(f"| {title} | {' | '.join(f'{c.mean():.3f} ± {c.std():.3f}' for c in columns)} |")
    return "\n".join(lines)


EXAMPLES = """Examples:

python -m blend.studies.synthetic

python -m blend.studies.synthetic --draws 1 --work /tmp/synthetic"""


def command(
    draws: Annotated[int, typer.Option(help="So many draws of the pictures.", min=1)] = 3,
    work: cli.Work = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure what each step of learning from synthetic data is worth on the embedded pictures."""
    with errors.exits():
        result = main(work or Path("runs") / "synthetic", draws)
        print(json.dumps(result, indent=2) if as_json else as_markdown(result))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
