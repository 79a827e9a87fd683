"""``python -m taut.nets.build NAME FOLDER``: train a network by its recipe and write what ships.

Writes the fp16 weights and, beside them, what they are: recipe, seed, data, select accuracy of the fp16
weights, date, versions. Equal bits need the same kind of processor, threads and torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from taut.core.errors import TautError
from taut.core.move import Progress
from taut.core.task import Split, batches
from taut.nets import NETS
from taut.nets.base import NetSpec
from taut.nets.load import store_folder, task_of, trained
from taut.nets.shipped import load_weights, read_weights, write_weights
from taut.train.loop import as_tensors

SCHEMA = 1


def main() -> int:
    """Train and write the named network; the exit code is that of all commands."""
    parser = argparse.ArgumentParser(prog="python -m taut.nets.build", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(NETS))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    try:
        spec: NetSpec = NETS.load(given.name)
        module = trained(spec, store_folder(), _percent_printer())
        print(json.dumps(ship(spec, module, given.folder), indent=1))
    except TautError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


def ship(spec: NetSpec, module: nn.Module, folder: Path) -> dict[str, Any]:
    """Write the module's weights and their provenance to the folder, and return the provenance."""
    folder.mkdir(parents=True, exist_ok=True)
    file = write_weights(module, folder, spec.name)
    shipped = load_weights(spec.build(), read_weights(file))
    provenance = _provenance(spec, shipped, file)
    (folder / f"{spec.name}.json").write_text(json.dumps(provenance, indent=1) + "\n")
    return provenance


@torch.no_grad()
def accuracy(module: nn.Module, split: Split) -> float:
    """Return the share of right answers in points."""
    right = [
        module(*as_tensors(batch)).argmax(dim=1).numpy() == batch.targets for batch in batches(split, 250)
    ]
    return 100.0 * float(np.concatenate(right).mean())


def _provenance(spec: NetSpec, module: nn.Module, file: Path) -> dict[str, Any]:
    task = task_of(spec)
    return {
        "schema": SCHEMA,
        "name": spec.name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "recipe": asdict(spec.recipe),
        "seed": spec.seed,
        "data": {
            "name": task.name,
            "digest": task.digest,
            "train": len(task.train or ()),
            "select": len(task.select),
        },
        "select_accuracy": round(accuracy(module, task.select), 2),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _percent_printer() -> Progress:
    """Report each whole percent once."""
    last = [-1]

    def report(what: str, share: float) -> None:
        percent = int(100 * share)
        if percent != last[0]:
            last[0] = percent
            print(f"{what}: {percent}%", file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    sys.exit(main())
