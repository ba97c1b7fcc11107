"""Which setting wins: on made times, and among engines that only pretend to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extract.engines import race
from extract.engines.openvino_engine import Setting
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError

OWN = Setting(streams=4, threads=4, requests=8)
ONE, TWO, HALF, WAITING = race.list_settings(OWN)


def test_settings_are_others_than_openvino_s_own_and_take_no_more_threads():
    numbers = [(one.streams, one.threads, one.requests) for one in (ONE, TWO, HALF, WAITING)]
    assert numbers == [(2, 4, 4), (1, 4, 2), (2, 2, 4), (4, 4, 16)]
    for threads in (1, 2, 3, 64):
        own = Setting(streams=threads, threads=threads, requests=2 * threads)
        found = race.list_settings(own)
        assert own not in found and len(found) == len(set(found)) > 0
        assert all(1 <= setting.streams <= setting.threads <= threads for setting in found)


@pytest.mark.parametrize(
    ("ratios", "best"),
    [
        ({}, None),
        ({ONE: []}, None),
        ({ONE: [1.1] * 9}, ONE),
        ({ONE: [1.02] * 99}, None),  # certain, and too little
        ({ONE: [1.04] * 9, TWO: [1.2] * 9, HALF: [0.5] * 9}, TWO),
        ({TWO: [1.1] * 9, ONE: [1.1] * 9}, TWO),  # as fast as each other: the first
        ({ONE: [1.0] * 8 + [50.0]}, None),  # one round in which everything else stood still
        ({ONE: [1.2] * 6 + [0.8] * 4}, None),  # luck does as much
        ({ONE: [1.5] * 3}, None),  # too few rounds to be certain of anything
        ({ONE: [1.5] * 4}, ONE),
    ],
)
def test_who_wins(ratios, best):
    assert race.choose(ratios) == best


def test_noise_alone_hardly_ever_wins_and_a_real_gain_does_through_noise():
    rng = np.random.default_rng(0)

    def draw(gain: float, setting: Setting, rounds: int) -> list[float]:
        return rng.normal(gain if setting == HALF else 1, 0.06, rounds).tolist()

    def count(gain: float) -> int:
        wins = 0
        for _ in range(500):
            first = race.choose({setting: draw(gain, setting, 8) for setting in (ONE, TWO, HALF, WAITING)})
            wins += first is not None and race.choose({first: draw(gain, first, 25)}) is not None
        return wins

    assert count(1.0) < 5 and count(1.1) > 350


class Clock:
    """In place of `time`: it stands still but for what is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class PretendEngine:
    """Answers at once, with what `answer` says."""

    network = replace(NETWORKS["demo_enet"], size=8)
    closed = 0

    def __init__(self, setting: Setting, answer: float) -> None:
        self.setting, self.answer = setting, answer

    def submit(self, picture: np.ndarray, done: Callable[[dict[str, np.ndarray]], None]) -> None:
        done({"logits": np.float32([picture.mean(), self.answer])})

    def flush(self) -> None:
        pass

    def close(self) -> None:
        PretendEngine.closed += 1


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(race, "time", clock)
    return clock


@pytest.fixture
def run_race(monkeypatch, clock):
    """`run_race(speeds, answers)`: a race of engines that are so fast, else 1, and answer so, else 0."""
    monkeypatch.setattr(PretendEngine, "closed", 0)

    def run(speeds, answers=None, make=None, compiling=0.2):
        def measure_rate(engine, _):
            clock.now += race.ROUND
            return speeds.get(engine.setting, 1)

        def create(setting):
            clock.now += compiling
            return make(setting) if make else PretendEngine(setting or OWN, (answers or {}).get(setting, 0))

        monkeypatch.setattr(race, "measure_rate", measure_rate)
        began = clock.now
        found = race.measure(create, 10)
        assert clock.now - began < 11 + race.PREPARATION + 2 * compiling
        return found

    return run


def test_the_fastest_is_found_with_its_gain_and_every_rival_is_closed(run_race):
    found = run_race({ONE: 1.1, HALF: 1.3})
    assert (found.own, found.setting, found.gain) == (OWN, HALF, 1.3)
    assert PretendEngine.closed == len(race.list_settings(OWN)) + 1
    assert "1.30 times as fast" in run_race({HALF: 1.3}).describe()


def test_openvino_s_own_choice_stands_where_nothing_is_faster(run_race):
    found = run_race({ONE: 1.02, HALF: 0.5})
    assert found.setting is None and "own choice stands" in found.describe()
    assert [*found.tried] == [setting.describe() for setting in (ONE, TWO, HALF, WAITING)]
    assert "2 streams, 4 threads, 4 requests: 7 rounds; 1 streams, " in found.describe()


def test_what_gives_other_bytes_never_wins_however_fast(run_race):
    other = {TWO: float(np.nextafter(np.float32(0), np.float32(1)))}
    assert run_race({TWO: 9, ONE: 1.1}, other).setting == ONE
    found = run_race({TWO: 9}, other)
    assert found.setting is None and found.tried[TWO.describe()] == 0 < found.tried[ONE.describe()]
    assert run_race({TWO: 9}).setting == TWO, "the test itself can fail"


def test_what_cannot_be_compiled_or_runs_as_another_setting_never_wins(run_race):
    def make(setting):
        if setting == TWO:
            raise InputError("too many of them")
        return PretendEngine(HALF if setting == ONE else setting or OWN, 0)

    assert run_race({TWO: 9, ONE: 9, HALF: 1.1}, make=make).setting == HALF
    assert run_race({TWO: 9, ONE: 9}, make=make).setting is None


def test_whoever_wins_by_luck_has_to_win_again(run_race, monkeypatch):
    choices = iter((ONE, None))
    monkeypatch.setattr(race, "choose", lambda ratios: next(choices))
    assert run_race({ONE: 2}).setting is None and next(choices, "asked twice") == "asked twice"


@pytest.mark.parametrize("compiling", [0.5, 2, 5])
def test_to_compile_is_no_part_of_the_race(run_race, compiling):
    found = run_race({HALF: 1.3}, compiling=compiling)
    assert found.setting == HALF and set(found.tried.values()) <= {6, 7} and len(found.tried) == 4


def test_what_takes_too_long_to_compile_is_said_and_not_on_record(run_race, clock):
    began = clock.now
    assert list(run_race({}, compiling=9).tried) == [ONE.describe(), TWO.describe()], "those that had their turn"
    assert clock.now - began < race.PREPARATION + 5
    with pytest.raises(InputError, match=r"^no other setting was tried: 16 seconds to compile one are too many$"):
        run_race({}, compiling=16)


def test_slow_networks_get_the_rounds_without_which_nobody_can_win(run_race, monkeypatch):
    monkeypatch.setattr(race, "ROUND", 0.5)
    found = run_race({ONE: 1.3})
    assert found.setting == ONE and list(found.tried.values()) == [4, 4]


def test_every_stream_gets_equally_many_pictures(clock):
    engine, seen = PretendEngine(Setting(streams=3, threads=3, requests=6), 0), []
    engine.submit = lambda picture, done: (seen.append(picture), clock.sleep(0.001))
    pictures = race.draw_pictures(engine.network)
    assert race.measure_rate(engine, pictures) == pytest.approx(1000) and len(seen) == 105
    assert {picture.tobytes() for picture in seen[:16]} == {picture.tobytes() for picture in pictures}
    engine.submit = lambda picture, done: (seen.append(picture), clock.sleep(1))
    assert race.measure_rate(engine, pictures) == pytest.approx(1) and len(seen) == 120
