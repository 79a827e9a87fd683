"""The C compiler of this machine, with which our own runtime compiles networks."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

_NAMES = ("gcc", "clang", "cc")


@cache
def compiler() -> str | None:
    """Return the compiler's path; the environment's CC comes first. None where there is none."""
    wanted = os.environ.get("CC")
    names = (wanted,) if wanted else _NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


@cache
def compiler_version() -> str:
    """The first line of what the compiler says of itself; empty without one."""
    if (path := compiler()) is None:
        return ""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.splitlines()[0] if done.stdout else path
