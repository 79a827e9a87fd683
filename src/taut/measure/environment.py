"""Where samples were taken: processor, clocks, load, versions, cores and time, as plain JSON values."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

_CPU_FOLDER = Path("/sys/devices/system/cpu")
_PACKAGES = ("taut", "numpy", "onnxruntime", "openvino", "torch")


def environment_record(cores: Sequence[int]) -> dict[str, Any]:
    """Describe this machine as it is now; what cannot be read is left out."""
    record = {
        "processor": _processor(),
        "cores": list(cores),
        "cores_of_machine": psutil.cpu_count(),
        "frequency_mhz": _frequency_mhz(),
        "governor": _governor(cores),
        "load_average": list(os.getloadavg()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": _versions(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {name: value for name, value in record.items() if value is not None}


def timing_cores(threads: int | None) -> tuple[int, ...]:
    """Choose the cores to time on, of those this process may use: whole cores first, the last ones first.

    The first core serves most interrupts, and two hardware threads of one core are not two cores.
    """
    usable = _usable_cores()
    firsts = [core for core in usable if core == min(_siblings(core) & set(usable), default=core)]
    ranked = firsts[::-1] + [core for core in reversed(usable) if core not in firsts]
    return tuple(sorted(ranked[: threads or len(usable)]))


def _usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _siblings(core: int) -> set[int]:
    """Hardware threads that share a core with this one, itself included; alone where unknown."""
    file = _CPU_FOLDER / f"cpu{core}/topology/thread_siblings_list"
    if not file.exists():
        return {core}
    spans = [span.partition("-") for span in file.read_text().strip().split(",")]
    return {each for low, _, high in spans for each in range(int(low), int(high or low) + 1)}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _frequency_mhz() -> float | None:
    frequency = psutil.cpu_freq()
    return None if frequency is None else round(frequency.current, 1)


def _governor(cores: Sequence[int]) -> str | None:
    file = _CPU_FOLDER / f"cpu{min(cores, default=0)}/cpufreq/scaling_governor"
    return file.read_text().strip() if file.exists() else None


def _versions() -> Mapping[str, str]:
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
