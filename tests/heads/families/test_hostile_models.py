"""A model of every family whose hashes fit and whose files do not: one line that names its folder, and nothing else."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save
from support.refusals import refusal

from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS
from heads.base.head import family
from heads.data.table import Block, LabelledRows, Rows, Source
from heads.data.temporal import TemporalColumns
from heads.train.model import Model

FRAMES, WIDE = 20, 4
ENCODER = {"inputs": ["logits"], "width": 8, "feedforward": 8, "clip": 10, "epochs": 1, "shapes": [[1, 2]]}
SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"inputs": ["logits"], "hidden": 3, "epochs": 1, "members": 2},
    "lightgbm": {"inputs": ["logits"], "trees": 3, "trees_without_dev": 3, "min_data_in_leaf": 3},
    "linear": {"inputs": ["logits"], "penalties": [0.1]},
    "lama": {"inputs": ["logits"], "trees": 3, "cv": 2, "penalties": [0.1]},
    "tabm": {"inputs": ["logits"], "members": 2, "hidden": 3, "epochs": 1},
    "sequence": ENCODER,
    "fusion": ENCODER | {"networks": "all"},
}
Change = Callable[[Path], Any]


def rows(videos: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    n = videos * FRAMES
    block = Block("net", "logits", rng.normal(size=(n, WIDE)).astype(np.float32))
    numbers = np.repeat(np.arange(videos, dtype=np.int32), FRAMES)
    frames = np.tile(np.arange(1, FRAMES + 1, dtype=np.int32), videos)
    return Rows(tuple(f"v{i}" for i in range(videos)), numbers, frames, (block,), np.arange(n))


def saved(folder: Path, name: str, task: str, **settings: Any) -> Path:
    """A model of the family, learnt from little."""
    kind, train = family(name), rows(5, 0)
    x = train.batch()
    truth = {
        "va": np.tanh(x[:, :2]),
        "au": (x[:, np.arange(12) % WIDE] > 0).astype(np.uint8),
        "expr": np.arange(len(x), dtype=np.int8) % 8,
    }[task]
    head = kind(TASKS[task], kind.Settings.model_validate({"family": name, **SETTINGS[name], **settings}))
    labelled = LabelledRows(train, truth)
    head.fit(labelled, labelled.take(np.arange(len(x)) % 3 == 0), seed=0)
    (folder := folder / f"{name}-{task}").mkdir()
    Model(head, (Source("net", ("logits",)),), TemporalColumns(), tuple(train.columns)).save(folder)
    return folder


def edit(file: str, change: Callable[[Any], Any]) -> Change:
    """Of a JSON file; `change` gives another table, or changes it in place."""

    def write(folder: Path) -> None:
        table = json.loads((folder / file).read_text())
        result = change(table)
        (folder / file).write_text(json.dumps(table if result is None else result))

    return write


def key(file: str, name: str, *values: Any) -> Iterator[tuple[str, Change]]:
    """Of a JSON object, a dotted key's other values."""
    for value in values:

        def put(table: Any, value: Any = value) -> None:
            *above, last = (int(part) if part.isdecimal() else part for part in name.split("."))
            for part in above:
                table = table[part]
            table[last] = value

        yield f"{file} {name} = {str(value)[:20]}", edit(file, put)


def arrays(file: str, change: Callable[[dict[str, Any]], Any], packed: bool = False) -> Change:
    """Of an npz or safetensors file."""

    def write(folder: Path) -> None:
        path = folder / file
        if path.suffix == ".npz":
            with np.load(path) as there:
                values = {name: there[name] for name in there.files}
            change(values)
            (np.savez_compressed if packed else np.savez)(path, **values)
        else:
            values = load_file(path)
            change(values)
            path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in values.items()}))

    return write


def each_array(file: str, *names: str) -> Iterator[tuple[str, Change]]:
    """An array that is not finite, of another shape or type, or gone."""
    for name in names:
        yield f"{name} is NaN", arrays(file, lambda v, n=name: v.update({n: v[n] * np.float32("nan")}))
        yield f"{name} is infinite", arrays(file, lambda v, n=name: v.update({n: v[n] * 0 + np.float32("inf")}))
        yield f"{name} is short", arrays(file, lambda v, n=name: v.update({n: v[n][:1]}))
        yield f"{name} has an axis more", arrays(file, lambda v, n=name: v.update({n: v[n][None]}))
        yield f"{name} is whole numbers", arrays(file, lambda v, n=name: v.update({n: v[n].astype(np.int64)}))
        yield f"{name} is gone", arrays(file, lambda v, n=name: v.pop(n))


def text(file: str, pattern: str, *values: str) -> Iterator[tuple[str, Change]]:
    """Of a text, another value behind a key."""
    for value in values:

        def write(folder: Path, value: str = value) -> None:
            there = (folder / file).read_text()
            changed = re.sub(pattern, value, there, count=1, flags=re.MULTILINE)
            assert changed != there
            (folder / file).write_text(changed)

        yield f"{file} {pattern} -> {value[:30]!r}", write


def of_any_family() -> Iterator[tuple[str, Change]]:
    """What is in model.json."""
    yield from key("model.json", "task", "expr", "au", [], None)
    yield from key("model.json", "columns", [], "abcd", [1, 2, 3, 4], ["net.logits.0"])
    yield from key("model.json", "settings", None, [], {"family": []}, {"family": "nobody"})
    yield from key("model.json", "sources", [], None, [1], "x")
    yield from key("model.json", "sources.0.network", 5, "../x", "")
    yield from key("model.json", "sources.0.kinds", [5], [], "logits", None)
    for content in (b"null", b"[" * 100_000, b'[{"of": "logits", "windows": [1000000000000]}]', b'[{"of": 1}]'):
        yield f"temporal.json {content[:40]!r}", lambda folder, c=content: (folder / "temporal.json").write_bytes(c)
    yield "many windows", edit("temporal.json", lambda _: [{"of": "logits", "windows": [*range(1, 9999)]}])


def of_more_columns() -> Iterator[tuple[str, Change]]:
    """Than the files are of. An automl says which it looks at: it may have more."""
    yield from key("model.json", "columns", [f"net.logits.{i}" for i in range(9)])


def of_mlp() -> Iterator[tuple[str, Change]]:
    yield from key("mlp.json", "width", 10**9, 3, None)
    yield from key("mlp.json", "members", 10**9, 0, 1, "x")
    yield from key("model.json", "settings.hidden", 10**9, 0)
    yield from each_array("weights.npz", "0.0", "1.3", "mean", "deviation")
    yield "a packed array", arrays("weights.npz", lambda v: v.update(x=np.zeros(10**7)), packed=True)

    def promise(folder: Path) -> None:
        """A header of 400 GB."""
        with zipfile.ZipFile(folder / "weights.npz") as there:
            files = {name: there.read(name) for name in there.namelist()}
        np.lib.format.write_array_header_1_0(
            header := io.BytesIO(), {"descr": "<f4", "fortran_order": False, "shape": (10**11,)}
        )
        with zipfile.ZipFile(folder / "weights.npz", "w") as archive:
            for name, content in (files | {"0.0.npy": header.getvalue() + bytes(99)}).items():
                archive.writestr(name, content)

    yield "a header of 400 GB", promise


def of_robust_mlp() -> Iterator[tuple[str, Change]]:
    yield from key("model.json", "settings.scaling", "moments", "other")
    yield from each_array("weights.npz", "times")


def of_lightgbm() -> Iterator[tuple[str, Change]]:
    yield from key("constants.json", "outputs", 10**9, 0, 1, "2")
    for value in (float("nan"), 7e9, -1.5, "0.5", None):
        yield from key("constants.json", "constants", {"0": value, "1": 0.5})
    yield from each_array("linear.npz", "coefficients", "intercept")
    file = "booster_0.txt"
    yield from text(
        file, r"^num_tree_per_iteration=.*", "num_tree_per_iteration=1000000000", "num_tree_per_iteration=0", ""
    )
    yield from text(file, r"^num_class=.*", "num_class=8", "num_class=1000000000", "")
    yield from text(file, r"^max_feature_idx=.*", "max_feature_idx=2147483647", "max_feature_idx=9")
    yield from text(file, r"^decision_type=\S+", "decision_type=1", "decision_type=-1", "decision_type=99999999999")
    yield from text(file, r"^leaf_value=\S+", "leaf_value=nan", "leaf_value=inf")
    yield from text(file, r"^threshold=\S+", "threshold=nan")
    yield from text(file, r"^left_child=", "left_child=77777 77777\nleft_child=", "x=\x0bleft_child=")


def part(kind: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Of a lama model, one of its parts, which then is the only one."""

    def alone(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (own,) = [part for part in table if part["kind"] == kind]
        own["share"] = 1.0
        change(own)
        return [own]

    return edit("automl_0.json", alone)


def of_every_part(kind: str) -> Iterator[tuple[str, Change]]:
    for columns in (
        [-1, 0, 1, 2],
        [0, 1, 2, 10**6],
        [10**30, 1, 2, 3],
        [0.5, 1, 2, 3],
        [True] * 4,
        [0, 1],
        [],
        "0123",
        None,
    ):
        yield f"{kind} columns {columns}", part(kind, lambda p, c=columns: p.update(columns=c))
    for share in (float("nan"), float("inf"), -1.0, 0.0, True, "1", 10**400):
        yield f"{kind} share {str(share)[:9]}", part(kind, lambda p, s=share: p.update(share=s))
    yield f"{kind} without columns", part(kind, lambda p: p.pop("columns"))
    yield f"{kind} more", part(kind, lambda p: p.update(evil=1))


def of_lama() -> Iterator[tuple[str, Change]]:
    yield from of_every_part("linear")
    for link in ("os.system", ["sigmoid"], None):
        yield f"link {link}", part("linear", lambda p, value=link: p.update(link=value))
    for name in ("weights", "biases"):
        for value in ([], None, [[]], [[["x"] * WIDE]], [[[float("nan")] * WIDE]] * 2):
            yield f"linear {name} {value}", part("linear", lambda p, n=name, v=value: p.update({n: v}))
    for name, values in (
        ("means", ([0.0], [[0.0] * WIDE] * 9, [float("inf")] * WIDE)),
        ("deviations", ([0.0] * WIDE, ["x"] * 4)),
    ):
        for value in values:
            yield f"linear {name} {value}", part("linear", lambda p, n=name, v=value: p.update({n: v}))

    def double(p: dict[str, Any]) -> None:
        p.update(weights=[fold * 2 for fold in p["weights"]], biases=[fold * 2 for fold in p["biases"]])

    yield "linear of two outputs", part("linear", double)
    yield (
        "folds of other outputs",
        part("linear", lambda p: (p["weights"][0].extend(p["weights"][0]), p["biases"][0].append(0.0))),
    )
    for content in (b"null", b"[null]", b"[]", b"{}"):
        yield f"automl_0.json {content!r}", lambda folder, c=content: (folder / "automl_0.json").write_bytes(c)
    yield from key(
        "lama.json", "base", [0.1], [0.1] * 3, [float("nan")] * 2, ["a", "b"], 0.5, [10**400, 0.1], [5.0, 0.1]
    )
    yield from key("lama.json", "targets.0.columns", [5], [-1], [], "0", [1], [0, 1], None)
    yield from key("lama.json", "targets.0.kind", "multiclass", "x", "binary", None)
    yield from key("lama.json", "targets.0.classes", True)
    yield "targets without end", edit("lama.json", lambda t: t.update(targets=t["targets"] * 10**4))


def of_boosters() -> Iterator[tuple[str, Change]]:
    yield from of_every_part("boosters")
    for texts in ([], [None], "abc", [""]):
        yield f"boosters {texts}", part("boosters", lambda p, t=texts: p.update(texts=t))


def forest(trees: int = 2, **changed: Any) -> dict[str, str]:
    """Stumps, as heads.families.lama.random_forest keeps them."""
    values = {
        "start": np.arange(trees) * 3, "column": [1, -1, -1] * trees, "threshold": [0.5, 0, 0] * trees,
        "left": [1, -1, -1] * trees, "right": [2, -1, -1] * trees, "value": [0.0, 0.1, 0.2] * trees,
    } | changed  # fmt: skip
    kinds = {"threshold": "<f8", "value": "<f8"}
    return {n: base64.b64encode(np.array(v).astype(kinds.get(n, "<i4")).tobytes()).decode() for n, v in values.items()}


def of_trees() -> Iterator[tuple[str, Change]]:
    """Random forests and sums of trees, in a lama model's place."""
    odd = {
        "leaves NaN": {"value": [float("nan")] * 6}, "leaves infinite": {"value": [float("inf")] * 6},
        "thresholds NaN": {"threshold": [float("nan")] * 6}, "two outputs": {"value": [0.1] * 12},
        "no leaves": {"value": []}, "seven numbers for six leaves": {"value": [0.1] * 7},
        "a column that there is not": {"column": [9, -1, -1] * 2}, "a negative column": {"column": [-7, -1, -1] * 2},
        "a ring": {"left": [0, -1, -1] * 2}, "a ring to the right": {"right": [0, -1, -1] * 2},
        "a child of another tree": {"right": [4, -1, -1] * 2}, "a child before": {"right": [-(2**31), -1, -1] * 2},
        "starts before": {"start": [-3, 3]}, "starts behind": {"start": [0, 10**9]},
        "starts falling": {"start": [3, 0]},
        "no starts": {"start": []}, "starts late": {"start": [1, 3]},
    }  # fmt: skip
    folds = {name: [forest(**changed)] for name, changed in odd.items()}
    folds |= {
        "base64 too long": [forest() | {"left": forest()["left"] + "AAAA"}],
        "no base64": [forest() | {"left": "!!"}],
    }
    folds |= {"numbers": [forest() | {"left": 5}], "no folds": [], "a text": "ab", "none": None}
    folds |= {"folds of other outputs": [forest(), forest(value=[0.1] * 12)]}
    for name, fold in folds.items():
        table = {"kind": "forests", "share": 1.0, "columns": [0, 1, 2, 3], "folds": fold}
        yield f"forests: {name}", edit("automl_0.json", lambda _, t=table: [t])
        bases = {"bases": [[0.0]] * len(fold or ""), "sum": "f4", "link": "identity"}
        yield f"sums: {name}", edit("automl_0.json", lambda _, t=table, b=bases: [t | b | {"kind": "sums"}])
    for bases in ([], [[0.0, 0.0]], [[float("nan")]], [["x"]], [0.0], None):
        table = {
            "kind": "sums",
            "share": 1.0,
            "columns": [0, 1, 2, 3],
            "folds": [forest()],
            "sum": "f4",
            "link": "identity",
        }
        yield f"bases {bases}", edit("automl_0.json", lambda _, t=table, b=bases: [t | {"bases": b}])
    for kind in ("O", "i1", None):
        yield f"sums of {kind}", edit("automl_0.json", lambda _, t=table, k=kind: [t | {"bases": [[0.0]], "sum": k}])


def of_sequence() -> Iterator[tuple[str, Change]]:
    yield from key("model.json", "settings.members", 10**9, 2)
    yield from key("model.json", "settings.shapes", [[10**6, 2]], [[2, 2]], [])
    yield from key("model.json", "settings.feedforward", 10**12)
    yield from key("model.json", "settings.width", 10**6)
    yield from key("sequence.json", "streams", [], None, [{}], [{"name": "all", "start": -3, "end": WIDE}])
    yield from key("sequence.json", "streams.0.end", 10**9, 0, 1.5, None)
    yield from key("sequence.json", "streams.0.present", 10**6, -1, "x")
    file = "encoders.safetensors"
    yield from each_array(file, "mean", "0.out.bias", "0.layers.0.linear1.weight", "0.norm.weight")
    yield (
        "both moments of one column",
        arrays(file, lambda v: v.update(mean=v["mean"][:1], deviation=v["deviation"][:1])),
    )
    yield "an array more", arrays(file, lambda v: v.update({"0.evil": v["mean"]}))


def of_kinds() -> Iterator[tuple[str, Change]]:
    """An encoder of another kind than its weights, and one that is too large."""
    yield from key("model.json", "settings.kind", "tcn", "bigru", "lstm", None)
    for kind in ("tcn", "bigru"):
        other = {"kind": kind, "shapes": [[1, 1]]}
        yield f"a {kind} of a Transformer", edit("model.json", lambda t, o=other: t["settings"].update(o))
    yield "a tcn of many layers", edit("model.json", lambda t: t["settings"].update(kind="tcn", shapes=[[10**9, 1]]))
    yield "a wide gru", edit("model.json", lambda t: t["settings"].update(kind="bigru", shapes=[[1, 1]], width=10**6))


def of_tabm() -> Iterator[tuple[str, Change]]:
    for name in ("members", "hidden", "blocks"):
        yield from key("model.json", f"settings.{name}", 10**7, 1)
    file = "tabm.safetensors"
    yield from each_array(file, "mean", "deviation", "layers.0.weight", "layers.0.r", "layers.1.s", "out.bias")
    yield "an array more", arrays(file, lambda v: v.update({"evil": v["mean"]}))


Changes = Callable[[], Iterator[tuple[str, Change]]]
CASES: dict[str, tuple[dict[str, Any], tuple[Changes, ...]]] = {
    "mlp": ({}, (of_any_family, of_more_columns, of_mlp)),
    "mlp robust": ({"scaling": "robust"}, (of_any_family, of_more_columns, of_mlp, of_robust_mlp)),
    "lightgbm": ({}, (of_any_family, of_more_columns, of_lightgbm)),
    "tabm": ({}, (of_any_family, of_more_columns, of_tabm)),
    "linear": (
        {},
        (of_any_family, of_more_columns, lambda: each_array("linear.safetensors", "coefficients", "intercept")),
    ),
    "lama": ({"use_algos": [["linear_l2"]]}, (of_any_family, of_lama, of_trees)),
    "lama of boosters": ({"use_algos": [["lgb"]]}, (of_boosters,)),
    "sequence": ({}, (of_any_family, of_more_columns, of_sequence, of_kinds)),
    "fusion": ({}, (of_any_family, of_more_columns, of_sequence)),
}


@pytest.mark.parametrize("case", CASES)
def test_files_that_do_not_fit_are_one_line_before_anything_is_predicted(case: str, tmp_path: Path) -> None:
    settings, every = CASES[case]
    folder = saved(tmp_path, case.partition(" ")[0], "va", **settings)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    unseen = rows(2, 1)
    expected = Model.load(folder).predict(unseen)
    believed = []
    for what, change in (item for changes in every for item in changes()):
        change(folder)
        said = refusal(Model.load, folder)
        if not said:
            believed.append(what)
        else:
            assert str(folder) in said, f"{what}: {said}"
        for path, content in whole.items():
            path.write_bytes(content)
    assert not believed
    np.testing.assert_array_equal(Model.load(folder).predict(unseen), expected)


@pytest.mark.parametrize("name", ["lama", "lightgbm"])
def test_a_model_of_another_task_is_refused(name: str, tmp_path: Path) -> None:
    folders = {task: saved(tmp_path, name, task) for task in ("va", "au", "expr")}
    for task, folder in folders.items():
        own = (folder / "model.json").read_bytes()
        for other in {*folders} - {task}:
            (folder / "model.json").write_bytes((folders[other] / "model.json").read_bytes())
            with pytest.raises(InputError, match="cannot be read"):
                Model.load(folder)
        (folder / "model.json").write_bytes(own)
        assert Model.load(folder).head.task.name == task


def test_scores_of_a_file_that_overflow_are_its_fault(tmp_path: Path) -> None:
    folder = saved(tmp_path, "linear", "expr")
    large = np.resize([1e308, -1e308], (WIDE, 8))
    arrays("linear.safetensors", lambda v: v.update(coefficients=large))(folder)
    with (
        np.errstate(all="ignore"),
        pytest.raises(InputError, match=f"{folder}: .*scores that are not finite") as raised,
    ):
        Model.load(folder).predict(rows(2, 1))
    assert "make it anew" in str(raised.value)
