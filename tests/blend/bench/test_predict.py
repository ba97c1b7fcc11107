"""The long video that blend.predict is measured on."""

import av
import numpy as np
import pytest

from blend.bench import predict
from extract.runtime.errors import WorkError


def test_the_face_moves_and_is_away_for_two_seconds_of_a_minute(tmp_path):
    predict.make(tmp_path / "long.mp4", 60)
    with av.open(str(tmp_path / "long.mp4")) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == predict.RATE
    assert len(frames) == 60 and frames[0].shape == (predict.HEIGHT, predict.WIDTH, 3)
    grey = [bool((np.abs(frame.astype(int) - 90) < 12).all()) for frame in frames]
    assert grey == [True] * 50 + [False] * 10


def test_a_prediction_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(WorkError, match="exit code 2"):
        predict.main([tmp_path / "no blend"], 0.01, None)
