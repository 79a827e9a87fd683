"""The benchmarks' own folder is where their modules are imported from, as when they are run as scripts."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE.parents[1] / "benchmarks"), str(_HERE)]


@pytest.fixture(autouse=True)
def _own_timing_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
