"""The ledger keeps what was written through a kill, and computes nothing twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.core.errors import BadInput
from taut.core.figures import Measured, Predicted
from taut.core.move import Plan
from taut.core.strategy import Trial
from taut.fit.ledger import Ledger
from taut.moves import plan_from_json

_KILLED = """
import os, signal, sys
from pathlib import Path
from taut.fit.ledger import Ledger
from taut.moves import plan_from_json
ledger = Ledger.in_file(Path(sys.argv[1]), plan_from_json)
ledger.fact("first", lambda: {"found": [1, 2.5]})
ledger.fact("second", lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


def _ledger(folder: Path) -> Ledger:
    return Ledger.in_file(folder / "ledger.db", plan_from_json)


def _trial(key: str) -> Trial:
    return Trial(
        key=key,
        plan=Plan(label="one"),
        costs={"p50": Measured(1.0, 0.9, 1.1, "ms", 10)},
        quality={"accuracy": 90.0},
        predicted={"p50": Predicted(1.2, 1.0, 1.4, "ms", 0.1)},
        artifact="abc",
        wall_s=2.0,
    )


def test_trial_reads_back_equal_in_a_new_process_of_the_ledger(tmp_path: Path) -> None:
    _ledger(tmp_path).write(_trial("k1"))
    assert _ledger(tmp_path).trials() == [_trial("k1")]
    assert _ledger(tmp_path).find("k1") == _trial("k1")
    assert _ledger(tmp_path).find("k2") is None


def test_trial_stays_as_it_was_when_written_twice(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path)
    ledger.write(_trial("k1"))
    ledger.write(Trial("k1", Plan(), {}, {}, error="other"))
    assert [trial.error for trial in ledger.trials()] == [None]


def test_fact_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        assert _ledger(tmp_path).fact("table", lambda: calls.append(1) or {"a": (1, 2)}) == {"a": [1, 2]}
    assert calls == [1]


def test_facts_survive_kill_while_the_next_is_computed(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "ledger.db")], check=False)
    assert killed.returncode == -signal.SIGKILL
    ledger = _ledger(tmp_path)
    assert ledger.known("first") == {"found": [1, 2.5]}
    assert ledger.known("second") is None


def test_spent_time_sums_trials_and_facts(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path)
    ledger.write(_trial("k1"))
    ledger.write(_trial("k2"))
    assert ledger.spent_s() == pytest.approx(4.0, abs=0.5)


def test_ledger_is_refused_when_its_folder_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be opened as a ledger"):
        _ledger(tmp_path / "missing")
