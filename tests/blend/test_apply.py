"""A blend applied elsewhere writes the very bytes that the main job wrote."""

import json
import shutil
import sys

import numpy as np
import pytest
import typer
from support import command_server
from typer.testing import CliRunner

from blend import apply
from blend.decision.combine import Params
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS


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


def test_it_scores_on_annotations(finished, tmp_path):
    """The file against the truth by plain reading; and on validation what the main job said."""
    for name, task in TASKS.items():
        corpus, blend = finished(name, folder=f"corpus_{name}")
        params, out = apply.read(blend / "params.json"), tmp_path / f"{name}.txt"
        found = apply.main(params, corpus.heads, corpus.test, out, corpus.truth).scored
        truth, said = [], []
        lines = dict(line.split(",", 1) for line in out.read_text().splitlines()[1:])
        for path in sorted(corpus.truth.glob("*.txt")):
            for frame, line in enumerate(path.read_text().splitlines()[1:], start=1):
                values = [float(x) for x in line.split(",")]
                if task.unlabelled_value not in values:
                    truth.append(values)
                    said.append([float(x) for x in lines[f"{path.stem}/{frame:05d}.jpg"].split(",")])
        pairs = [np.array(part, np.float32)[:, 0] if name == "expr" else np.array(part, np.float32)
                 for part in (truth, said)]  # fmt: skip
        assert found["score"] == pytest.approx(task.score(*(p if name == "va" else p.astype(int) for p in pairs)))
        assert found["frames"] == len(truth) and found["videos"] == 3 and found["videos_without_annotation"] == []
        report = json.loads((blend / "report.json").read_text())
        on_val = apply.main(params, corpus.heads, None, None, corpus.val)
        assert on_val.scored["score"] == pytest.approx(report["submitted"], abs=1e-9)
        assert on_val.scored["per_output"] == pytest.approx(report["per_output"], abs=1e-9)
        assert on_val.videos_without_predictions == ["val4"]


def test_annotations_of_other_videos_are_counted_or_refused(finished, tmp_path):
    corpus, blend = finished("va")
    params = apply.read(blend / "params.json")
    shutil.copytree(corpus.truth, tmp_path / "some")
    (tmp_path / "some" / "test0.txt").unlink()
    found = apply.main(params, corpus.heads, corpus.test, None, tmp_path / "some").scored
    assert found["videos_without_annotation"] == ["test0"] and found["videos"] == 2
    with pytest.raises(InputError, match=r"no valid annotation of any frame that .*test\.txt lists"):
        apply.main(params, corpus.heads, corpus.test, None, corpus.val)
    with pytest.raises(InputError, match="nothing says which frames"):
        apply.main(params, corpus.heads, None, None)
    app = typer.Typer()
    app.command()(apply.command)
    command = [str(blend / "params.json"), "--annotations", str(corpus.val)]
    for head, folder in corpus.heads.items():
        command += ["--predictions", f"{head}={folder}"]
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert told["file"] is None and told["scored"]["metric"] == "mean CCC"
    words = CliRunner().invoke(app, command).stdout
    assert f"mean CCC {told['scored']['score']:.4f} on {told['scored']['frames']} frames of 5 videos" in words


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
    done = command_server.run(command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_bytes() == (blend / "submission.txt").read_bytes()
    assert "predicted from the prior: test2" in done.stdout
    (tmp_path / "bad.json").write_text("{")
    done = command_server.run([*command[:3], str(tmp_path / "bad.json"), *command[4:]])
    assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path / 'bad.json'}: not readable as JSON")
