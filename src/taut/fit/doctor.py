"""``taut doctor``: what is installed, what is missing, and whether each part loads."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from taut.core.errors import TautError
from taut.core.registry import Registry
from taut.devices.local import local_device
from taut.moves import MOVES
from taut.runtimes import RUNTIMES
from taut.search import STRATEGIES
from taut.tasks import TASKS


@dataclass(frozen=True)
class Check:
    """One line of the examination."""

    line: str
    is_fine: bool
    is_optional: bool = False


def examine() -> list[Check]:
    """Load every part that this installation should have."""
    device = local_device()
    checks = [
        Check(f"Python {sys.version.split()[0]}", sys.version_info >= (3, 11)),
        Check(f"{device.cores} cores, {device.processor}", device.cores > 0),
        Check(f"TAUT_DATA {os.environ.get('TAUT_DATA', 'is not set; see taut data')}", True),
    ]
    for registry in (RUNTIMES, MOVES, STRATEGIES, TASKS):
        checks += [_check(registry, name) for name in registry]
    return checks


def _check(registry: Registry, name: str) -> Check:
    is_optional = registry.entries[name].extra is not None
    try:
        registry.load(name)
    except TautError as error:
        return Check(str(error), False, is_optional)
    return Check(f"{registry.family} {name}", True, is_optional)
