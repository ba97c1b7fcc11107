"""A blend applied elsewhere writes the very bytes that the main job wrote."""

import json
import shutil
import subprocess
import sys

import pytest

from blend import apply, run
from blend.combine import Params
from extract.errors import InputError
from heads.tasks import TASKS


@pytest.fixture
def finished(make_corpus):
    """finished(task) -> (corpus, folder of its finished blend)."""

    def make(name, **settings):
        corpus = make_corpus(name)
        run.main(corpus.config(fold_trials=1, folds=2, **settings), name, corpus.work)
        return corpus, corpus.work / "blend" / name

    return make


@pytest.mark.parametrize("name", TASKS)
def test_the_same_bytes_without_labels_and_without_a_study(finished, tmp_path, name):
    corpus, blend = finished(name)
    given = {}
    for head, folder in corpus.heads.items():
        given[head] = tmp_path / "elsewhere" / head
        given[head].mkdir(parents=True)
        shutil.copy(folder / "test.parquet", given[head])
    shutil.copy(blend / "params.json", tmp_path)
    shutil.rmtree(corpus.work / "heads")
    apply.main(apply.read(tmp_path / "params.json"), given, corpus.test, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == (blend / "submission.txt").read_bytes()
    assert "test2/" in (tmp_path / "out.txt").read_text()  # the video without a face, from the prior


def test_a_head_without_weight_is_not_needed_and_one_with_weight_is(finished, tmp_path, capsys):
    corpus, blend = finished("va")
    table = json.loads((blend / "params.json").read_text())
    table["weights"] = {"head0": 0.5, "head1": 0.0, "head2": 0.5}
    (tmp_path / "params.json").write_text(json.dumps(table))
    given = {head: corpus.heads[head] for head in ("head0", "head2")}
    apply.main(apply.read(tmp_path / "params.json"), given, corpus.test, tmp_path / "two.txt")
    apply.main(apply.read(tmp_path / "params.json"), corpus.heads, corpus.test, tmp_path / "three.txt")
    assert (tmp_path / "two.txt").read_bytes() == (tmp_path / "three.txt").read_bytes()
    assert "does not use head1" in capsys.readouterr().err
    with pytest.raises(InputError, match="no predictions of 'head2'; give --predictions head2=FOLDER"):
        apply.main(
            apply.read(tmp_path / "params.json"), {"head0": corpus.heads["head0"]}, corpus.test, tmp_path / "x.txt"
        )


def test_a_prior_of_ones_own(finished, tmp_path):
    corpus, blend = finished("au")
    own = tmp_path / "prior.json"
    own.write_text(json.dumps({output: 0.999 for output in TASKS["au"].outputs}))
    apply.main(apply.read(blend / "params.json", own), corpus.heads, corpus.test, tmp_path / "out.txt")
    ones = [line for line in (tmp_path / "out.txt").read_text().splitlines() if line.startswith("test2/")]
    assert ones and all(line.endswith(",1" * 12) for line in ones)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("prior"), "holds no prior for videos without a face; give one with --prior"),
        (lambda t: t["prior"].pop("valence"), "the prior of 'valence' is None, expected a number"),
        (lambda t: t["prior"].update(valence=3), "the prior of 'valence' is 3"),
        (lambda t: t.pop("weights"), "weights"),
        (lambda t: t.update(outputs=["arousal", "valence"]), "outputs"),
    ],
)
def test_params_that_are_not_complete(tmp_path, change, said):
    table = Params("va", TASKS["va"].outputs, ("a", "b"), (0.25, 0.75)).as_json()
    table["prior"] = {"valence": 0.25, "arousal": 0.125}
    (tmp_path / "params.json").write_text(json.dumps(table))
    assert apply.read(tmp_path / "params.json").prior == table["prior"]
    change(table)
    (tmp_path / "params.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match=said):
        apply.read(tmp_path / "params.json")


def test_the_command_line(finished, tmp_path):
    corpus, blend = finished("expr")
    command = [sys.executable, "-m", "blend.apply", str(blend / "params.json"), "--test", str(corpus.test)]
    command += ["--out", str(tmp_path / "out.txt")]
    for head, folder in corpus.heads.items():
        command += ["--predictions", f"{head}={folder}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_bytes() == (blend / "submission.txt").read_bytes()
    assert "predicted from the prior: test2" in done.stdout
    (tmp_path / "bad.json").write_text("{")
    done = subprocess.run([*command[:3], str(tmp_path / "bad.json"), *command[4:]], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path / 'bad.json'}: not readable as JSON")
