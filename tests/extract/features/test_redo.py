"""A killed --redo goes on where it was, asked again or not; a finished one leaves nothing."""

import os

import pytest

from extract.features import provenance


def test_without_being_asked_features_may_be_of_any_age(tmp_path):
    assert provenance.redo_since(tmp_path, "a", asked=False) is None


@pytest.mark.parametrize("asked", [False, True])
def test_a_killed_redo_goes_on_since_when_it_began(tmp_path, asked):
    began = provenance.redo_since(tmp_path, "a", asked=True)
    assert began is not None and provenance.redo_since(tmp_path, "a", asked=asked) == began


def test_features_by_something_else_begin_anew(tmp_path):
    provenance.redo_since(tmp_path, "a", asked=True)
    os.utime(tmp_path / provenance.STAMP, (1, 1))
    assert provenance.redo_since(tmp_path, "b", asked=False) is None
    assert provenance.redo_since(tmp_path, "b", asked=True) > 10**9


def test_a_finished_redo_is_over(tmp_path):
    provenance.redo_since(tmp_path, "a", asked=True)
    provenance.finish_redo(tmp_path)
    provenance.finish_redo(tmp_path)
    assert provenance.redo_since(tmp_path, "a", asked=False) is None and not list(tmp_path.iterdir())
