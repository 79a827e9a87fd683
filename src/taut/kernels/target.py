"""What C is written for: vector length and registers, and how the compiler is told."""

from __future__ import annotations

from dataclasses import dataclass

from taut.core.device import Device


@dataclass(frozen=True)
class Target:
    """A kind of machine."""

    name: str
    lanes: int
    """Floats in a vector"""
    registers: int
    """Vector registers, among which a kernel divides its accumulators"""
    flags: tuple[str, ...] = ()
    """For gcc and clang"""


AVX512 = Target("avx512", 16, 32, ("-march=native", "-mprefer-vector-width=512"))
AVX2 = Target("avx2", 8, 16, ("-march=native",))
NEON = Target("neon", 4, 32, ("-march=native",))
PLAIN = Target("plain", 4, 16)


def target_of(device: Device) -> Target:
    """Return the widest vectors that a device computes with."""
    features = set(device.features)
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= features:
        return AVX512
    if {"avx2", "fma"} <= features:
        return AVX2
    return NEON if features & {"neon", "asimd"} else PLAIN
