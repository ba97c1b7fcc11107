"""The search beats what it starts from, repeats itself, and goes on where it was."""

import itertools
import os
import pickle
from dataclasses import replace

import numpy as np
import optuna
import pytest
from support.sweeps import sweep

from blend.config import BlendSettings
from blend.decision import combine
from blend.search import search
from blend.search.journal import TrialJournal
from blend.search.shared_search import Memory
from extract.runtime.errors import InputError

TASKS = ["au", "expr", "va"]
QUICK = BlendSettings(trials=30)


@pytest.mark.parametrize("name", TASKS)
def test_the_result_is_no_worse_than_any_start(make_pool, name):
    pool = make_pool(name)
    found = search.search(pool, QUICK, 30, seed=0)
    starts = [trial for trial in found.trials if trial.start is not None]
    names = {"head head0", "head head1", "head head2", "equal", "greedy", "refined"}
    assert {trial.start for trial in starts} == names
    assert found.score >= max(trial.score for trial in starts) - 1e-6
    for weights in (*np.eye(3).tolist(), [1 / 3] * 3):
        plain = combine.Params(name, pool.task.outputs, pool.heads, tuple(weights), "box", 0,
                               (0.5,) * 12 if name == "au" else None)  # fmt: skip
        assert found.score >= pool.score(combine.combine(pool, plain))
    assert found.score == pool.score(combine.combine(pool, found.params))
    assert sum(found.params.weights) == pytest.approx(1) and len(found.trials) == 30


@pytest.mark.parametrize("name", TASKS)
def test_one_head_without_smoothing_is_that_head(make_pool, name):
    pool = make_pool(name, heads=1)
    fixed = {"thresholds": "fixed"} if name == "au" else {}
    found = search.search(pool, BlendSettings(k_max=0, **fixed), 1, seed=0)
    scores = pool.scores[0][pool.known_truth.rows]
    direct = {"au": scores >= 0.5, "expr": scores.argmax(1), "va": scores}[name]
    assert found.score == pool.task.score(pool.known_truth.values, direct)
    assert found.params.weights == (1.0,) and found.params.k == 0
    assert {trial.start for trial in found.trials} == {"head head0", "equal", "greedy"}


@pytest.mark.parametrize("settings", [QUICK, BlendSettings(kernels=["box", "gaussian"], k_max=0)])
def test_the_space_that_the_sampler_is_told_is_what_optuna_finds_all_trials_to_have(
    make_pool, monkeypatch, tmp_path, settings
):
    compared = []

    def compare(sampler, study, trial):
        told = infer(sampler, study, trial)
        found = optuna.samplers.TPESampler.infer_relative_search_space(sampler, study, trial)
        compared.append((list(told.items()), list(found.items())))
        return told

    infer = search._Sampler.infer_relative_search_space
    monkeypatch.setattr(search._Sampler, "infer_relative_search_space", compare)
    interrupted(make_pool("va"), settings, 30, 0, tmp_path, stop=20)
    assert compared and all(told == found != [] for told, found in compared)
    compared.clear()
    search.search(make_pool("va", heads=2), BlendSettings(), 200, 0)  # draws after trials that name no parameter
    assert all(told == found for told, found in compared) and compared[0][0] and not compared[-1][0]


class Stopped(Exception):
    pass


def interrupted(pool, settings, trials, seed, folder, stop):
    """The result of a search that was stopped after `stop` trials and then went on from its journal."""
    left = stop

    def one_more():
        nonlocal left
        left -= 1
        if left < 0:
            raise Stopped

    with TrialJournal(folder / "study.db", pool.task.name, {"mark": 0}) as journal, pytest.raises(Stopped):
        search.search(pool, settings, trials, seed, journal, one_more)
    with TrialJournal(folder / "study.db", pool.task.name, {"mark": 0}) as journal:
        assert 0 < len(journal.trials()) < trials
        resumed = search.search(pool, settings, trials, seed, journal)
        assert len(journal.trials()) == trials
    return resumed


@pytest.mark.parametrize(
    ("stop", "name"),
    sweep(itertools.product([0, 13, 19, 22], TASKS), [(0, "va"), (13, "expr"), (19, "au"), (22, "au")]),
)
def test_a_stopped_search_goes_on_to_the_same_result(make_pool, tmp_path, name, stop):
    """Among the starts, at the draws, at the refinement."""
    pool = make_pool(name)
    assert interrupted(pool, QUICK, 24, 3, tmp_path, stop) == search.search(pool, QUICK, 24, seed=3)


def test_seeds_differ_and_repeat(make_pool):
    pool = make_pool("va")
    one, again, other = (search.search(pool, QUICK, 20, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.trials != other.trials


def test_every_kernel_can_be_searched(make_pool):
    pool = make_pool("va", length=(20, 30))
    settings = BlendSettings(kernels=["box", "gaussian", "median"], k_max=5)
    found = search.search(pool, settings, 60, seed=0)
    assert {trial.kernel for trial in found.trials} == {"box", "gaussian", "median"}
    assert max(trial.k for trial in found.trials) <= 5


def test_degenerate_pools_are_searched(make_pool):
    """Constant heads, one frame, classes that never occur."""
    for name in TASKS:
        pool = make_pool(name, videos=1, length=(2, 3))
        constant = replace(pool, scores=np.full_like(pool.scores, 0.5))
        for some in (pool, constant):
            assert np.isfinite(search.search(some, QUICK, 18, seed=0).score)


OPTIONS = [
    ("au", {"thresholds": "search"}),
    ("au", {"thresholds": "fixed"}),
    ("au", {"thresholds": "pulled"}),
    ("au", {"per_output_weights": True, "per_output_k": True}),
    ("expr", {"bias": "prior", "filter": "head1"}),
    ("expr", {"bias": "free"}),
    ("expr", {"bias": "pulled", "per_output_k": True}),
    ("va", {"scale": True, "shift": True}),
    ("va", {"scale": True, "kernels": ["box", "median"], "k_max": 4}),
    ("va", {"per_output_weights": True}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_every_optional_part_is_searched_kept_and_resumed(make_pool, tmp_path, name, options):
    pool = make_pool(name)
    settings = BlendSettings(select="tuned", **options)
    through = search.search(pool, settings, 30, seed=1)
    assert through.score == pool.score(combine.combine(pool, through.params))
    assert interrupted(pool, settings, 30, 1, tmp_path, 27) == through


def test_optional_parts_help_where_they_are_found(make_pool):
    plain, other = {}, {}
    for name, options in OPTIONS:
        pool = make_pool(name)
        if name not in plain:
            plain[name] = search.search(pool, BlendSettings(), 60, seed=0).score
        found = search.search(pool, BlendSettings(select="tuned", **options), 60, seed=0)
        other[name, tuple(options)] = found.score - plain[name]
        params = found.params
        assert (params.scale is not None) == bool(options.get("scale") or options.get("shift"))
        assert (params.bias is not None) == ("bias" in options)
        assert isinstance(params.k, tuple) == bool(options.get("per_output_k"))
        assert any(isinstance(w, tuple) for w in params.weights) == bool(options.get("per_output_weights"))
        assert (params.thresholds is not None) == (name == "au")
        if options.get("thresholds") == "fixed":
            assert set(params.thresholds) == {0.5}
    assert other["au", ("per_output_weights", "per_output_k")] > 0
    assert other["va", ("scale", "shift")] > 0 and other["va", ("per_output_weights",)] > -1e-6
    assert other["expr", ("bias",)] > 0


def test_cmaes_draws_and_resumes(make_pool, tmp_path):
    pytest.importorskip("cmaes")
    pool = make_pool("va")
    settings = BlendSettings(sampler="cmaes")
    through = search.search(pool, settings, 50, seed=1)
    assert len({trial.point for trial in through.trials if trial.start is None}) > 10
    assert interrupted(pool, settings, 50, 1, tmp_path, 30) == through


def test_a_pickle_in_the_trials_of_cmaes_is_not_run(make_pool, tmp_path):
    """Optuna's CMA-ES keeps its state as a pickle beside the trials; a study may be anybody's."""
    pytest.importorskip("cmaes")

    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    pool, settings, kept = make_pool("va"), BlendSettings(sampler="cmaes"), Memory()
    through = search.search(pool, settings, 50, 1, kept)
    done = kept.new_trials[:30]
    assert any("cma:" in name for trial in done for name in trial.system_attrs), "the package keeps its state so"
    for trial in done:
        trial.system_attrs["cma:optimizer:0"] = pickle.dumps(Bomb()).hex()
    assert search.search(pool, settings, 50, 1, Memory(done)) == through
    assert not (tmp_path / "exploded").exists()


def test_a_sampler_whose_package_is_missing_and_a_filter_of_no_head_are_said(make_pool, monkeypatch):
    pool = make_pool("expr")
    with pytest.raises(InputError, match=r"blend\.expr\.filter: no head is named 'other'; there are head0, head1"):
        search.search(pool, BlendSettings(filter="other"), 20, 0)
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'blend\.expr\.sampler = "cmaes" needs a package: pip install cmaes'):
        search.search(pool, BlendSettings(sampler="cmaes"), 20, 0)


OWN_NUMBERS = {
    "au": {"per_output_weights": True, "thresholds": "search", "select": "tuned"},
    "expr": {"bias": "free"},
    "va": {"per_output_k": True, "per_output_weights": True},
}


def flat(table, task):
    """params.json's numbers under the names that a study has for them."""
    values = {"k": table["k"], "kernel": table["kernel"]} | {f"w {h}": w for h, w in table["weights"].items()}
    for key, name in (("thresholds", "threshold"), ("bias", "bias"), ("scale", "scale"), ("shift", "shift")):
        values |= {name: table[key]} if key in table else {}
    if "filter" in table:
        values["sure"] = table["filter"]["t"]
    several = {n: v for n, v in values.items() if isinstance(v, list)}
    each = {f"{n} {c}": x for n, v in several.items() for c, x in zip(task.outputs, v, strict=True)}
    return {n: v for n, v in values.items() if n not in several} | each


def read_study(path):
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.load_study(study_name=None, storage=storage)
    result = study.get_trials(), study.best_trial
    storage.remove_session()
    storage.engine.dispose()
    return result


STUDIES = [(name, {}) for name in TASKS] + [*OWN_NUMBERS.items()]
STUDIES += [("expr", {"bias": "prior", "filter": "head1"}), ("va", {"kernels": ["box", "median"], "k_max": 4})]
STUDIES += [("va", {"weights": {"head0": 0.3, "head1": 0.7}}), ("au", {"sampler": "grid", "weight_step": 0.5})]


@pytest.mark.parametrize(("name", "options"), STUDIES)
def test_the_best_of_the_study_is_what_the_search_found(make_pool, tmp_path, name, options):
    """As Optuna and its dashboard read it: every trial has parameters, the best one's are params.json's to the last
    digit, and its value is the score but for rounding. A search that is read again adds nothing.
    """
    pool = make_pool(name)
    pool = replace(pool, heads=(*pool.heads, "copy"), scores=np.concatenate([pool.scores, pool.scores[:1]]))
    settings, made = BlendSettings(**options), []
    for _ in range(2):
        with TrialJournal(tmp_path / "study.db", "x", {}) as journal:
            made.append(search.search(pool, settings, 40, 0, journal))
    assert made[0] == made[1]
    trials, best = read_study(tmp_path / "study.db")
    assert len(trials) == len(made[0].trials) + 1 and all(trial.params for trial in trials)
    chosen = flat(made[0].params.as_json(), pool.task)
    assert {key: best.params[key] for key in chosen} == chosen
    assert best.params.keys() - chosen.keys() <= {"tau", "sure"}, (
        "what a bias follows from, and a filter that is unused"
    )
    assert best.value == pytest.approx(made[0].score, abs=1e-6) and best.number == len(trials) - 1
    if settings.weights is None:
        for trial in trials:
            weights = np.array([value for key, value in trial.params.items() if key.split(" ")[0] == "w"])
            assert weights.sum() in (pytest.approx(1), pytest.approx(len(pool.task.outputs)))


def test_a_rule_that_trials_do_not_follow_leaves_the_choice_its_own_score(make_pool, tmp_path):
    """Trials are scored with the best thresholds, the blend has thresholds that are drawn towards each other."""
    pool = make_pool("au")
    with TrialJournal(tmp_path / "study.db", "x", {}) as journal:
        made = search.search(pool, BlendSettings(thresholds="pulled"), 40, 0, journal)
    trials, best = read_study(tmp_path / "study.db")
    assert trials[-1].value == made.score < best.value and "chosen" in trials[-1].user_attrs
    chosen = flat(made.params.as_json(), pool.task)
    assert {key: trials[-1].params[key] for key in chosen} == chosen


def test_a_search_that_was_ended_before_it_chose_chooses_then_and_one_cut_short_does_not(make_pool, tmp_path):
    pool, left = make_pool("va"), [30]

    def one_more():
        left[0] -= 1
        if not left[0]:
            raise Stopped

    def chosen_in(path):
        return [trial.number for trial in read_study(path)[0] if "chosen" in trial.user_attrs]

    with TrialJournal(tmp_path / "study.db", "x", {}) as journal:
        search.search(pool, QUICK, 30, 0, journal, until=0.0)  # no time to draw
    assert chosen_in(tmp_path / "study.db") == []
    with TrialJournal(tmp_path / "study.db", "x", {}) as journal, pytest.raises(Stopped):
        search.search(pool, QUICK, 30, 0, journal, one_more)
    assert len(read_study(tmp_path / "study.db")[0]) == 30 and chosen_in(tmp_path / "study.db") == []
    with TrialJournal(tmp_path / "study.db", "x", {}) as journal:
        assert search.search(pool, QUICK, 30, 0, journal) == search.search(pool, QUICK, 30, 0)
    assert chosen_in(tmp_path / "study.db") == [30]
