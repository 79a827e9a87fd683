"""What a processor's features mean for the choice of precision."""

from __future__ import annotations

from taut.core.device import Device

_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


def has_bfloat16(device: Device) -> bool:
    """Whether the processor multiplies in bfloat16; without it a runtime would convert back and forth."""
    return bool(_BFLOAT16 & set(device.features))
