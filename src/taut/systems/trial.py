"""``taut try``: run the experiment of a system, check its relations, keep the result as plain JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taut.core.system import Experiment, Scale, System
from taut.devices.local import local_device

SCHEMA = 1


@dataclass(frozen=True)
class TrialResult:
    """What one run of a system's experiment showed."""

    system: System
    scale: Scale
    experiment: Experiment
    wall_s: float

    @property
    def holds(self) -> bool:
        return all(relation.holds for relation in self.experiment.relations)

    @property
    def state(self) -> str:
        """``works`` where every relation holds, else ``partial``."""
        return "works" if self.holds else "partial"

    def to_json(self) -> dict[str, Any]:
        device = local_device()
        return {
            "schema": SCHEMA,
            "id": self.system.id,
            "state": self.state,
            "scale": str(self.scale),
            "relations": [relation.to_json() for relation in self.experiment.relations],
            "rows": [dict(row) for row in self.experiment.rows],
            "seeds": list(self.experiment.seeds),
            "device": {
                "processor": device.processor,
                "cores": device.cores,
                "fingerprint": device.fingerprint,
            },
            "versions": dict(device.runtimes),
            "date": datetime.now(UTC).date().isoformat(),
            "wall_s": round(self.wall_s, 1),
            "note": self.experiment.note,
        }

    def describe(self) -> str:
        """State first, then each relation with its value."""
        lines = [f"{self.system.id}: {self.state} at {self.scale} scale ({self.wall_s:.0f} s)"]
        for relation in self.experiment.relations:
            mark = "holds " if relation.holds else "BROKEN"
            lines.append(f"  {mark}  {relation.name}: {relation.value:.4g} (bound {relation.bound:.4g})")
        return "\n".join(lines)


def try_one(system: System, scale: Scale, out: Path) -> TrialResult:
    """Run one experiment in its own work folder and write ``out/ID-SCALE.json``."""
    work_folder = out / f"{system.id}-{scale}"
    work_folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    experiment = system.experiment(scale, work_folder)
    result = TrialResult(system, scale, experiment, time.monotonic() - started)
    (out / f"{system.id}-{scale}.json").write_text(json.dumps(result.to_json(), indent=1) + "\n")
    return result
