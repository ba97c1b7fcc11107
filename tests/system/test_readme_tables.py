"""The README's tables of heads and networks, and its pictures, are what there is."""

import re
from pathlib import Path

from PIL import Image
from support.readme_reader import READMES

from extract.audio import logmel
from extract.networks import registry

ROOT = Path(__file__).parents[2]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in READMES)


def rows_of(header: str) -> list[list[str]]:
    """The cells of the README's table that begins with this header."""
    lines = TEXT[TEXT.index(header) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_of_heads_and_networks_are_what_there_is():
    known = {
        name: [str(one.size), str(one.dim), str(len(one.classes or ())), "yes" if one.has_va else ""]
        for name, one in registry.NETWORKS.items()
    }
    told = {name: facts[:4] for name, *facts in rows_of("| network | pixels")}
    assert told == known | {"audio": ["", str(logmel.WIDTH), "", ""]}
    tasks: dict[str, set[str]] = {}
    for path in (ROOT / "configs" / "heads").glob("*/*.toml"):
        tasks.setdefault(path.stem, set()).add(path.parent.name)
    for names, *_, of in rows_of("| head | what it is"):
        for name in names.split("`, `"):
            files = tasks.pop(name)
            for part in of.split("; "):
                for task in part.removesuffix(", when named").replace("all", "au, expr, va").split(", "):
                    text = (ROOT / "configs" / "heads" / task / f"{name}.toml").read_text()
                    assert ("on_request = true" in text) is part.endswith("when named"), (name, task)
                    files.remove(task)
            assert not files, name
    assert not tasks, "every standard head is told"


def test_no_page_is_forgotten_and_their_pictures_and_links_are_there():
    pages = {path for folder in ("extract", "heads", "blend", "configs") for path in (ROOT / folder).rglob("README.md")}
    assert {ROOT / "README.md", *pages} == {path.resolve() for path in READMES}
    for page in READMES:
        for name in re.findall(r"(?<!!)\[[^]]*\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / name).is_file(), (page, name)
    for name in re.findall(r"!\[[^]]*\]\(([^)]*)\)", TEXT):
        with Image.open(ROOT / name) as picture:
            assert min(picture.size) > 300


def test_the_front_page_is_a_page():
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 160
