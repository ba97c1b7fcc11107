"""Public names are the field's nouns and verbs: no bare participle, no pronoun; of parameters, only no pronoun."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("extract", "heads", "blend", "tests/support")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


FORBIDDEN = word_set("others several some one found crew how worries ingredients")
"""Words that stand in no name."""
PRONOUNS = FORBIDDEN | word_set(
    """
    i me mine we us our ours you your yours he him his she her hers it its they them their theirs this that these those
    who whom whose which what where when why here there other another same own such all both each every either neither
    none more most many few any anybody anything everybody everything nobody nothing somebody something itself
    """
)
IRREGULAR = word_set(
    """
    known kept given made seen drawn held left chosen taken shown told said sent spent met worn built brought thought
    taught caught sought fought paid laid led meant dealt felt heard stood understood begun gone done been become hidden
    forbidden written driven broken spoken stolen frozen forgotten thrown grown torn sworn struck stuck sold bought lost
    won learnt spelt spoilt slept swept proven withheld upheld shut between
    """
)
"""Participles by heart; `read`, `run`, `split`, `fit`, `cut`, `spread` and `bound` are verbs or nouns, too."""
NO_PARTICIPLE = word_set(
    """
    seed speed feed need bed red shed embed exceed proceed succeed screen green then when token open men women ten seven
    eleven children garden golden widen deepen shorten lengthen listen even often
    """
)
PREDICATES = ("is_", "are_", "has_", "have_", "can_")
"""What begins so says a thing of something, `is_done`: a participle may end it."""
ON_DISK = {
    ("Position", "learnt"): "a key of checkpoints",
    ("Position", "seen"): "a key of checkpoints",
    ("Report", "broken"): "a key of crops.json and of --json",
    ("PlannedStep", "finished"): "a key of --dry-run --json",
    ("ApplyResult", "scored"): "a key of blend.apply --json",
    ("Pair", "other"): "a key of report.json",
    ("RunReport", "expected"): "the Python interface of blend/README.md; a key of report.json",
}
"""Names that users' files or programs hold."""


def words(name: str) -> list[str]:
    return [word for word in re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_") if word]


def is_participle(word: str) -> bool:
    return word in IRREGULAR or (len(word) > 3 and word.endswith(("ed", "en")) and word not in NO_PARTICIPLE)


def is_wrong(name: str) -> bool:
    """Whether a name is a participle or a pronoun, ends in one that has no noun, or has a forbidden word."""
    parts = words(name)
    if not parts or name.startswith(PREDICATES):
        return False
    return is_participle(parts[-1]) or parts[-1] in PRONOUNS or bool(FORBIDDEN & set(parts)) or "made_of" in name


def targets(node: ast.stmt) -> list[str]:
    places = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [inner.id for place in places for inner in ast.walk(place) if isinstance(inner, ast.Name)]


def own_attributes(function: ast.AST) -> Iterator[str]:
    """What a method sets on `self`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def bases(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}


def schemas(trees: dict[Path, ast.Module]) -> set[str]:
    """Classes whose fields are keys of files: pydantic's models and TypedDicts."""
    known = {"BaseModel", "TypedDict"}
    body = [node for tree in trees.values() for node in tree.body]
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    calls = [node for node in body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
    known |= {name for node in calls if ast.unparse(node.value.func) == "TypedDict" for name in targets(node)}
    while more := {node.name for node in classes if bases(node) & known} - known:
        known |= more
    return known


def public_names(body: list[ast.stmt], keys: set[str], owner: str = "") -> Iterator[tuple[str, int]]:
    """Names of a module, or of the class `owner`, and pronouns among the parameters, with their lines."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if (owner, node.name) not in ON_DISK:
                yield node.name, node.lineno
            if not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                yield from ((argument.arg, node.lineno) for argument in arguments if argument.arg in PRONOUNS)
            if owner:
                names = {name for name in own_attributes(node) if (owner, name) not in ON_DISK}
                yield from ((name, node.lineno) for name in names)
        elif isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
            if not node.name.startswith("_"):
                fields = [inner for inner in node.body if node.name not in keys or not targets(inner)]
                yield from public_names(fields, keys, node.name)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For):
            yield from public_names([*node.body, *getattr(node, "orelse", [])], keys, owner)
        else:
            yield from ((name, node.lineno) for name in targets(node) if (owner, name) not in ON_DISK)


def test_the_rule_itself():
    for name in word_set("KEPT Kept known chosen videos_known MOST those with_ours run_all found_faces ONE read_done"):
        assert is_wrong(name), name
    for name in word_set(
        "cross_fitted_score finished_heads is_done read run TrainDevSplit known_truth seed MOST_TRIES"
    ):
        assert not is_wrong(name), name


def test_public_names_are_nouns_and_verbs():
    assert len(FILES) > 300
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    keys = schemas(trees)
    wrong = []
    for path, tree in trees.items():
        place = path.relative_to(ROOT)
        is_command = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)
        if is_wrong(path.stem.strip("_")) and not is_command:
            wrong.append(f"{place}: the module")
        if path.name == "__init__.py" and is_wrong(path.parent.name):
            wrong.append(f"{place}: the folder")
        for name, line in public_names(tree.body, keys):
            if not name.startswith("_") and is_wrong(name):
                wrong.append(f"{place}:{line}: {name}")
    assert not wrong, "participles and pronouns; say what it holds, or what it gives:\n" + "\n".join(sorted(set(wrong)))
