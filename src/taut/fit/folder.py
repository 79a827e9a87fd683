"""The folder of one run: where everything lies, and whether it may be used.

out/run.json       what was asked for; a run is taken up again only by the same request
out/ledger.db      trials and facts
out/work/          candidates, reference outputs, checkpoints
out/best/          the artifact, with front.json, evidence.json and report.html beside it
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.core.errors import BadInput

SCHEMA = 1


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's folder."""

    root: Path

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def candidates(self) -> Path:
        return self.work / "candidates"

    @property
    def best(self) -> Path:
        return self.root / "best"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def request(self) -> Path:
        return self.root / "run.json"


def open_run_folder(root: Path, identity: Mapping[str, Any], resume: bool) -> RunFolder:
    """Create the folder, or take it up again; BadInput where it may not be used."""
    folder = RunFolder(root)
    asked = {"schema": SCHEMA, **identity}
    if folder.request.exists():
        _check_same_request(folder, asked, resume)
    else:
        _check_empty(root, resume)
        _create(folder)
        write_json(folder.request, asked)
    return folder


def read_request(root: Path) -> dict[str, Any]:
    """What a run's folder was asked for; BadInput where it is no run's folder."""
    try:
        request: dict[str, Any] = json.loads((root / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise BadInput(
            str(root), "is not the folder of a run", "name one that 'taut fit --out' wrote"
        ) from error
    return request


def write_json(path: Path, data: Any) -> None:
    """Write in one step: a reader sees the old file or the new one, never half of one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(data, indent=1, sort_keys=False))
    partial.replace(path)


def _check_same_request(folder: RunFolder, asked: Mapping[str, Any], resume: bool) -> None:
    if not resume:
        raise BadInput(f"--out {folder.root}", "holds an earlier run", "add --resume, or name another folder")
    known = read_request(folder.root)
    for name, value in json.loads(json.dumps(asked)).items():
        if known.get(name) != value:
            raise BadInput(
                f"--resume {folder.root}",
                f"belongs to another run ({name} was {known.get(name)!r}, now {value!r})",
                "repeat that run's arguments, or name another folder",
            )


def _check_empty(root: Path, resume: bool) -> None:
    if resume and not root.exists():
        raise BadInput(f"--resume {root}", "does not exist", "leave --resume out to begin a new run")
    if root.exists() and not root.is_dir():
        raise BadInput(f"--out {root}", "is a file", "name a folder")
    # A run that was killed before it wrote its request leaves only empty folders.
    if root.exists() and any(path.is_file() for path in root.rglob("*")):
        raise BadInput(f"--out {root}", "is not empty and no run's folder", "name a new or empty folder")


def _create(folder: RunFolder) -> None:
    try:
        folder.candidates.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"--out {folder.root}", f"cannot be written ({error.strerror})", "name another"
        ) from error
    if not os.access(folder.root, os.W_OK):
        raise BadInput(f"--out {folder.root}", "cannot be written", "name another folder")
