from __future__ import annotations

from pathlib import Path

import pytest

from taut.core.system import Scale
from taut.systems.int8_integer_only import SYSTEM


@pytest.fixture(autouse=True)
def _never_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever times on this machine meanwhile must not stop the tests."""
    monkeypatch.setattr("taut.systems.int8_integer_only.wait_while_timing", lambda: None)


def test_smoke_scale_shows_the_mechanics_and_resumes(tmp_path: Path) -> None:
    first = SYSTEM.experiment(Scale.SMOKE, tmp_path)
    assert len(first.relations) == 3 and all(relation.holds for relation in first.relations)
    accuracies = {row["arm"]: row["accuracy"] for row in first.rows}
    assert len(accuracies) == 5 and min(accuracies.values()) > 20
    trained = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "trained").glob("*.safetensors")}
    again = SYSTEM.experiment(Scale.SMOKE, tmp_path)
    assert {
        file.name: file.stat().st_mtime_ns for file in (tmp_path / "trained").glob("*")
    }.items() >= trained.items()
    assert again.rows == first.rows


def test_parts_exist() -> None:
    import importlib

    for part in SYSTEM.parts:
        module, name = part.split(":")
        assert hasattr(importlib.import_module(module), name)
