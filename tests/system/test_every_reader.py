"""One walk: the same nasty files for every reader of `tests/readers.py`; and readers that are not in that table."""

from __future__ import annotations

import ast
import itertools
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import mutations, readers
from support.refusals import refusal

ROOT = Path(__file__).parents[2]


def walk(tmp_path: Path, every: int) -> dict[str, int]:
    """Give every reader one in `every` nasty files, others than its neighbour; how many each refused."""
    refused = dict.fromkeys((row.name for row in readers.table()), 0)
    for number, row in enumerate(readers.table()):
        for what, content in itertools.islice(mutations.whole_files(row.seed), number % every, None, every):
            place = tmp_path / f"{row.name} {what}".replace("/", " ")
            place.mkdir()
            (place / row.file).write_bytes(content)
            try:
                refused[row.name] += bool(said := refusal(row.read, place / row.file))
                assert len(said) < 2200, said
            except BaseException as error:
                error.add_note(f"{row.name}: {what}: {place / row.file}")
                raise
    return refused


def test_nasty_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    refused = walk(tmp_path, every=6)
    assert sum(map(bool, refused.values())) > 0.9 * len(refused), refused


@pytest.mark.slow
def test_every_nasty_file_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    few = {name for name, count in walk(tmp_path, every=1).items() if count < 10}
    assert few == {"au submission", "expr submission", "va submission"}, "of a submission problems are listed"


def specials(place: Path, name: str) -> Iterator[tuple[str, Path]]:
    """What may lie at a path in place of a file, and the path."""

    def path(what: str) -> Path:
        (place / what).mkdir()
        return place / what / name

    yield "nothing", path("nothing")
    (folder := path("folder")).mkdir()
    yield "folder", folder
    (link := path("dangling")).symlink_to("nowhere")
    yield "dangling", link
    (loop := path("loop")).symlink_to(loop)
    yield "loop", loop
    os.mkfifo(pipe := path("pipe"))
    yield "pipe", pipe
    (zeros := path("zeros")).symlink_to("/dev/zero")
    yield "zeros", zeros
    with socket.socket(socket.AF_UNIX) as open_one:
        here = os.getcwd()
        os.chdir((path("socket")).parent)  # a socket's path has at most 107 characters
        try:
            open_one.bind(name)
        finally:
            os.chdir(here)
        yield "socket", place / "socket" / name
    yield "name of 300 bytes", path("long").with_name("x" * 300 + Path(name).suffix)
    yield "name with a zero byte", path("zero").with_name("x\0" + name)
    if os.geteuid():
        (locked := path("locked")).write_bytes(b"")
        locked.chmod(0)
        yield "locked", locked


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    for number, row in enumerate(readers.table()):
        (place := tmp_path / str(number)).mkdir()
        for what, path in specials(place, row.file):
            if row.name in ("--set", "networks on record") or (
                row.name == "text of a folder" and what.startswith("name")
            ):
                continue  # whose path is no user's
            # whoever opens the pipe after all is let go, and found out by the time that it took
            freed = threading.Timer(5, lambda path=path: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
            if what == "pipe":
                freed.start()
            try:
                assert refusal(row.read, path), "no refusal"
                assert what != "pipe" or freed.is_alive(), "waited for a pipe"
            except BaseException as error:
                error.add_note(f"{row.name}: {what}")
                raise
            finally:
                freed.cancel()


OPENERS = {
    "open", "os.open", "read_text", "read_bytes", "read_csv", "open_csv", "read_table", "ParquetFile", "open_parquet",
    "safe_open", "load_file", "imread", "VideoCapture", "FaceDetectorYN", "PyTorchFileReader", "onnx.load", "av.open",
    "streams.open_container", "Image.open", "torch.load", "np.load", "read_toml", "read_json", "read_utf8",
}  # fmt: skip
"""What opens a file; names with a dot are looked for as they stand, others as whatever is before them."""
OWN = {
    "its own results": """
        heads.finetune.__main__.command extract.pretrain.__main__.command extract.learning.pictures.has_mended_pictures
        extract.learning.pictures.print_failures extract.learning.export.export_module
        extract.runtime.inputs.load_json
        extract.features.provenance.redo_since extract.features.pictures.run extract.runtime.run_folder.write_whole
        extract.runtime.run_folder.log_file extract.runtime.run_folder.results extract.demo.corpus.is_done
        extract.demo.corpus.has_sound extract.demo.picture_corpus.is_done
        extract.enlarge._check_made_by
        extract.networks.facts.read_folds
        extract.demo.corpus.clear_other_version heads.run._keep_prior heads.run._facts
        heads.train.out_of_fold.collect heads.train.job.main heads.train.job.read heads.train.job._keep_bags
        heads.tune.search._keep_best
        blend.pool.inputs.prepare_inputs blend.pool.inputs.find_inputs blend.multitask._is_of
        blend.dry_run._read_seconds blend.report.facts._seconds blend.report.html.index.write
        blend.report.schema.read blend.multitask.join blend.predict.folder.make
        blend.predict.folder._work blend.pool.networks.keep_networks blend.predict.source.find_faces
        blend.submission.write.write blend.predict.trained_blends._json heads.data.lazy_block._read
        """,
    "models, whose hashes are compared before (tests/system/test_hostile_folders.py)": """
        heads.train.model._read heads.data.arrays.read_npz heads.data.arrays.read_tensors heads.data.temporal.load
        heads.families.lama.head.load heads.families.lightgbm_head.load heads.families.mlp.head.load
        heads.families.pretrained_head.load heads.families.sequence.head.load
        """,
    "a few bytes of a text that may be anything, looked for words": "blend.init._header extract.jobs.slurm._end_of",
    "written only": """
        extract.media.synthetic.write_video extract.networks.weights._download
        heads.data.arrays.write_npz blend.predict.video_writer.write
        blend.predict.frames._write_video blend.predict.stream._new_file
        heads.families.lama.boosters.of_catboost
        """,
    "between processes": """
        extract.jobs.worker.find_difference extract.runtime.process.job extract.jobs.local.read_log
        blend.search.worker.unpack_search blend.predict.trained_blends._quiet
        """,
    "the system's": "extract.runtime.memory.measure_peak extract.engines.calibration._read_system",
    "nothing, in the place of closed output": """
        extract.runtime.errors._open_streams extract.runtime.errors._nobody_reads
        extract.jobs.fork_server.__init__
        """,
    "the border itself": """
        extract.runtime.inputs.read_bytes extract.runtime.inputs.read_utf8 extract.runtime.inputs.read_text
        extract.runtime.inputs.read_toml extract.runtime.run_folder.read_json
        """,
    "bytes, of a file that is known to be one": """
        extract.runtime.run_folder.file_hash blend.dashboard.storage_of extract.networks.weights.blob_hash
        heads.data.people.read
        """,
    "checkpoints of its own, looked at before (tests/extract/learning/test_train.py)": """
        extract.learning.checkpoint.read_position extract.learning.checkpoint.load
        """,
    "networks, which engines have read before, or whose every kind of damage is refused": """
        extract.networks.facts.read extract.learning.start._read_chain extract.enlarge._only_output
        extract.learning.encoder._load
        """,
    "what comes at stdin, whose nasty bytes are tried in tests/extract/media/test_live.py": "extract.media.live._open",
    "opened by its reader before": """
        extract.media.tables.parse_rows blend.predict.video_writer._open_sound blend.submission.folder._frames_of
        """,
}
"""Functions that open files that are no user's, or that another reader has looked at."""
ASIDE = ("bench", "ablation", "train_networks", "studies")
"""Parts of names of modules that measure and read only what they wrote."""


def opener(function: ast.expr) -> str:
    """The name of a called function that opens a file; "" for another."""
    last = getattr(function, "attr", getattr(function, "id", ""))
    if last not in {name.rpartition(".")[2] for name in OPENERS}:
        return ""
    name = ast.unparse(function)
    return name if name in OPENERS or last in OPENERS - {"open"} else ""


def opening() -> Iterator[tuple[str, str]]:
    """Every function that opens a file, by module and name, and the call."""
    for package in ("extract", "heads", "blend"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if any(part in module for part in ASIDE):
                continue
            functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                         if isinstance(node, ast.FunctionDef)]  # fmt: skip
            for function in functions:
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and (name := opener(call.func)):
                        yield f"{module}.{function.name}", name


def test_every_function_that_opens_a_file_is_a_reader_in_the_table() -> None:
    looked_at = {name for row in readers.table() for name in row.opens.split()}
    known = looked_at | {name for names in OWN.values() for name in names.split()}
    found = dict(opening())
    assert len(found) > 60
    missing = {name: call for name, call in found.items() if name not in known}
    assert not missing, f"new readers: give them a row in tests/readers.py, or a reason in OWN: {missing}"
    gone = known - set(found)
    assert not gone, f"no such readers any more: {sorted(gone)}"


@pytest.mark.parametrize("call", ["open(path)", "Image.open(path)", "path.read_text()", "pq.ParquetFile(path)"])
def test_the_search_finds_calls(call: str) -> None:
    assert opener(ast.parse(call).body[0].value.func)  # type: ignore[attr-defined]
