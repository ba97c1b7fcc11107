"""Small files that would take gigabytes: each is refused in one line, or read in less than one."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from extract.runtime import file_names, inputs, limits
from extract.runtime.errors import InputError

CHILD = """
import sys
from pathlib import Path
from extract.runtime.errors import InputError
from extract.media.images import UnreadablePicture
from extract.media.video import BrokenVideo
path = Path(sys.argv[1])
def peak():
    # not ru_maxrss, which begins with what the process had that forked this one
    [said] = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
    return int(said.split()[1]) >> 10
said = ""
try:
    {call}
except (InputError, UnreadablePicture, BrokenVideo) as error:
    said = str(error)
print(peak())
print(said)
"""
MEGABYTES = 1000


def child(path: Path, call: str) -> str:
    """What a call says of a file, in a process of its own that must stay below MEGABYTES at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(call=call), path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peak, said = done.stdout.splitlines()[-2:] if done.stdout.count("\n") > 1 else (done.stdout, "")
    assert int(peak) < MEGABYTES, (peak, said)
    return said


IMPORT = "from extract.tabular import importer; importer.main(path, 'theirs', path.parent / 'work')"
PREDICTIONS = (
    "from blend.pool import external; from heads.abaw.tasks import TASKS; external.read_external(path, TASKS['va'])"
)
PICTURE = "from extract.media import images; images.read(path, 112, 'rgb')"


def constant(path: Path, millions: int) -> Path:
    """A Parquet table of so many million equal rows."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = pa.table({name: pa.repeat(pa.scalar(1, pa.int32()), 1_000_000) for name in ("frame", "x")})
    with parquet.ParquetWriter(path, rows.schema) as file:
        for _ in range(millions):
            file.write_table(rows)
    return path


def test_a_table_of_more_rows_than_there_are_frames_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = constant(tmp_path / "x.parquet", 6)
    assert path.stat().st_size < 100_000
    for call in (IMPORT, PREDICTIONS, "from heads.data import people; people.read_table(path)"):
        assert "6,000,000 rows, expected 5,000,000 at most" in child(path, call)


@pytest.mark.slow
def test_100_million_rows_stay_under_a_gigabyte_and_so_do_as_many_as_are_taken(tmp_path: Path) -> None:
    for call in (IMPORT, PREDICTIONS):
        assert "100,000,000 rows" in child(constant(tmp_path / "x.parquet", 100), call)
    assert "frame 1 of video 'x' is there twice" in child(constant(tmp_path / "x.parquet", 5), IMPORT)


def test_a_long_string_that_every_row_repeats_is_in_memory_once(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path, count = tmp_path / "x.parquet", 20_000  # of 2 MB: 40 GB as strings
    video = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), ["v" * 2_000_000])
    columns = {
        "video": video,
        "frame": np.arange(1, count + 1),
        **dict.fromkeys(("valence", "arousal"), np.zeros(count)),
    }
    parquet.write_table(pa.table(columns).cast(pa.schema(
        [("video", pa.dictionary(pa.int32(), pa.string())), ("frame", pa.int32()), ("valence", pa.float32()),
         ("arousal", pa.float32())])), path, dictionary_pagesize_limit=2**24)  # fmt: skip
    assert path.stat().st_size < 2_000_000
    assert "is 2000000 bytes long" in child(path, IMPORT)
    child(path, PREDICTIONS)


def test_a_table_that_unpacks_to_much_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from extract.media import tables

    for name, values in (("zeros", np.zeros(9999)), ("noise", np.random.default_rng(0).normal(size=9999))):
        path = tmp_path / f"{name}.parquet"
        parquet.write_table(pa.table({"frame": values}), path, use_dictionary=False, compression="zstd")
    assert tables.read_columns(tmp_path / "zeros.parquet").raw
    monkeypatch.setattr(limits, "CELL_BYTES", 9999)
    with pytest.raises(InputError, match="bytes, unpacked, expected"):
        tables.read_columns(tmp_path / "zeros.parquet")
    assert tables.read_columns(tmp_path / "noise.parquet").raw


def png(path: Path, edge: int) -> Path:
    """A white square, without its pixels ever being in memory."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * (3 * edge)
    pixels = b"".join(packer.compress(row) for _ in range(edge)) + packer.flush()
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


@pytest.mark.slow
def test_pictures_of_more_pixels_than_8k_are_refused_and_others_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    large = png(tmp_path / "00001.png", 13_000)
    assert "13000x13000 pixels, expected 64,000,000 at most" in child(large, PICTURE)
    assert "13000x13000 pixels" in child(large, "from extract.media import video; next(video.read(path))")
    assert child(png(tmp_path / "00002.png", 7_900), "from extract.media import images; images.bgr(path)") == ""


def test_a_picture_of_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "00001.jpg"
    with open(path, "wb") as file:
        file.truncate(10**10)
    assert "has 10,000,000,000 bytes, expected at most" in child(path, PICTURE)


def test_frames_of_a_video_that_claim_gigabytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gif"
    from PIL import Image

    Image.new("P", (8, 8)).save(path, save_all=True, append_images=[Image.new("P", (8, 8), 1)])
    data = bytearray(path.read_bytes())
    data[6:10] = struct.pack("<HH", 60_000, 60_000)
    path.write_bytes(data)
    assert child(path, "from extract.media import video; [0 for _ in video.read(path)]")


def test_a_network_whose_few_bytes_ask_for_gigabytes_is_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Add", ["mean", "sum"], ["pooled"]),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", 3, 1, 1])],
        [numpy_helper.from_array(np.array([100_000, 20_000]), "shape")],
    )
    path = tmp_path / "mine.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7).SerializeToString()
    )
    call = "from extract.engines import graph; from extract.networks.registry import NETWORKS"
    call += "; graph.expose(path, NETWORKS['demo_enet'])"
    assert "'zeros' in it has the shape [100000, 20000]" in child(path, call)


def test_smoothing_over_more_frames_than_a_video_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    table = {"task": "va", "outputs": ["valence", "arousal"], "heads": ["x"], "weights": {"x": 1.0}, "k": 10**9,
             "kernel": "gaussian", "prior": {"valence": 0.0, "arousal": 0.0}}  # fmt: skip
    path.write_text(json.dumps(table))
    read = "from blend import apply; blend = apply.read(path)"
    assert f"{path}: k 1000000000; expected whole numbers >= 0, up to 1,000,000" in child(path, read)
    path.write_text(json.dumps(table | {"k": limits.K}))
    smooth = f"{read}; from blend.decision import smooth; smooth.gaussian_weights(blend.params.k)"
    assert child(path, smooth) == ""
    path.write_text('[corpus]\nname = "x"\n[blend.va]\nk = 1000000001\n')
    config = "from extract import config; from blend.config import Config; config.load(Config, path)"
    assert "'blend.va.k'" in child(path, config)


def test_a_frame_number_that_would_make_a_timeline_of_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    read = "from heads.abaw import test_list; from heads.abaw.tasks import TASKS; test_list.read(path, TASKS['va'])"
    path.write_text("image_location,valence,arousal\nx/00001.jpg,\nx/9000000.jpg,\n")
    assert "line 3 lists frame 9000000 of the video 'x', of which only 2 frames are listed" in child(path, read)
    path.write_text("image_location,valence,arousal\nx/2147483647.jpg,\n")
    assert "line 2 lists frame 2147483647" in child(path, read)
    path = tmp_path / "val.csv"
    path.write_text("video,frame,valence,arousal\nx,2147483647,0,0\n")
    assert "video 'x' frame 2147483647: no video has so many frames" in child(path, PREDICTIONS)


def test_an_archive_that_unpacks_to_gigabytes_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        with archive.open("x/data/0", "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
    call = "from extract.networks import checkpoints; checkpoints.read_state(path, trusted=True)"
    assert "unpacks to 67,108," in child(path, call)


@pytest.mark.slow
def test_a_pickle_that_numbers_its_objects_by_billions_is_no_checkpoint(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "x.pt"
    call = "from extract.networks import checkpoints; checkpoints.read_state(path, trusted=True)"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")  # in C, a list of 2**31 objects
    assert "x.pt: cannot be read as a PyTorch checkpoint" in child(path, call)
    torch.save({"a": torch.zeros(9999)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    assert child(path, call) == ""
    path.write_bytes(whole.replace(b"M\x0f'", b"J\xff\xff\xff\x7f"))  # 9,999 numbers are 2**31 - 1
    assert "2147483647 numbers are in a file of" in child(path, call)


def test_deep_and_long_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    toml = "from extract.runtime import inputs; inputs.read_toml(path)"
    for text, said in (
        (".".join("ab" * 20_000) + " = 1", "a key of more than 50 parts"),
        (".".join(["'a b'"] * 5_000) + " = 1", "a key of more than 50 parts"),
        ("x = " + "[" * 60 + "]" * 60, "more than 50 tables and lists"),
        ("x = " + "[" * 9999, "not valid TOML"),
        ("x = " + "9" * 5000, "4300 digits"),
        ("#" * (limits.TOML_BYTES + 1), "expected at most 1,048,576"),
    ):
        path.write_text(text)
        assert said in child(path, toml), said
    assert (
        inputs.parse_toml("[a.b.c.d]\ne.f.g.'h i' = [[[1]]]\nx = 'a.b.c.d.e.f'", "x")["a"]["b"]["c"]["d"]["x"]
        == "a.b.c.d.e.f"
    )
    json_of = "from extract.runtime import run_folder; run_folder.read_json(path, 'give another')"
    for text, said in (("[" * 10**6, "tables and lists"), ('{"a":' * 60 + "1" + "}" * 60, "tables and lists"),
                       ('{"a": ' + "9" * 5000 + "}", "4300 digits")):  # fmt: skip
        path.write_text(text)
        assert said in child(path, json_of)
    with open(path, "wb") as file:
        file.truncate(limits.JSON_BYTES + 1)
    assert "67,108,865 bytes, expected at most" in child(path, json_of)


def test_numbers_of_frames() -> None:
    assert [limits.frame(text) for text in ("1", "00012", "2147483647")] == [1, 12, 2**31 - 1]
    assert not any(
        limits.frame(text) for text in ("", "0", "2147483648", "-1", "+1", "1_0", "²", "٣", "9" * 4301, "1.0")
    )


def test_depth() -> None:
    nested: object = 1
    for _ in range(limits.NESTING):
        nested = [nested]
    assert not limits.is_deep(nested) and limits.is_deep([nested]) and limits.is_deep({"a": nested})


def test_one_length_for_every_name_that_becomes_a_file() -> None:
    longest = "x" * limits.NAME_BYTES
    for kind in (file_names.VIDEO, "network", "head", "corpus"):
        assert file_names.check(kind, longest) == longest
        with pytest.raises(InputError, match=f"is {limits.NAME_BYTES + 1} bytes long"):
            file_names.check(kind, longest + "x")
