from __future__ import annotations

from pathlib import Path

import pytest

from taut.core.system import Scale
from taut.systems.amc import SETUPS, SYSTEM, experiment


@pytest.fixture(autouse=True)
def _never_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever times on this machine meanwhile must not stop the tests."""
    for module in ("taut.moves.distill.recover", "taut.systems.amc"):
        monkeypatch.setattr(f"{module}.wait_while_timing", lambda: None)


def test_smoke_experiment_cuts_times_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taut.systems.amc.store_folder", lambda: tmp_path / "nets")
    first = experiment(Scale.SMOKE, tmp_path / "work")
    assert len(first.relations) == 12
    assert [row["share"] for row in first.rows] == [0.5, 0.25]
    for row in first.rows:
        assert row["macs"]["amc"] <= row["share"] * row["macs"]["dense"]
        assert row["macs"]["uniform"] <= row["share"] * row["macs"]["dense"]
        assert all(0 < median < 1000 for medians in row["latency_ms"].values() for median in medians)
    monkeypatch.setattr("taut.systems.amc.search_widths", None)
    monkeypatch.setattr("taut.train.store.train", None)
    for row, again in zip(first.rows, experiment(Scale.SMOKE, tmp_path / "work").rows, strict=True):
        assert again["widths"] == row["widths"]
        assert again["accuracy_tuned"] == row["accuracy_tuned"]


def test_full_scale_keeps_to_the_catalogue() -> None:
    full = SETUPS[Scale.FULL]
    assert full.search.episodes <= 250
    assert len(full.seeds) == 3
    assert SYSTEM.number == 1
