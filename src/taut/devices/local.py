"""The machine this process runs on, as a Device.

The fingerprint hashes what changes timings (processor, instruction sets, usable cores, memory, system)
and nothing that changes by itself, such as load or clock. Memory is rounded to whole GiB, because kernels
reserve slightly different amounts; a container's share of a core is not seen.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import psutil

from taut.core.device import Device
from taut.devices.compiler import compiler

# Distributions that may supply a runtime, the first one installed counts.
_DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino",),
    "torch": ("torch",),
}
# Instruction sets for which runtimes have kernels of their own; the rest of the flags is noise.
_FEATURE = re.compile(
    r"^(sse4_[12]|avx|avx2|fma|f16c|avx_vnni(_int8)?|avx_ne_convert|avx512(f|bw|dq|vl|_vnni|_bf16|_fp16)"
    r"|amx_(tile|int8|bf16|fp16)|neon|asimd|asimdhp|asimddp|sve|sve2|i8mm|bf16|svebf16|svei8mm|sme|rvv?)$"
)
_GIB = 2**30
_CPUINFO = Path("/proc/cpuinfo")


@cache
def local_device() -> Device:
    """Describe this machine; what its system does not tell is left empty, never an error."""
    info = _cpu_info()
    memory_bytes = psutil.virtual_memory().total
    return Device(
        "local",
        local_fingerprint(),
        _processor(info),
        default_threads(),
        memory_bytes,
        _features(info),
        _runtimes(),
    )


def local_fingerprint() -> str:
    """The fingerprint alone, without the versions of runtimes, which take 5 ms to look up."""
    info = _cpu_info()
    identity = {
        "processor": _processor(info),
        "features": _features(info),
        "cores": default_threads(),
        "memory_gib": round(psutil.virtual_memory().total / _GIB),
        "system": f"{platform.system()} {platform.machine()}",
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def default_threads() -> int:
    """Count the cores this process may use; every default number of threads is this one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_info() -> Mapping[str, str]:
    """Fields of the first processor in /proc/cpuinfo; empty on systems without it."""
    if not _CPUINFO.exists():
        return {}
    text = _CPUINFO.read_text(errors="replace")
    pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    return {key.strip(): value.strip() for key, value in reversed(pairs)}


def _processor(info: Mapping[str, str]) -> str:
    """Name of the processor; family, model and stepping tell apart what virtual machines call alike."""
    name = info.get("model name") or info.get("CPU part") or platform.processor() or platform.machine()
    numbers = [info[key] for key in ("cpu family", "model", "stepping") if key in info]
    return f"{name} ({'/'.join(numbers)})" if numbers else name


def _features(info: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(flag for flag in _flags(info) if _FEATURE.match(flag)))


def _flags(info: Mapping[str, str]) -> list[str]:
    flags = (info.get("flags") or info.get("Features") or info.get("isa") or "").split()
    is_arm_64 = platform.machine().lower() in {"arm64", "aarch64"}
    return [*flags, "neon"] if is_arm_64 else flags


def _runtimes() -> dict[str, str]:
    found = {name: _first_version(names) for name, names in _DISTRIBUTIONS.items()}
    found["aot"] = _first_version(("taut",)) if compiler() is not None else None
    return {name: version for name, version in found.items() if version is not None}


def _first_version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
