"""Features + labels -> predictions: tasks, official formats and scores, and one head per family.

abaw/: The challenge's facts: tasks, official files and scores. Knows no head.
base/: What every head is and shares.
bench/: What heads cost at the size of Aff-Wild2.
data/: Rows of features with their labels, splits of videos, and prediction files.
families/: The families of heads: LightGBM, pre-trained, Keras MLPs, linear maps, sequence encoders, LightAutoML.
finetune/: `python -m heads.finetune`: a network learns from the training videos.
train/: One head, from its inputs to its finished folder.
tune/: Searching a head's settings, in many processes on many machines.
config.py: The [heads.<task>] sections of a run's config, and the head files of configs/heads/<task>/.
corpus_checks.py: The border check of a corpus.
run.py: The heads step: train what is missing, each head in a process of its own, and leave predictions for blend.
search_space.py: A search space is a head's TOML with some leaves replaced by `["tune", kind, low, high]`.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

for _name in ("extract",):
    _found = getattr(find_spec(_name), "origin", None)
    if _found is not None and Path(_found).resolve().parents[1] != Path(__file__).resolve().parents[1]:
        print(
            f"error: {_found}: hides the package {_name!r} of the same name; rename it, or start the command "
            f"in another folder",
            file=sys.stderr,
        )
        raise SystemExit(2)
