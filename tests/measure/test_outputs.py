from __future__ import annotations

import sys

import numpy as np
import pytest

from taut.core.errors import EnvironmentFailed
from taut.core.runner import Item, RunnerSpec
from taut.measure import outputs

REMEMBERING = RunnerSpec("toy_runners:Remembering")


def items(count: int, start_every: int) -> list[Item]:
    return [Item({"x": np.full(2, 1.0)}, starts_sequence=index % start_every == 0) for index in range(count)]


@pytest.mark.parametrize("chunk_bytes", [1, 48, 1 << 20])
def test_state_lives_through_a_sequence_whatever_the_files(
    chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By module name, for the package's attribute of that name is the function.
    monkeypatch.setattr(sys.modules["taut.measure.outputs"], "_CHUNK_BYTES", chunk_bytes)
    shares: list[float] = []
    rows = outputs(REMEMBERING, items(7, start_every=3), lambda _what, share: shares.append(share))
    assert [float(row["sum"]) for row in rows] == [2.0, 4.0, 6.0, 2.0, 4.0, 6.0, 2.0]
    assert shares[-1] == 1.0


def test_outputs_are_copies_when_the_runtime_reuses_its_memory() -> None:
    rows = outputs(
        RunnerSpec("toy_runners:Reusing"), [Item({"x": np.full(1, value)}) for value in (1.0, 2.0)]
    )
    assert [row["x"].tolist() for row in rows] == [[1.0], [2.0]]


def test_no_items_give_no_outputs() -> None:
    assert outputs(REMEMBERING, []) == []


def test_death_of_the_runner_is_told() -> None:
    with pytest.raises(EnvironmentFailed, match="SIGSEGV"):
        outputs(RunnerSpec("toy_runners:Failing", {"way": "die"}), items(1, 1))
