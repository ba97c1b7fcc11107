"""The data's facts against counting by hand; train is read from its folder."""

from types import SimpleNamespace

import numpy as np
import pytest

from blend.report import facts as report_facts


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_facts_are_those_of_the_annotations(make_pool, make_corpus, name):
    pool, corpus = make_pool(name), make_corpus(name)
    facts = report_facts.describe_data(pool, corpus.val)
    assert facts["validation"]["filled"] == 0 and facts["validation"]["videos"] == len(pool.videos)
    texts = [path.read_text().splitlines()[1:] for path in sorted(corpus.val.glob("*.txt"))]
    rows = [np.array([[float(x) for x in line.split(",")] for line in text]) for text in texts]
    valid = [(row != pool.task.unlabelled_value).all(1) for row in rows]
    train = facts["train"]
    assert train["videos"] == len(texts) and train["frames"] == sum(map(len, texts))
    assert train["labelled"] == sum(int(v.sum()) for v in valid) == train["frames"] - train["unlabelled"]
    for c, (output, one) in enumerate(train["outputs"].items()):
        if name == "va":
            own = np.concatenate([row[v][:, c] for row, v in zip(rows, valid, strict=True)])
            assert one["mean"] == pytest.approx(own.mean(), abs=1e-6)
            assert one["std"] == pytest.approx(own.std(), abs=1e-6)
            assert sum(one["frames"]) == train["labelled"]
            assert one["frames"][-1] == int((own >= 0.8).sum())
        else:
            on = [
                (row[v][:, 0] == c) if name == "expr" else row[v][:, c] == 1 for row, v in zip(rows, valid, strict=True)
            ]
            assert one["rate"] == pytest.approx(np.concatenate(on).mean()), output
            assert one["videos"] == sum(part.any() for part in on)


def test_without_training_annotations_there_is_only_validation(make_pool):
    facts = report_facts.describe_data(make_pool("au"), None)
    assert facts["train"] is None and facts["validation"]["outputs"]["AU1"]["frames"] >= 0


def test_how_a_report_was_made_hides_passwords_and_knows_what_heads_took(make_corpus, monkeypatch):
    corpus = make_corpus("va")
    head = corpus.work / "heads" / "va" / "mine"
    (head / "model").mkdir(parents=True)
    (head / "model" / "learnt.json").write_text('{"seconds": 12.5}')
    (head / "report.json").write_text('{"seconds": 13.75}')
    sources = SimpleNamespace(project_heads={"mine": head, "other": corpus.work})
    given = ["/usr/bin/python3", "-m", "blend.run", "--task", "va", "--storage", "postgresql://me:p@ss@host/db"]
    monkeypatch.setattr("sys.orig_argv", given)
    facts = report_facts.describe_making(corpus.config(), sources)
    assert facts["command"] == "python -m blend.run --task va --storage 'postgresql://***@host/db'"
    assert facts["heads"] == {"mine": {"learn": 12.5, "predict": 1.25}}
    assert facts["config"] == corpus.config().model_dump(mode="json")
    monkeypatch.setattr("sys.orig_argv", ["/usr/bin/python3", "/opt/bin/affect-heads", "run", "--task", "a b"])
    assert report_facts.describe_making(corpus.config(), sources)["command"] == "affect-heads run --task 'a b'"


def test_a_copy_that_was_never_installed_has_no_version(make_corpus, monkeypatch):
    def none_of_that(name):
        raise report_facts.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(report_facts.metadata, "version", none_of_that)
    facts = report_facts.describe_making(make_corpus("va").config(), SimpleNamespace(project_heads={}))
    assert facts["version"] == "unknown" and facts["heads"] == {}
