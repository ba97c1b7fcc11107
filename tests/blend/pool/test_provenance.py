"""Runs that overlap: what a blend's provenance says is what it was made of, and its results are its own settings'."""

import json
import shutil
import threading
from contextlib import ExitStack

import pytest

from blend import run
from blend.config import RunRequest
from blend.pool import inputs as blend_inputs
from blend.pool import provenance
from extract.runtime import run_folder
from extract.runtime.errors import InputError

KEYS = ("params.json", "submission.txt")
QUICK = {"trials": 20, "fold_trials": 1, "draws": 100, "folds": 2, "select_folds": 2}


def blended(corpus):
    return [(corpus.work / "blend" / "va" / key).read_bytes() for key in KEYS]


def holds_what_it_says(corpus, files):
    """Whether provenance.json has the hashes of `files`, the validation predictions by head."""
    said = json.loads((corpus.work / "blend" / "va" / "provenance.json").read_text())["heads"]
    return said == {head: run_folder.file_hash(path) for head, path in files.items()}


@pytest.fixture
def pair(make_corpus, monkeypatch):
    """A corpus whose heads are learnt anew by whoever calls heads.run: seed 0's predictions, or seed 1's."""
    corpus, other = make_corpus("va", 0, "here", test=1), make_corpus("va", 1, "there", test=1)
    kept = {0: corpus.folder / "seed0", 1: corpus.folder / "seed1"}
    shutil.copytree(corpus.work / "heads", kept[0])
    shutil.copytree(corpus.work / "heads", kept[1])
    for head in corpus.heads:  # another seed's predictions of the same videos
        one = blend_inputs.predictions.read(kept[0] / "va" / head / "val.parquet", corpus.task)
        less = {video: (frames, scores * 0.5) for video, (frames, scores) in one.videos.items()}
        blend_inputs.predictions.write(
            kept[1] / "va" / head / "val.parquet", blend_inputs.predictions.Predictions(one.outputs, less)
        )
    assert other.task is corpus.task

    def learn(config, task, work, seed=0, only=None, hold=None, *_):
        with ExitStack() as here:
            (hold or here).enter_context(run_folder.hold_folder(corpus.work / "heads" / "va"))
            for head in corpus.heads:
                shutil.copy(kept[seed] / "va" / head / "val.parquet", corpus.heads[head] / "val.parquet")
        return corpus.heads

    monkeypatch.setattr("heads.run.main", learn)
    corpus.kept, corpus.learn = kept, learn
    return corpus


def files(corpus, seed):
    return {head: corpus.kept[seed] / "va" / head / "val.parquet" for head in corpus.heads}


def test_whoever_learns_the_heads_anew_at_whatever_moment_the_blend_is_its_own(pair, monkeypatch):
    config, out = pair.config(**QUICK), pair.work / "blend" / "va"
    run.main(config, "va", pair.work, seed=0)
    undisturbed = blended(pair)
    assert holds_what_it_says(pair, files(pair, 0))
    shutil.rmtree(out)

    holding, make = run_folder.hold_folder, blend_inputs.load_pools
    moments = []

    def intrude():
        """Another command learns the heads with seed 1: it waits for the heads like any."""
        thread = threading.Thread(target=pair.learn, args=(config, "va", pair.work, 1))
        thread.start()
        return thread

    def held(folder):
        if folder == out:  # while the blend waits for its folder
            moments.append("wait")
            intrude().join()
        return holding(folder)

    def read(sources):
        moments.append("read")
        threads.append(intrude())
        return make(sources)

    threads = []
    monkeypatch.setattr(run_folder, "hold_folder", held)
    monkeypatch.setattr(blend_inputs, "load_pools", read)
    run.main(config, "va", pair.work, seed=0)
    for thread in threads:
        thread.join()
    assert moments == ["read", "wait"]
    assert blended(pair) == undisturbed and holds_what_it_says(pair, files(pair, 0))
    assert all(path.read_bytes() == (pair.heads[h] / "val.parquet").read_bytes() for h, path in files(pair, 1).items())

    monkeypatch.setattr(run_folder, "hold_folder", holding)
    monkeypatch.setattr(blend_inputs, "load_pools", make)
    run.main(config, "va", pair.work, seed=1)
    assert blended(pair) != undisturbed and holds_what_it_says(pair, files(pair, 1))


@pytest.mark.slow
def test_a_folder_that_was_finished_and_is_anothers_when_it_is_held_is_made_anew(pair, monkeypatch):
    config, out = pair.config(**QUICK), pair.work / "blend" / "va"
    run.main(config, "va", pair.work, seed=1)
    run.main(config, "va", pair.work, seed=0)
    undisturbed, holding, waits = blended(pair), run_folder.hold_folder, []

    def held(folder):
        if folder == out:
            waits.append(folder)
            if len(waits) == 1:  # seed 0 found its results and waits; seed 1 makes its own meanwhile
                monkeypatch.setattr(run_folder, "hold_folder", holding)
                run.main(config, "va", pair.work, seed=1)
                monkeypatch.setattr(run_folder, "hold_folder", held)
        return holding(folder)

    monkeypatch.setattr(run_folder, "hold_folder", held)
    run.main(config, "va", pair.work, seed=0)
    assert len(waits) == 2 and blended(pair) == undisturbed and holds_what_it_says(pair, files(pair, 0))


def test_files_that_are_written_while_they_are_read_are_read_again(make_corpus, monkeypatch):
    corpus = make_corpus("va")
    _, sources = blend_inputs.prepare_inputs(corpus.config(), RunRequest("va", corpus.work))
    pools, reads = blend_inputs.load_pools, []

    def read(sources):
        found = pools(sources)
        reads.append(found)
        if len(reads) <= writes:
            with open(corpus.val / "val0.txt", "a", encoding="utf-8") as handle:
                handle.write("0.5,0.5\n")
        return found

    monkeypatch.setattr(blend_inputs, "load_pools", read)
    writes = 2
    known, found = provenance.read_steady(sources, lambda _: False)
    assert len(reads) == 3 and found is reads[-1] and known.hashes == blend_inputs.hash_inputs(sources)
    writes = 100
    with pytest.raises(InputError, match="task 'va' change while they are read; start again"):
        provenance.read_steady(sources, lambda _: False)
    assert provenance.read_steady(sources, lambda _: True)[1] is None
