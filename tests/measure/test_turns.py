from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.measurement import Measurement
from taut.core.runner import RunnerSpec, Workload
from taut.measure.contention import ForeignLoad, Patience
from taut.measure.settings import Limits
from taut.measure.turns import Table, merged

Spinner = Callable[[int], RunnerSpec]
LIMITS = Limits(threads=1, warm_s=0.1)


def table(patience_s: float = 0.0, failures: dict[str, str] | None = None, seed: int = 0) -> Table:
    return Table(LIMITS, np.random.default_rng(seed), Patience(patience_s), failures)


def test_everybody_plays_every_round(workload: Workload, spinner: Spinner) -> None:
    with table().seated({"quick": spinner(3000), "slow": spinner(30_000)}, workload) as seated:
        quick, slow = sorted(seated.players, key=lambda player: player.latency_ms)
        assert quick.name == "quick" and quick.runs_per_turn > slow.runs_per_turn
        seated.equalise_turns()
        rounds = list(islice(seated.rounds(), 3))
        measured = seated.measurements()
    assert [set(turns) for turns in rounds] == [{"quick", "slow"}] * 3
    assert {len(turns[name]) for turns in rounds for name in turns} == {slow.runs_per_turn}
    np.testing.assert_array_equal(
        measured["slow"].latency_ms, np.concatenate([turns["slow"] for turns in rounds])
    )
    assert measured["slow"].first_run_ms > 0 and measured["slow"].open_ms > 0
    assert measured["slow"].sittings == (3 * slow.runs_per_turn,)


def test_order_of_turns_is_random_and_seeded() -> None:
    def orders(seed: int) -> list[list[str]]:
        here = table(seed=seed)
        taken: list[str] = []
        here.players = [_FakePlayer(name, taken) for name in "abc"]  # type: ignore[list-item]
        for number in range(8):
            here._round(number)
        return [taken[start : start + 3] for start in range(0, 24, 3)]

    assert orders(0) == orders(0) != orders(1)
    assert all(sorted(order) == ["a", "b", "c"] for order in orders(0))
    assert len({tuple(order) for order in orders(0)}) > 2


class _FakePlayer:
    runs_per_turn = 5
    burnt_s = 0.0

    def __init__(self, name: str, taken: list[str]) -> None:
        self.name, self.taken, self.starts, self.turns = name, taken, [], []

    def take_turn(self, start: int) -> np.ndarray:
        self.taken.append(self.name)
        self.starts.append(start)
        return np.ones(self.runs_per_turn)


@pytest.fixture
def foreign_shares(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The foreign share of each window to come; windows last one round and half a second."""
    shares: list[float] = []
    monkeypatch.setattr(ForeignLoad, "begin", lambda _self, _own_s: None)
    monkeypatch.setattr(ForeignLoad, "share", lambda _self, _own_s: shares.pop(0))
    monkeypatch.setattr(ForeignLoad, "elapsed_s", 0.5)
    return shares


def play(here: Table, rounds: int) -> _FakePlayer:
    player = _FakePlayer("a", [])
    here.players = [player]  # type: ignore[list-item]
    assert len(list(islice(here.rounds(), rounds))) == rounds
    return player


def test_contended_rounds_are_dropped_and_counted(foreign_shares: list[float]) -> None:
    foreign_shares += [0.0, 0.9, 0.9, 0.1, 0.0]
    here = table(patience_s=60.0)
    player = play(here, 3)
    assert here.dropped_rounds == 2
    assert len(player.turns) == 3
    assert player.starts == [0, 5, 10, 15, 20]


def test_constantly_busy_machine_is_measured_all_the_same(foreign_shares: list[float]) -> None:
    foreign_shares += [0.9] * 10
    here = table(patience_s=5.0)
    play(here, 5)
    assert here.patience.is_over
    assert here.dropped_rounds == 3


def test_failing_player_leaves_the_table(workload: Workload, spinner: Spinner) -> None:
    failures: dict[str, str] = {}
    failing = RunnerSpec("toy_runners:Failing", {"way": "raise", "after": 200})
    with table(failures=failures).seated({"good": spinner(3000), "bad": failing}, workload) as seated:
        for _ in islice(seated.rounds(), 60):
            if failures:
                break
        measured = seated.measurements()
    assert set(measured) == {"good"}
    assert "the toy is broken" in failures["bad"]


def test_failing_player_ends_the_measurement_where_it_is_needed(workload: Workload) -> None:
    failing = RunnerSpec("toy_runners:Failing", {"way": "raise"})
    with (
        pytest.raises(EnvironmentFailed, match="the toy is broken"),
        table().seated({"a": failing}, workload),
    ):
        pass


def test_empty_workload_is_refused(spinner: Spinner) -> None:
    with pytest.raises(BadInput, match="no items"), table().seated({"a": spinner(1)}, Workload("none", [])):
        pass


def test_merged_keeps_runs_in_order_and_the_peak_of_memory() -> None:
    parts = [
        Measurement(
            np.full(count, float(count)), float(count), 1.0, 10 * count, contended=1, sittings=(count,)
        )
        for count in (1, 3, 2)
    ]
    joined = merged(parts)
    assert joined.latency_ms.tolist() == [1.0, 3.0, 3.0, 3.0, 2.0, 2.0]
    assert (joined.sittings, joined.open_ms, joined.contended) == ((1, 3, 2), 2.0, 3)
    assert joined.peak_memory_bytes == 30
