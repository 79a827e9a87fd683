"""What tests of strategies share."""

from __future__ import annotations

import pytest

from taut.moves.distill.recover import Recover


@pytest.fixture
def fast_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch counts as ten seconds, and none is run."""
    monkeypatch.setattr(Recover, "epoch_s", lambda _self, _network, _context: 10.0)
