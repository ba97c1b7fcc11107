"""Engines that stay: one for a file as it is, a network and its settings."""

import os
import shutil
from dataclasses import replace

import numpy as np

from extract.engines import create
from extract.networks.registry import NETWORKS


def test_an_engine_is_made_once_for_a_file_a_network_and_a_precision(tmp_path):
    network = NETWORKS["demo_enet"]
    path = shutil.copy(network.path, tmp_path / "net.onnx")
    network = replace(network, path=path)
    engines = create.EngineCache()
    first = engines.create("openvino", path, network, "fp32")
    assert engines.create("openvino", path, network, "fp32") is first
    black = np.zeros((network.size, network.size, 3), np.uint8)
    new = create.create("openvino", path, network, "fp32").run(black)
    np.testing.assert_array_equal(first.run(black)["embedding"], new["embedding"])
    assert engines.create("openvino", path, replace(network, colour="bgr"), "fp32") is not first
    os.utime(path, (1, 1))  # another file, for all we know
    assert engines.create("openvino", path, network, "fp32") is not first
    engines.clear()
    os.utime(path, (1, 1))
    assert engines.create("openvino", path, network, "fp32") is not first
