"""Sizes of this machine's data caches, as its system tells them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_USUAL = {1: 32 * 2**10, 2: 256 * 2**10}
"""Where the system says nothing: what hardly any processor has less of"""


@cache
def cache_bytes() -> Mapping[int, int]:
    """Return level -> bytes of the data cache that one core sees, the smallest first."""
    found = dict(read for folder in sorted(_FOLDER.glob("index*")) if (read := _read(folder)) is not None)
    return dict(sorted(found.items())) or _USUAL


def private_cache_bytes() -> int:
    """Return the size of the largest cache that a core has to itself."""
    sizes = cache_bytes()
    return sizes.get(2) or min(sizes.values())


def _read(folder: Path) -> tuple[int, int] | None:
    try:
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
    except OSError:
        return None
    if kind == "Instruction" or size[-1:] not in _UNITS:
        return None
    return int(level), int(size[:-1]) * _UNITS[size[-1]]
