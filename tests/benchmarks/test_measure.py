"""Lines are timed against the original, judged against its outputs, and failures are rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_cases import convolution_case

from contest.compare import Entrants, measured_rows
from contest.measure import Contest, Effort
from peers.base import LineFailed
from taut.core.errors import EnvironmentFailed
from taut.core.runner import RunnerSpec

_EFFORT = Effort(sittings=3, seconds_each=0.05, most_judged=12)


def _toy(count: object, is_right: bool = True) -> RunnerSpec:
    return RunnerSpec("toy_cases:Toy", {"count": count, "is_right": is_right})


def _quiet(_what: str) -> None:
    """Say nothing."""


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    return Contest.open(convolution_case(tmp_path), _EFFORT)


def _failing() -> RunnerSpec:
    raise LineFailed("ValueError: odd kernel")


def test_rows_hold_pace_quality_and_failures(contest: Contest) -> None:
    entrants = Entrants()
    entrants.enter("original", lambda: _toy(20_000))
    entrants.enter("quick", lambda: _toy(2_000))
    entrants.enter("wrong", lambda: _toy(2_000, is_right=False))
    entrants.enter("dies", lambda: _toy("no number"))
    entrants.enter("unprepared", _failing)
    rows = {row.line: row for row in measured_rows(contest, entrants, _quiet)}

    assert list(rows) == ["original", "quick", "wrong", "dies", "unprepared"]
    assert rows["original"].ratio is not None and rows["original"].ratio.value == 1
    quick = rows["quick"].ratio
    assert quick is not None and quick.high < 1 and quick.samples == _EFFORT.sittings
    assert rows["quick"].quality["cosine"] == 1
    assert rows["wrong"].quality["cosine"] < 0.999
    assert "TypeError" in (rows["dies"].error or "")
    assert rows["unprepared"].error == "ValueError: odd kernel"


def test_original_that_does_not_run_ends_the_comparison(contest: Contest) -> None:
    entrants = Entrants({"original": _toy("no number")})
    with pytest.raises(EnvironmentFailed, match="original"):
        measured_rows(contest, entrants, _quiet)


def test_test_split_is_read_once_for_all_lines(contest: Contest) -> None:
    assert len(contest.fed.items) == _EFFORT.most_judged
    with pytest.raises(RuntimeError, match="already read by the comparison of lines"):
        contest.case.task.test.open("another reader")
    assert np.array_equal(
        contest.workload.items[0].inputs["x"], contest.case.task.select.take(np.arange(1)).inputs["x"]
    )
