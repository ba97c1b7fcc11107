import subprocess
from dataclasses import replace

import pytest

from extract.networks import weights
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError

ROW = NETWORKS["enet_b0_8_va_mtl"]


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file served from a file: address, and a row that names its hash."""
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "source.onnx"
    path.write_bytes(b"the network" * 1000)
    return replace(ROW, url=path.as_uri(), blob=weights.blob_hash(path)), path


def test_the_blob_hash_is_gits(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 99)
    git = subprocess.run(["git", "hash-object", "--no-filters", str(path)], capture_output=True, text=True, check=True)
    assert weights.blob_hash(path) == git.stdout.strip()


def test_a_network_is_fetched_once_into_the_cache(source):
    row, path = source
    fetched = weights.find(row)
    assert fetched.read_bytes() == path.read_bytes() and fetched == weights.cache() / "enet_b0_8_va_mtl.onnx"
    path.unlink()
    assert weights.find(row) == fetched
    assert [file.name for file in weights.cache().iterdir()] == [fetched.name]


def test_a_damaged_download_is_refused_and_not_kept(source):
    row, path = source
    path.write_bytes(b"an error page")
    with pytest.raises(InputError, match=r"git blob hash is \w{40}, expected \w{40} for network 'enet_b0_8_va_mtl'"):
        weights.find(row)
    assert not list(weights.cache().iterdir())


def test_one_flipped_byte_in_the_cache_is_refused(source):
    row, _ = source
    fetched = weights.find(row)
    damaged = bytearray(fetched.read_bytes())
    damaged[500] ^= 1
    fetched.write_bytes(damaged)
    with pytest.raises(InputError, match=r"enet_b0_8_va_mtl\.onnx: git blob hash"):
        weights.find(row)


def test_without_network_the_message_says_where_to_put_which_file(source):
    row, path = source
    path.unlink()
    with pytest.raises(
        InputError, match=r"cache/enet_b0_8_va_mtl\.onnx: not there, .*put it at that path.*AFFECT_HEADS_CACHE"
    ):
        weights.find(row)


def test_a_given_path_is_used_and_verified(tmp_path):
    path = tmp_path / "own.onnx"
    own = replace(ROW, path=path, blob=None, url=None)
    with pytest.raises(InputError, match=r"own\.onnx: no such file.*networks\.enet_b0_8_va_mtl\.path"):
        weights.find(own)
    path.write_bytes(b"x")
    assert weights.find(own) == path
    with pytest.raises(InputError, match=r"own\.onnx: SHA-256 hash is \w{64}, expected 00"):
        weights.find(replace(own, sha256="00"))


def test_the_shipped_networks_are_the_ones_that_their_rows_describe():
    for row in NETWORKS.values():
        if row.path is not None:
            assert weights.find(row).stat().st_size <= 2 * 2**20


def test_every_file_that_is_missing_is_named_and_where_to_say_where_they_are(source, tmp_path):
    row, path = source
    path.unlink()
    rows = [row, replace(NETWORKS["enet_b2_8"], url=path.as_uri()), NETWORKS["demo_enet"]]
    with pytest.raises(InputError) as raised:
        weights.fetch_missing(rows, tmp_path / "given")
    said = str(raised.value)
    assert f"missing, too: {weights.cache() / 'enet_b2_8.onnx'}" in said and "demo_enet" not in said
    assert (
        "(features.weights)" in said and f"{tmp_path / 'given'} (features.weights) has no enet_b0_8_va_mtl.onnx" in said
    )
    weights.fetch_missing([NETWORKS["demo_enet"]], None)
