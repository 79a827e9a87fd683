"""The C compiler of this machine, with which our own runtime compiles networks."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

_NAMES = ("gcc", "clang", "cc")


@cache
def compiler() -> str | None:
    """Return the compiler's path; the environment's CC comes first. None where there is none."""
    wanted = os.environ.get("CC")
    names = (wanted,) if wanted else _NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


def compiler_name() -> str:
    """Its own name, which says the version where the system installs several; empty without one."""
    path = compiler()
    return "" if path is None else Path(path).resolve().name


@cache
def compiler_identity() -> str:
    """What tells it from another: file, size and date, since to ask it takes 9 ms. Empty without one."""
    if (path := compiler()) is None:
        return ""
    file = Path(path).resolve()
    return f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}"
