"""The demo's multi-task files: what is annotated is what the other files say, or missing."""

import numpy as np
import pytest

from extract.demo import affect, multitask, plan


@pytest.mark.parametrize("name", ["demo-01", "demo-02", "demo-05", "demo-13_right", "demo-22"])
def test_lines_say_what_the_annotations_say_or_that_it_is_missing(name):
    row = plan.video(name)
    lines = [line.split(",") for line in multitask.write_annotation(plan.SEED, row).splitlines()]
    frames = [int(cells[0].split("/")[1][:5]) for cells in lines]
    assert frames == list(range(1, row.frames + 1, multitask.FRAME_STEP)) and {
        cells[0].split("/")[0] for cells in lines
    } == {name}
    numbers = np.array([cells[1:] for cells in lines], float)
    assert numbers.shape[1] == 15
    for task, part, missing in (("va", slice(0, 2), -5), ("expr", slice(2, 3), -1), ("au", slice(3, 15), -1)):
        truth = plan.annotation(plan.SEED, name, task)[np.array(frames) - 1]
        said = numbers[:, part]
        same = np.isclose(said, truth, atol=1e-9).all(1)
        assert (same | (said == missing).any(1)).all()
        known = (said != missing).all(1)
        if task in row.tasks:
            assert 0.4 < known.mean() < 0.95 and (known <= same).all()
        else:
            assert not known.any()


def test_every_mix_of_invalid_parts_occurs_and_the_bytes_repeat():
    text = "".join(multitask.write_annotation(plan.SEED, row) for row in plan.DEMO_VIDEOS if row.part == "train")
    assert text == "".join(
        multitask.write_annotation(plan.SEED, row) for row in plan.DEMO_VIDEOS if row.part == "train"
    )
    mixes = set()
    for line in text.splitlines():
        numbers = list(map(float, line.split(",")[1:]))
        mixes.add((min(numbers[:2]) > -5, numbers[2] >= 0, min(numbers[3:]) >= 0))
    assert len(mixes) == 8


def test_the_list_names_the_same_frames():
    row = plan.video("demo-22")
    listed = multitask.write_list(row).splitlines()
    assert listed[:2] == ["demo-22/00001.jpg,", "demo-22/00003.jpg,"] and len(listed) == -(-row.frames // 2)
    assert multitask.HEADER.count(",") == 15 and affect.AU_NAMES[-1] in multitask.HEADER
