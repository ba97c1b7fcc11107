import json
import os

import numpy as np
import pytest

from extract.features import store
from extract.runtime.errors import InputError


def some(n: int = 4) -> store.VideoFeatures:
    rng = np.random.default_rng(n)
    return store.VideoFeatures(
        np.arange(1, n + 1, dtype=np.int32),
        rng.normal(size=(n, 6)).astype(np.float16),
        rng.normal(size=(n, 8)).astype(np.float32),
        None,
    )


def test_what_is_written_is_read_with_its_types(tmp_path):
    path = store.path(tmp_path, "net", "video")
    store.write(path, some(), {"mark": "m"})
    read = store.read(path)
    for kind in ("frame", "embedding", "logits"):
        np.testing.assert_array_equal(getattr(read, kind), getattr(some(), kind))
    assert (read.frame.dtype, read.embedding.dtype, read.logits.dtype) == (np.int32, np.float16, np.float32)
    assert read.va is None and read.has() == ("embedding", "logits")
    assert (
        store.read_about(path).keys() == {"mark", "content", "arrays", "checksum"}
        and store.read_about(path)["mark"] == "m"
    )


def test_the_content_hash_follows_the_arrays_alone(tmp_path):
    changed = some()
    changed.logits[1, 2] += 1
    for name, features, mark in (("a", some(), "m"), ("b", some(), "other"), ("c", changed, "m")):
        store.write(tmp_path / name, features, {"mark": mark})
    a, b, c = (store.read_about(tmp_path / name)["content"] for name in "abc")
    assert a == b != c


def test_the_same_features_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        store.write(tmp_path / name, some(), {"mark": "m", "network": "n", "versions": "v"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_video_without_a_face_has_no_rows(tmp_path):
    store.write(tmp_path / "a", some(0), {})
    assert store.read(tmp_path / "a").embedding.shape == (0, 6)


@pytest.mark.parametrize("length", [0, 5, 40, -1])
def test_a_file_cut_short_is_not_done_and_is_named(tmp_path, length):
    path = tmp_path / "a.safetensors"
    store.write(path, some(), {"mark": "m"})
    path.write_bytes(path.read_bytes()[:length])
    assert store.read_about(path) is None
    with pytest.raises(InputError, match=r"a\.safetensors: damaged feature file"):
        store.read(path)


def test_every_changed_bit_is_noticed(tmp_path):
    """Of the header, the metadata and the arrays: refused, or (spaces of the header) nothing has changed."""
    path, rng = tmp_path / "a.safetensors", np.random.default_rng(0)
    store.write(path, some(), {"mark": "m", "outputs": '["a", "b"]'})
    whole = path.read_bytes()
    for at in rng.integers(0, len(whole), 400):
        bent = bytearray(whole)
        bent[at] ^= 1 << rng.integers(8)
        path.write_bytes(bent)
        try:
            read, about = store.read(path), store.read_about(path)
        except InputError as error:
            assert "a.safetensors: " in str(error)
            continue
        assert chr(whole[at]).isspace() and about == store.read_about(path)
        for kind in ("frame", "embedding", "logits"):
            np.testing.assert_array_equal(getattr(read, kind), getattr(some(), kind))


def test_the_hash_of_an_array_sees_bits_signs_and_exchanges():
    rng = np.random.default_rng(0)
    for shape, kind in (((700, 96), np.float16), ((3001, 8), np.float32), ((0, 8), np.float32), ((90_000,), np.int32)):
        whole = rng.normal(size=shape).astype(kind) if kind != np.int32 else np.arange(*shape, dtype=kind)
        known = store.array_hash(whole)
        assert store.array_hash(whole.copy()) == known != store.array_hash(whole.reshape(-1, 1, *shape[1:]))
        for _ in range(50 if whole.size else 0):
            bent = whole.copy()
            bent.reshape(-1).view(np.uint8)[rng.integers(bent.nbytes)] ^= 1 << rng.integers(8)
            assert store.array_hash(bent) != known
            rows = rng.choice(len(whole), 2, replace=False)
            bent = whole.copy()
            bent[rows] = bent[rows[::-1]]
            assert store.array_hash(bent) != known
        if whole.size:
            assert store.array_hash(-whole) != known
            assert store.array_hash(whole[::-1]) != known
            half = whole.reshape(-1).copy()
            half[::2] *= -1
            assert store.array_hash(half.reshape(shape)) != known


def test_files_of_before_there_were_hashes_are_read(tmp_path):
    from safetensors.numpy import save

    about = json.dumps({"mark": "m", "content": "c"})
    (tmp_path / "a").write_bytes(save({"frame": some().frame, "logits": some().logits}, {"about": about}))
    np.testing.assert_array_equal(store.read(tmp_path / "a").logits, some().logits)


def test_the_advice_fits_where_the_features_are_from(tmp_path):
    for name in ("a", "b"):
        store.write(tmp_path / f"{name}.safetensors", some(), {"table": "x.csv"})
    (tmp_path / "a.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"delete it and import the table again: python -m extract\.tabular"):
        store.read(tmp_path / "a.safetensors")


def test_videos_are_listed_without_half_written_ones(tmp_path):
    for video in ("b", "a.b"):
        store.write(store.path(tmp_path, "net", video), some(), {})
    (tmp_path / "features" / "net" / ".c.safetensors.12.part").touch()
    assert store.videos(tmp_path, "net") == ["a.b", "b"]
    with pytest.raises(InputError, match=r"no features of network 'other'"):
        store.videos(tmp_path, "other")
    with pytest.raises(InputError, match=r"no such feature file; run python -m extract\.run"):
        store.read(tmp_path / "none.safetensors")


FRAMES, VECTORS = np.arange(1, 4, dtype=np.int32), np.ones((3, 5), np.float16)
ODD_ARRAYS = (
    {"frame": FRAMES, "embedding": np.ones(3, np.float16)},
    {"frame": FRAMES, "embedding": np.ones((3, 5, 2), np.float16)},
    {"frame": FRAMES, "embedding": np.array(1, np.float16)},
    {"frame": FRAMES, "embedding": VECTORS[:, :0]},
    {"frame": FRAMES, "embedding": VECTORS[:2]},
    {"frame": FRAMES, "embedding": VECTORS.astype(np.float64)},
    {"frame": FRAMES[:, None], "embedding": VECTORS},
    {"frame": np.array(1, np.int32), "embedding": VECTORS},
    {"frame": FRAMES.astype(np.float32), "embedding": VECTORS},
    {"embedding": VECTORS},
)
ODD_METADATA = (
    "[" * 50_000,
    json.dumps({"mark": ["m"]}),
    json.dumps({"mark": "m", "columns": json.dumps({"logits": 3})}),
    json.dumps({"mark": "m", "columns": "[]"}),
    json.dumps({"mark": "m", "outputs": "[]"}),
    json.dumps({"mark": "m", "outputs": json.dumps([[1]])}),
    json.dumps({"mark": "m", "unreadable": json.dumps([1])}),
    json.dumps({"mark": "m", "unreadable": "["}),
)


def test_odd_shapes_and_metadata_are_refused_by_every_reader(tmp_path):
    from safetensors.numpy import save

    from heads.data import feature_file

    path = store.path(tmp_path, "net", "v")
    path.parent.mkdir(parents=True)
    good = {"frame": FRAMES, "embedding": VECTORS}
    path.write_bytes(save(good, {"about": json.dumps({"mark": "m"})}))
    assert store.read(path).has() == ("embedding",) and feature_file.index(path)[1] == {"embedding": 5}
    files = [save(arrays, {"about": json.dumps({"mark": "m"})}) for arrays in ODD_ARRAYS]
    for number, content in enumerate([*files, *(save(good, {"about": about}) for about in ODD_METADATA)]):
        path.write_bytes(content)
        for read in (store.read, feature_file.index, lambda one: feature_file.read(one, ["embedding"], "net")):
            with pytest.raises(InputError, match=r"v\.safetensors: damaged feature file"):
                read(path)
        assert store.read_about(path) is None, number
        with pytest.raises(InputError, match="damaged feature file"):
            feature_file.mark(tmp_path, "net", ["v"])


def test_a_named_pipe_is_no_feature_file(tmp_path):
    from heads.data import feature_file

    path = store.path(tmp_path, "net", "v")
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert store.read_about(path) is None
    for read in (store.read, feature_file.index):
        with pytest.raises(InputError, match="a named pipe, expected a feature file"):
            read(path)
