"""Compiling C on this machine, and what was compiled before.

Shared objects are cached by the content of the source, the compiler and the processor's features: machine
code never leaves the machine that made it. Never -ffast-math: a library linked with it switches on
flush-to-zero for the thread that loads it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from taut.core.errors import BadInput, EnvironmentFailed
from taut.devices.compiler import compiler, compiler_identity
from taut.devices.local import local_fingerprint
from taut.kernels.target import Target

FLAGS = ("-std=gnu11", "-O2", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-w")
TIME_LIMIT_S = 300.0


def cache_folder() -> Path:
    """Where compiled networks are kept: in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taut" / "compiled"


def build(source: str, target: Target, extra: tuple[str, ...] = ()) -> Path:
    """Compile a source into a shared object and return its path; found again where it was made before.

    Raises BadInput where there is no compiler, EnvironmentFailed where it fails.
    """
    path = required_compiler()
    flags = (*FLAGS, *target.flags, *extra)
    library = cache_folder() / digest_of(source, *flags) / "net.so"
    if not library.exists():
        _compile(path, source, flags, library)
    return library


def required_compiler() -> str:
    """Return the compiler's path; BadInput where there is none."""
    path = compiler()
    if path is None:
        raise BadInput(
            "compiling", "needs a C compiler (gcc, clang or cc)", "install gcc, or use another runtime"
        )
    return path


def digest_of(*parts: str) -> str:
    """A name for what is made of the parts by this compiler on this machine."""
    identity = "\n".join([compiler_identity(), local_fingerprint(), *parts])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _compile(path: str, source: str, flags: tuple[str, ...], library: Path) -> None:
    """Compile beside the place and rename, so that a library is whole or not there."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        text, made = Path(scratch) / "net.c", Path(scratch) / "net.so"
        text.write_text(source, encoding="utf-8")
        command = [path, *flags, "-o", str(made), str(text), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[0]
            raise EnvironmentFailed(f"{path} on generated code", reason[:300], "use another runtime")
        text.replace(library.with_name("net.c"))
        made.replace(library)
