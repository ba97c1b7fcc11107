"""Who reads the truth of the demo's test videos, and that the documents name all of them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("extract", "heads", "blend")
MAKE_IT = {"extract/demo/corpus.py", "extract/demo/picture_corpus.py"}
HANDS_IT_OVER = "blend/pipeline.py"
"""To `blend.submission.test_score`, after the submission is written."""
READERS = {f"blend/studies/{name}.py" for name in ("ablation", "finetuned", "more_heads", "sequences", "synthetic")}
READERS |= {"blend/studies/peers/__main__.py"}
TRUTH = re.compile(r'(?:where|\.paths\(.*\))\["truth"\]|= read_demo\(')
"""What asks an embedded corpus for where its truth is, or is given it read."""


def test_the_readers_of_test_truth_are_counted_and_named():
    found, mentions = set(), set()
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        if TRUTH.search(text) and not name.startswith("extract/demo/"):
            found.add(name)
        if "test_truth" in text or "import final_score" in text:
            mentions.add(name)
    assert found == {HANDS_IT_OVER, *READERS}
    assert mentions - READERS == {*MAKE_IT, HANDS_IT_OVER}, "no other way to it"
    make = (ROOT / HANDS_IT_OVER).read_text(encoding="utf-8")
    assert make.count('["truth"]') == 1 and make.index("submission.write(") < make.index("test=_score_on_test(")
    for document in ("blend/submission/test_score.py", "README.md", "blend/README.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for reader in READERS:
            command = reader.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
            assert f"`{command}`" in text, (document, reader)
