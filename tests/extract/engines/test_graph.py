"""The mean over a picture and its mirror image, whichever answer comes first, from a real network too."""

import threading

import numpy as np
import pytest

from extract.engines import create
from extract.engines.graph import Engine, MirrorMean
from extract.networks.registry import NETWORKS

NETWORK = NETWORKS["demo_enet"]


class LateAnswers(Engine):
    """Answers with a picture's columns; all at once in flush, each on a thread of its own, in an order of one's own."""

    widths, network, runs, remark = {"logits": 4}, NETWORK, "", ""

    def __init__(self, order: list[int]) -> None:
        self.asked, self.order = [], order

    def submit(self, picture, done):
        self.asked.append((picture[0, :, 0].astype(np.float32), done))

    def flush(self):
        for at in self.order:
            columns, done = self.asked[at]
            thread = threading.Thread(target=done, args=({"logits": columns},))
            thread.start()
            thread.join()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3]])
def test_each_picture_gets_the_mean_of_its_own_two_answers_once(order):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 3), np.uint8)
    engine, answers = MirrorMean(LateAnswers(order)), [[], []]
    for picture, answer in zip(pictures, answers, strict=True):
        engine.submit(picture, answer.append)
    engine.flush()
    for picture, answer in zip(pictures, answers, strict=True):
        columns = picture[0, :, 0].astype(float)
        assert len(answer) == 1
        np.testing.assert_array_equal(answer[0]["logits"], (columns + columns[::-1]) / 2)


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_a_network_gives_the_mean_of_both_and_the_same_for_the_mirror_image(kind):
    picture = np.random.default_rng(1).integers(0, 256, (NETWORK.size, NETWORK.size, 3), np.uint8)
    other = np.ascontiguousarray(picture[:, ::-1])
    alone = create.create(kind, NETWORK.path, NETWORK, "fp32")
    one, two = alone.run(picture), alone.run(other)
    both = create.create(kind, NETWORK.path, NETWORK, "fp32", mirror=True)
    assert both.widths == alone.widths
    found, again = both.run(picture), both.run(other)
    for output in both.widths:
        np.testing.assert_allclose(found[output], (one[output].astype(float) + two[output]) / 2, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found[output], again[output], rtol=0, atol=1e-5)
        assert np.abs(one[output] - two[output]).max() > 1e-3, "the two sides differ, or the test shows nothing"
