"""``results.json``: each network's section is kept as it finishes, with what is needed to read it later."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contest.fit import Fitted
from contest.table import Comparison
from taut.devices.local import local_device
from taut.fit.folder import write_json
from taut.measure.environment import environment_record, timing_cores

SCHEMA = 1
_PACKAGES = ("taut", "onnx", "onnxruntime", "openvino", "nncf", "torch", "torch-pruning", "numpy")


@dataclass(frozen=True)
class Results:
    """Sections by network, on disk."""

    file: Path

    def sections(self) -> dict[str, Any]:
        if not self.file.exists():
            return {}
        stored: dict[str, Any] = json.loads(self.file.read_text())["models"]
        return stored

    def find(self, name: str, key: str) -> Mapping[str, Any] | None:
        """Return a finished section if it was measured of the same things."""
        section: dict[str, Any] = self.sections().get(name, {})
        return section if section.get("key") == key else None

    def put(self, name: str, section: Mapping[str, Any]) -> None:
        write_json(self.file, {"schema": SCHEMA, "models": {**self.sections(), name: section}})


def section(
    key: str, comparison: Comparison, fit: Fitted | None, threads: int, wall_s: float
) -> dict[str, Any]:
    """Return a finished network's section: result, device, versions, date."""
    device = local_device()
    return {
        "key": key,
        **comparison.to_json(),
        "fit": None if fit is None else _fit_summary(fit),
        "device": {"processor": device.processor, "cores": device.cores, "fingerprint": device.fingerprint},
        "threads": threads,
        "environment": environment_record(timing_cores(threads)),
        "versions": _versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_s": round(wall_s, 1),
    }


def summary(sections: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the benchmark's last line: the sections asked for, and the mean of the proven ratios."""
    chosen = {name: sections[name] for name in names if name in sections}
    ratios = [one["ratio"]["value"] for one in chosen.values() if one.get("ratio")]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
    return {
        "schema": SCHEMA,
        "benchmark": "fit_vs_peers",
        "models": chosen,
        "geometric_mean_ratio": mean,
    }


def _fit_summary(fit: Fitted) -> dict[str, Any]:
    """What is worth keeping of the fit itself; the whole is in its folder."""
    kept = ("met", "verdict", "ratio", "trials", "search_s", "out")
    best = fit.result["best"]
    return {
        **{name: fit.result[name] for name in kept},
        "runtime": best["runtime"],
        "plan": best["plan"],
        "peak_resident_bytes": fit.peak_resident_bytes,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
