"""Features + labels -> predictions: tasks, official formats and scores, and one head per family.

abaw/: The challenge's facts: tasks, official files and scores. Knows no head.
base/: What every head is and shares.
bench/: What heads cost at the size of Aff-Wild2.
data/: Rows of features with their labels, splits of videos, and prediction files.
families/: The families of heads: LightGBM, pre-trained, Keras MLPs, linear maps, TabM, sequence encoders, LightAutoML.
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

_ROOT = Path(__file__).resolve().parents[1]
for _name in ("extract",):
    _spec = find_spec(_name)
    if _spec is not None and _spec.origin is None:  # a folder without __init__.py, from which Python would take modules
        sys.path.insert(0, str(_ROOT))
    elif _spec is not None and _spec.origin and Path(_spec.origin).resolve() != _ROOT / _name / "__init__.py":
        print(
            f"error: {_spec.origin}: hides the package {_name!r} of the same name; rename it, or start the command in "
            f"another folder or as `python -P -m`",
            file=sys.stderr,
        )
        raise SystemExit(2)
