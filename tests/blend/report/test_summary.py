"""What `--json` says of a report."""

from blend.report import summary


def test_main_numbers_and_files_that_are_there(make_corpus, monkeypatch):
    from blend import run

    corpus = make_corpus("va")
    report = run.main(corpus.config(), "va", corpus.work, submissions=2)
    folder = corpus.work / "blend" / "va"
    found = summary.summarise_briefly(report, folder)
    assert found["expected"] == report["cross_fitted"]["pooled"] == report["ways"]["cross_fitted"]["cross_fitted"]
    assert found["submitted"] == report["ways"]["cross_fitted"]["tuned"]
    assert found["searched"] == report["ways"]["tuned"]["tuned"] != found["submitted"]
    held = {name: one["cross_fitted"] for part in ("baselines", "ways") for name, one in report[part].items()}
    assert found["leader"]["score"] == max(held.values())
    assert found["best_head"]["score"] == max(report["heads"].values())
    assert {"submission.txt", "params.json", "report.html", "submissions/1_cross_fitted.txt"} <= set(found["files"])
    (folder / "report.html").unlink()
    assert "report.html" not in summary.summarise_briefly(report, folder)["files"]


def test_what_cannot_be_scored_is_none(tmp_path):
    report = {
        "task": "au",
        "metric": "m",
        "expected": None,
        "interval": None,
        "submitted": None,
        "searched": None,
        "equal": None,
    }
    report |= {"heads": {"a": None}, "test": None, "seed": 0, "seconds": 1.0, "submissions": None}
    found = summary.summarise_briefly(report, tmp_path)
    assert found["expected"] is None and found["best_head"] is None and found["files"] == {}


def test_the_multi_task_report_has_its_parts(tmp_path):
    part = {"expected": 0.3, "interval": [0.2, 0.4], "submitted": 0.5, "searched": 0.6}
    report = {"task": "mtl", "metric": "P", "expected": 0.9, "interval": [0.6, 1.2], "submitted": 1.5, "equal": 1.0}
    report |= {"searched": 1.8}
    report |= {
        "best_heads": 1.1,
        "test": 0.8,
        "seed": 0,
        "seconds": 1.0,
        "submissions": [{"file": "submissions/1.txt"}],
    }
    found = summary.summarise_briefly(report | {"parts": {"va": part, "expr": part, "au": part}}, tmp_path)
    assert found["expected"] == 0.9 and found["test"] == 0.8 and found["best_head"]["score"] == 1.1
    assert found["parts"]["au"] == part
