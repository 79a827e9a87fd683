"""A Device: a place where things run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """What identifies a place and what it offers. The fingerprint keys every timing taken on it."""

    name: str
    fingerprint: str
    """Hash of what changes timings: processor model, features, cores, memory, operating system"""
    processor: str
    cores: int
    memory_bytes: int
    features: tuple[str, ...]
    """Instruction-set features that decide which kernels run, such as ``avx512_vnni``"""
    runtimes: Mapping[str, str]
    """Installed runtimes by name -> version"""
