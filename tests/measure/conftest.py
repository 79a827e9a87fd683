"""Every test of measuring has a timing lock of its own, and its children find the toy runners."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from taut.core.runner import Item, RunnerSpec, Workload


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def workload() -> Workload:
    return Workload("toys", [Item({"x": np.arange(3.0)}), Item({"x": np.ones(3)})])


@pytest.fixture
def spinner() -> type[RunnerSpec]:
    """Return a function from a count to the recipe of a runner that takes time in proportion."""
    return lambda count: RunnerSpec("toy_runners:Spinner", {"count": count})
