"""Enlarging a folder: what pictures become, goes on after a kill, other programs' results, and bad input."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from extract import enlarge
from extract.runtime.errors import InputError

SIDE = 12


def make_pictures(root: Path, count: int = 4, side: int = SIDE) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        path = root / ("ANGRER", "FEAR")[i % 2] / f"{i}.{'png' if i % 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 255, (4, 4, 3), np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return root


def opened(path: Path) -> Image.Image:
    picture = Image.open(path)
    picture.load()  # and closes the file
    return picture


def network(path: Path, times: int = 4, outputs: int = 1, scale: float = 1.0) -> Path:
    """ONNX: pixels repeated `times` times and inverted, 1 - x."""
    sizes = numpy_helper.from_array(np.array([1, 1, times, times], np.float32), "sizes")
    one = numpy_helper.from_array(np.array(scale, np.float32), "one")
    nodes = [
        helper.make_node("Resize", ["picture", "", "sizes"], ["large"], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("Sub", ["one", "large"], ["output"]),
    ]  # fmt: skip
    extra = [helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, None) for i in range(outputs - 1)]
    nodes += [helper.make_node("Identity", ["large"], [item.name]) for item in extra]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, "h", "w"])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "sr", [picture], [output, *extra], [sizes, one])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_lanczos_makes_what_pil_makes_under_the_same_names(tmp_path):
    root = make_pictures(tmp_path / "faces")
    report = enlarge.main(root, tmp_path / "out")
    assert report.pictures == 4 and not report.failures and not report.taken_over
    for picture in root.rglob("*.png"):
        large = opened(tmp_path / "out" / picture.relative_to(root))
        wanted = opened(picture).convert("RGB").resize((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
        assert large.format == "PNG"
        np.testing.assert_array_equal(np.asarray(large), np.asarray(wanted))
    jpeg = opened(tmp_path / "out" / "ANGRER" / "0.jpg")
    assert jpeg.format == "JPEG" and jpeg.size == (2 * SIDE, 2 * SIDE)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_network_makes_it_four_times_as_large_then_it_is_reduced_to_twice(tmp_path, engine):
    root = make_pictures(tmp_path / "faces", 6)
    opened(root / "FEAR" / "1.png").resize((8, 8)).save(root / "FEAR" / "1.png")  # of another size
    enlarge.main(root, tmp_path / "out", str(network(tmp_path / "sr.onnx")), engine=engine)
    for picture in root.rglob("*.png"):
        before = np.asarray(opened(picture).convert("RGB"))
        four = Image.fromarray(255 - before.repeat(4, 0).repeat(4, 1))
        wanted = four.resize((2 * len(before), 2 * len(before)), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(np.asarray(opened(tmp_path / "out" / "FEAR" / picture.name)), wanted)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    root = make_pictures(tmp_path / "faces", 9)
    enlarge.main(root, tmp_path / "whole")
    write, left = enlarge._write, [3]

    def dying(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(enlarge, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        enlarge.main(root, tmp_path / "out")
    pictures = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.[jp][pn]g")}
    assert len(pictures) == 3
    monkeypatch.setattr(enlarge, "_write", write)
    enlarge.main(root, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures, "what was finished is not made again"
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_results_of_another_program_are_taken_over_under_the_originals_names(tmp_path):
    root = make_pictures(tmp_path / "faces")
    (tmp_path / "out" / "ANGRER").mkdir(parents=True)
    Image.new("RGB", (5, 5), "red").save(tmp_path / "out" / "ANGRER" / "0_out.jpg")
    Image.new("RGB", (5, 5), "red").save(tmp_path / "out" / "ANGRER" / "2_out.png")
    report = enlarge.main(root, tmp_path / "out")
    assert report.taken_over == 2 and not list((tmp_path / "out").rglob("*_out*"))
    assert [opened(tmp_path / "out" / "ANGRER" / name).size for name in ("0.jpg", "2.jpg")] == [(5, 5)] * 2
    assert enlarge.main(root, tmp_path / "out").taken_over == 0


def test_pictures_that_cannot_be_read_are_named_and_tried_again(tmp_path):
    root = make_pictures(tmp_path / "faces")
    good = (root / "FEAR" / "1.png").read_bytes()
    (root / "FEAR" / "1.png").write_bytes(b"no picture")
    report = enlarge.main(root, tmp_path / "out")
    assert list(report.failures) == ["FEAR/1.png"] and (tmp_path / "out" / enlarge.FAILURES).exists()
    assert not (tmp_path / "out" / "FEAR" / "1.png").exists()
    (root / "FEAR" / "1.png").write_bytes(good)
    assert not enlarge.main(root, tmp_path / "out").failures and (tmp_path / "out" / "FEAR" / "1.png").exists()
    assert not (tmp_path / "out" / enlarge.FAILURES).exists()


def test_a_picture_that_is_not_square_is_no_crop_for_a_network(tmp_path):
    root = make_pictures(tmp_path / "faces", 2)
    Image.new("RGB", (10, 20)).save(root / "FEAR" / "1.png")
    report = enlarge.main(root, tmp_path / "out", str(network(tmp_path / "sr.onnx")))
    assert report.failures == {"FEAR/1.png": "10x20 pixels, expected a square crop of a face"}


def test_other_settings_need_another_folder_or_redo(tmp_path):
    root = make_pictures(tmp_path / "faces", 2)
    enlarge.main(root, tmp_path / "out")
    with pytest.raises(InputError, match="out: made with network lanczos, times 2; now asked for are lanczos, 3"):
        enlarge.main(root, tmp_path / "out", times=3)
    enlarge.main(root, tmp_path / "out", times=3, redo=True)
    assert opened(tmp_path / "out" / "FEAR" / "1.png").size == (3 * SIDE, 3 * SIDE)


def wrong_shape(folder: Path) -> str:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["picture"], ["output"], axes=[2, 3], keepdims=0)],
        "mean",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "x.onnx")
    return str(folder / "x.onnx")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (wrong_shape, r"x\.onnx: gives 3 numbers of a picture of 12x12 pixels, expected 3 x 12s x 12s"),
        (lambda folder: str(network(folder / "x.onnx", scale=255.0)), r"x\.onnx: gives values up to 254 of a grey"),
        (lambda folder: str(network(folder / "x.onnx", outputs=2)), r"x\.onnx: has the outputs output, more0; name"),
        (lambda folder: str(folder / "gone.onnx"), r"gone\.onnx.*expected an ONNX file, a checkpoint"),
        (lambda folder: str(make_pictures(folder / "p") / "FEAR" / "1.png"), r"1\.png: not an ONNX network"),
    ],
)
def test_a_network_of_a_wrong_shape_is_refused_in_one_line(tmp_path, make, said):
    root = make_pictures(tmp_path / "faces")
    given = make(tmp_path)
    with pytest.raises(InputError, match=said) as refused:
        enlarge.main(root, tmp_path / "out", given)
    assert "\n" not in str(refused.value)
    assert contents(root) == contents(make_pictures(tmp_path / "again")), "nothing is lost"


@pytest.mark.parametrize(
    ("folder", "out", "said"),
    [
        ("gone", "out", "gone: no such folder, expected a folder of pictures"),
        ("faces/FEAR/1.png", "out", r"1\.png: a file, expected a folder of pictures"),
        ("empty", "out", "empty: no pictures in it"),
        ("faces", "faces", "lies in the folder that is enlarged"),
        ("faces", "faces/x2", "lies in the folder that is enlarged"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path, folder, out, said):
    make_pictures(tmp_path / "faces")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        enlarge.main(tmp_path / folder, tmp_path / out)
