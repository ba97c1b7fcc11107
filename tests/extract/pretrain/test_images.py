"""Pictures of any folders, what is held out, and random views."""

import numpy as np
import pytest
import torch
from PIL import Image

from extract.config import PretrainSettings
from extract.pretrain import images
from extract.runtime.errors import InputError


@pytest.fixture
def tree(tmp_path):
    for folder in ("a", "b/deep", "b/clip_left", "b/clip_right", "c", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (4, 4)).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "a" / "notes.txt").write_text("none")
    (tmp_path / "loop").symlink_to(tmp_path)
    return tmp_path


def test_every_folder_below_is_read_once_and_strided(tree):
    found = images.list_pictures([tree], 2)
    assert [str(folder.relative_to(tree)) for folder in found.folders] == [
        "a", "b/clip_left", "b/clip_right", "b/deep", "c",
    ]  # fmt: skip
    assert found.names == ("0.png", "2.png", "4.png") * 5 and all(found.path(row).is_file() for row in range(15))
    assert len(images.list_pictures([tree / "a"], 1)) == 6


def test_whole_recordings_are_held_out_or_single_pictures(tree):
    pictures, sides = images.list_pictures([tree], 1), {"clip_left", "clip_right"}
    together = set()
    for seed in range(12):
        learnt, held = images.hold_out(pictures, PretrainSettings(held_out=0.3), seed, "p")
        there = [{folder.name for folder in part.folders} for part in (learnt, held)]
        assert not there[0] & there[1] and len(learnt) + len(held) == 30
        assert len(there[1] - sides) + bool(there[1] & sides) == 2, "a third of four recordings, rounded up"
        assert not there[1] & sides or sides <= there[1]
        together.add(sides <= there[1])
    assert together == {True, False}
    learnt, held = images.hold_out(pictures, PretrainSettings(held_out_by="picture"), 0, "p")
    assert len(held) == 3 and len(learnt) == 27


def test_too_little_is_one_line(tree, tmp_path):
    with pytest.raises(InputError, match=r'found 1 of folders .* at least two.*held_out_by = "picture"'):
        images.hold_out(images.list_pictures([tree / "a"], 1), PretrainSettings(), 0, "p")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no picture"):
        images.list_pictures([tmp_path / "empty"], 1)
    with pytest.raises(InputError, match=r"gone: no such folder"):
        images.list_pictures([tmp_path / "gone"], 1)


def test_a_view_shows_a_part_of_its_picture_mirrored_or_not():
    ramp = torch.arange(32.0).expand(1, 3, 32, 32)
    sides = set()
    for row in range(40):
        views = images.draw_views(np.array([row]), 4, 0, 0, crop=0.2, flip=True)
        columns = images.show(ramp, views)[0, 0].mean(0)
        steps = columns.diff()[2:-2]
        sides.add(bool(steps.mean() > 0))
        assert columns.min() >= -0.6 and columns.max() <= 31.6
        high, wide = abs(float(views.transforms[0, 1, 1])), abs(float(views.transforms[0, 0, 0]))
        assert abs(float(steps.abs().mean()) - wide) < 0.02, "so many columns of the picture in one of the view"
        assert 0.2 * 0.75 <= wide * high <= 1
    assert sides == {True, False}


def test_without_crops_and_mirrors_a_view_is_the_picture():
    picture = torch.rand(2, 3, 16, 16)
    whole = images.show(picture, images.draw_views(np.arange(2), 4, 0, 0))
    torch.testing.assert_close(whole, picture, atol=1e-5, rtol=0)
    mirrored = [images.draw_views(np.array([row]), 4, 0, 0, flip=True) for row in range(9)]
    shown = [images.show(picture[:1], views) for views in mirrored]
    found = {float((view - picture[:1].flip(3)).abs().max()) < 1e-5 for view in shown}
    assert found == {True, False}
