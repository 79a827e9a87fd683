"""The published systems that are built: one short file each, which composes parts and measures."""

from __future__ import annotations

from taut.core.errors import BadInput
from taut.core.registry import Registry
from taut.core.system import System

SYSTEMS = Registry("system")
SYSTEMS.register("amc", "taut.systems.amc:SYSTEM", extra="train")
SYSTEMS.register("convnet-efficiency", "taut.systems.convnet_efficiency:SYSTEM", extra="train")
SYSTEMS.register("int8-integer-only", "taut.systems.int8_integer_only:SYSTEM", extra="train")
SYSTEMS.register("pulp-nonneural", "taut.systems.pulp_nonneural:SYSTEM", extra="train")


def select_systems(system: str | None, family: str | None, every: bool) -> list[System]:
    """Return the named system, a family's, or all; BadInput where nothing or nobody is named."""
    if system is not None:
        return [SYSTEMS.load(system)]
    loaded: list[System] = [SYSTEMS.load(name) for name in SYSTEMS]
    chosen = [one for one in loaded if every or one.family == family]
    if not chosen:
        families = ", ".join(sorted({one.family for one in loaded}))
        raise BadInput(
            f"--family {family}" if family else "taut try",
            "names no system",
            f"give an id, --all, or one of: {families}",
        )
    return chosen
