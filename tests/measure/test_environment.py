from __future__ import annotations

import json
from pathlib import Path

import pytest

from taut.measure import environment
from taut.measure.environment import environment_record, timing_cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that pretends usable cores and which of them share a core."""

    def pretend(usable: list[int], siblings: dict[int, str]) -> None:
        monkeypatch.setattr(environment, "_CPU_FOLDER", tmp_path)
        monkeypatch.setattr(environment, "_usable_cores", lambda: usable)
        for core, text in siblings.items():
            folder = tmp_path / f"cpu{core}/topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(text + "\n")

    return pretend


@pytest.mark.parametrize("siblings", [{0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0: "0-1", 1: "0-1"}])
def test_two_threads_get_two_whole_cores(machine, siblings: dict[int, str]) -> None:
    machine([0, 1, 2, 3], siblings)
    chosen = timing_cores(2)
    assert len(chosen) == 2
    assert siblings.get(chosen[0], "alone") != siblings.get(chosen[1], "alone too")


def test_first_core_is_left_to_interrupts(machine) -> None:
    machine([0, 1, 2], {})
    assert timing_cores(1) == (2,)


def test_all_usable_cores_are_the_default(machine) -> None:
    machine([1, 4], {1: "1", 4: "4"})
    assert timing_cores(None) == (1, 4)


def test_no_more_cores_than_there_are(machine) -> None:
    machine([0, 1], {})
    assert timing_cores(8) == (0, 1)


def test_record_is_plain_json_and_says_where_when_and_with_what() -> None:
    record = environment_record((0,))
    assert json.loads(json.dumps(record)) == record
    assert {"processor", "cores", "load_average", "versions", "time"} <= set(record)
    assert "numpy" in record["versions"]
