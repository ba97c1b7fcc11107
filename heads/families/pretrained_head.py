"""The pretrained family: what the networks say of themselves, without training.

va: valence and arousal straight from a network that has them ("VA only"). expr: the softmax of a network's own logits,
put into the task's order by the names of its classes; Contempt stands as Other ("pre-trained logits"). lsd: the same,
over the logits of its six classes. au: the sigmoid of a network's logits that are called as the units, which a network
fine-tuned for au has. One fine-tuned for mtl has expressions and units: each task takes its own columns and knows
nothing of the others. Of several networks the mean. With `other = "mlp"` an mlp decides what is Other and
the softmax chooses among the other seven classes: the published rule, by which the networks' classes need no Other at
all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from extract.features import store
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import SINGLE_TASKS, Task
from heads.base.head import Head, HeadSettings, OnProgress, _quiet
from heads.base.linear import softmax
from heads.data import feature_file
from heads.data.table import Block, LabelledRows, Rows
from heads.families.mlp.head import Mlp
from heads.families.mlp.settings import MlpSettings

MEANS = {
    **dict.fromkeys(("neutral", "neutrality"), "Neutral"),
    **dict.fromkeys(("anger", "angry"), "Anger"),
    **dict.fromkeys(("disgust", "disgusted"), "Disgust"),
    **dict.fromkeys(("fear", "fearful", "scared"), "Fear"),
    **dict.fromkeys(("happiness", "happy", "joy"), "Happiness"),
    **dict.fromkeys(("sadness", "sad"), "Sadness"),
    **dict.fromkeys(("surprise", "surprised"), "Surprise"),
    **dict.fromkeys(("other", "contempt"), "Other"),
}
"""What networks call their classes, in lower case, and the output that it stands for."""
OTHER_CLASS = "Other"


class OtherMlp(MlpSettings):
    """Settings of the mlp that decides about Other: those of the family, less what the head itself says."""

    inputs: list[str] = Field(default=["embedding"])

    @model_validator(mode="after")
    def _only_of_the_mlp(self) -> OtherMlp:
        own = type(self).model_fields
        for name in HeadSettings.model_fields:
            if name != "family" and getattr(self, name) != own[name].get_default(call_default_factory=True):
                raise ValueError(f"{name!r} belongs to the head, not to its mlp")
        return self


class PretrainedSettings(HeadSettings):
    """Settings of a pretrained head: `inputs` va for va, logits for expr (and embedding, for the mlp) and au."""

    family: Literal["pretrained"] = "pretrained"
    other: Literal["contempt", "mlp"] = "contempt"
    """expr: what is Other. "contempt": a network's probability of Contempt, none where it has no such class. "mlp": a
    frame is Other where the mlp's largest score is Other's.
    """
    mlp: OtherMlp = OtherMlp()
    """[mlp], for `other = "mlp"`: it learns all eight classes, from the embedding where `inputs` has one."""

    @model_validator(mode="after")
    def _as_they_are(self) -> PretrainedSettings:
        if self.bags and self.other != "mlp":
            raise ValueError('nothing is learnt, so bags would be the same: leave them out, or give other = "mlp"')
        if self.relative.logits != "none" or self.relative.va != "none":
            raise ValueError("a pretrained head predicts logits and va as they are: they cannot be relative")
        return self


ABSENT = -1
"""An expression that the task does not have."""
FOREIGN = -2
"""A column that is none of the task's kind: of expressions those that are action units."""
UNIT = re.compile(r"au[ _]?0*(\d+)", re.IGNORECASE)
"""An action unit, however its name is written: AU1, au01, AU 1."""


def list_strange(names: Sequence[str]) -> list[str]:
    """Names of logits that no expression goes by; those of action units are passed over where there are expressions."""
    strange = [name for name in names if name.lower() not in MEANS]
    return [name for name in strange if len(strange) == len(names) or not UNIT.fullmatch(name)]


def match_outputs(block: Block, task: Task) -> list[int]:
    """The task's output that each column of logits stands for, ABSENT or FOREIGN for one that the task does not have.

    Raises InputError for classes unknown or of other kind, where none is an output of the task, and where an action
    unit is missing.
    """
    if not block.names:
        raise InputError(
            f"network {block.network!r}: a pretrained head must know what its {block.values.shape[1]} logits stand "
            f"for; give classes = [...] in their order in [networks.{block.network}], and run python -m extract.run "
            f"--redo once, or leave the network out of this head's networks"
        )
    names = [name.removeprefix(f"{block.kind}.") for name in block.names]
    if task.is_multilabel:
        columns = [_find_unit(name, task) for name in names]
        if twice := next((unit for number, unit in enumerate(task.outputs) if columns.count(number) > 1), None):
            raise InputError(
                f"network {block.network!r}: two logits are called {twice!r} ({', '.join(names)}), expected one; "
                f"correct classes in [networks.{block.network}]"
            )
        if missing := [unit for number, unit in enumerate(task.outputs) if number not in columns]:
            raise InputError(
                f"network {block.network!r}: no logit is called {missing[0]!r}; found {', '.join(names)}, expected all "
                f"of {', '.join(task.outputs)}; leave the network out of this head's networks"
            )
        return columns
    if strange := list_strange(names):
        raise InputError(
            f"network {block.network!r}: class {strange[0]!r} is no expression of the task; known are "
            f"{', '.join(MEANS)}; leave the network out of this head's networks"
        )
    outputs = {name: number for number, name in enumerate(task.outputs)}
    meant = [MEANS.get(name.lower()) for name in names]
    return [FOREIGN if name is None else outputs.get(name, ABSENT) for name in meant]


def _find_unit(name: str, task: Task) -> int:
    """The number of an action unit; FOREIGN for another name."""
    digits = UNIT.fullmatch(name)
    unit = f"AU{digits[1]}" if digits else name
    return task.outputs.index(unit) if unit in task.outputs else FOREIGN


def find_usable(has: dict[str, tuple[str, ...]], task: str, work: Path) -> dict[str, tuple[str, ...]]:
    """The networks and their kinds of features without logits of which nobody knows what they stand for.

    Heads for each or all networks pass over these; a head that names such a network is told why it cannot have it.
    """
    facts = SINGLE_TASKS[task]
    if facts.is_regression:
        return has

    def understood(network: str) -> bool:
        names = feature_file.class_names(store.path(work, network, store.videos(work, network)[0])) or ()
        if facts.is_multilabel:
            return {_find_unit(name, facts) for name in names} >= set(range(len(facts.outputs)))
        return bool(names) and not list_strange(names)

    return {
        network: kinds if understood(network) else tuple(kind for kind in kinds if kind != "logits")
        for network, kinds in has.items()
    }


class PretrainedHead(Head):
    """No training, but of the mlp where there is one."""

    Settings = PretrainedSettings
    settings: PretrainedSettings

    def __init__(self, task: Task, settings: PretrainedSettings) -> None:
        super().__init__(task, settings)
        if settings.other == "mlp" and not task.is_regression and OTHER_CLASS not in task.outputs:
            raise InputError(
                f"a pretrained head of task {task.name!r}: other = 'mlp', but none of its outputs is Other"
            )
        self.mlp = Mlp(task, settings.mlp) if task.is_multiclass and settings.other == "mlp" else None

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. Raises InputError where no network has what it takes."""
        blocks = self._blocks(train.rows)
        facts: dict[str, Any] = {"networks": [block.network for block in blocks]}
        self.prepare(train.rows)
        if not self.task.is_regression:
            said = {output for block in blocks for output in match_outputs(block, self.task)}
            facts["classes_without_a_logit"] = [name for i, name in enumerate(self.task.outputs) if i not in said]
        if self.mlp is not None:
            facts["mlp"] = self.mlp.fit(_for_mlp(train), _for_mlp(dev), seed, on_progress)
        on_progress(1.0, "nothing to learn")
        return facts

    def prepare(self, rows: Rows) -> None:
        """See which networks' logits are probabilities already: all that predicting without an mlp needs to know."""
        if not self.task.is_regression:
            self.ready: dict[str, bool] = {}
            for block in self._blocks(rows):
                own = np.array(match_outputs(block, self.task)) != FOREIGN
                chunks = (chunk[:, own] for chunk in _chunks(rows, block))
                self.ready[block.network] = _are_probabilities(chunks, self.task)

    def refit(self, rows: LabelledRows, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit."""
        if self.mlp is not None:
            self.mlp.refit(_for_mlp(rows), seed, on_progress)

    def _blocks(self, rows: Rows) -> list[Block]:
        """The columns that are the prediction."""
        kind = "va" if self.task.is_regression else "logits"
        blocks = [block for block in rows.blocks if block.kind == kind]
        if not blocks:
            raise InputError(f"a pretrained head of task {self.task.name!r} needs {kind!r} among its inputs")
        return blocks

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict: the networks' mean; va is cut off at -1 and 1."""
        blocks = self._blocks(rows)
        mean = np.zeros((len(rows), len(self.task.outputs)), np.float64)
        for block in blocks:
            at = 0
            for chunk in _chunks(rows, block):
                mean[at : (at := at + len(chunk))] += self._said(block, chunk) / len(blocks)
        if self.task.is_regression:
            return np.clip(mean, -1, 1).astype(np.float32)
        if self.mlp is not None:
            inputs = _columns_for_mlp(rows)
            if inputs.width != self.mlp.width:
                raise InputError(
                    f"the mlp of a pretrained head learnt from {self.mlp.width} columns, these rows have "
                    f"{inputs.width}; make the head anew"
                )
            other = self.task.outputs.index(OTHER_CLASS)
            mean[self.mlp.predict(inputs).argmax(1) == other] = np.eye(len(self.task.outputs))[other]
        return mean.astype(np.float32)

    def _said(self, block: Block, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """One network's outputs [n, outputs]."""
        if self.task.is_regression:
            return values.astype(np.float64)
        outputs = np.array(match_outputs(block, self.task))
        wanted = outputs >= 0
        if self.mlp is not None:  # among the seven
            wanted &= outputs != self.task.outputs.index(OTHER_CLASS)
        values, outputs = values[:, wanted], outputs[wanted]
        if block.network not in self.ready:
            raise InputError(f"a pretrained head that did not learn of network {block.network!r}; make it anew")
        values = values.astype(np.float64)
        if self.task.is_multilabel:
            from scipy.special import expit

            return (values if self.ready[block.network] else expit(values)) @ np.eye(len(self.task.outputs))[outputs]
        chances = values + 1e-12 if self.ready[block.network] else softmax(values)
        return (chances / chances.sum(1, keepdims=True)) @ np.eye(len(self.task.outputs))[outputs]

    def save(self, folder: Path) -> None:
        """See Head.save: which networks' logits were probabilities already, and the mlp in a folder of its own."""
        run_folder.write_json(folder / "pretrained.json", {} if self.task.is_regression else self.ready)
        if self.mlp is not None:
            (folder / "mlp").mkdir(exist_ok=True)
            self.mlp.save(folder / "mlp")

    def load(self, folder: Path) -> None:
        """See Head.load."""
        ready = run_folder.read_json(folder / "pretrained.json", "make the head anew")
        if not all(isinstance(value, bool) for value in ready.values()):
            raise ValueError("pretrained.json: expected true or false for each network")
        self.ready = ready
        if self.mlp is not None:
            self.mlp.load(folder / "mlp")

    def check(self, columns: Sequence[str]) -> None:
        """See Head.check: which columns the networks' own are, only rows say; the mlp can be tried."""
        if self.mlp is not None:
            self.mlp.check(columns[: self.mlp.width])


def _chunks(rows: Rows, block: Block) -> Iterable[NDArray[np.float32]]:
    """The rows of one block, some thousands at a time."""
    return replace(rows, blocks=(block,)).chunks()


def _are_probabilities(chunks: Iterable[NDArray[np.float32]], task: Task) -> bool:
    """Whether "logits" are a softmax's or sigmoid's output already, as in many tables: none negative, and each row's
    sum 1, or none above 1.
    """
    if task.is_multilabel:
        return all((chunk >= 0).all() and (chunk <= 1).all() for chunk in chunks)
    return all((chunk >= 0).all() and np.allclose(chunk.sum(1), 1, atol=1e-2) for chunk in chunks)


def _columns_for_mlp(rows: Rows) -> Rows:
    """The embeddings' columns, or the logits' where there is no embedding."""
    for kind in ("embedding", "logits"):
        if blocks := tuple(block for block in rows.blocks if block.kind == kind):
            return replace(rows, blocks=blocks)
    return rows


def _for_mlp(labelled: LabelledRows) -> LabelledRows:
    return LabelledRows(_columns_for_mlp(labelled.rows), labelled.truth)
