"""What every test runs under: fixed seeds, a cache of its own, no network, and in CI no silent skips."""

from __future__ import annotations

import os
import random
import socket
import sys
import tempfile
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Shared machines stall at times, so that a deadline per example would fail by chance; CI repeats itself.
settings.register_profile("taut", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("taut")

_LOOPBACK = ("127.", "::1", "localhost")
_connect = socket.socket.connect


def pytest_configure(config: pytest.Config) -> None:
    """Point the cache at a folder that goes away with the run; child processes inherit it."""
    folder = tempfile.TemporaryDirectory(prefix="taut-cache-", ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = folder.name
    config.add_cleanup(folder.cleanup)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _connect_here)


def _connect_here(self: socket.socket, address: Any) -> None:
    """Connect within this machine only."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_LOOPBACK):
        raise RuntimeError(f"a test wants to reach {address[0]}")
    _connect(self, address)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("gpu") is None:
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Where TAUT_NO_SKIPS is set, turn a skip into a failure that keeps its reason; xfail stays."""
    if report.skipped and os.environ.get("TAUT_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
