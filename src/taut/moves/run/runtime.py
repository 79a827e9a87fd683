"""Which runtime, precision and settings: every installed runtime with every variant worth timing here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taut.core.move import Context, Form
from taut.core.network import Network
from taut.moves.run.set_run import SetRun
from taut.runtimes import RUNTIMES, get_runtime


@dataclass(frozen=True)
class RuntimeKind:
    """Offers the whole network in one runtime; the first offer is the original's way."""

    name = "runtime"
    form = Form.RUN

    def offers(self, network: Network, context: Context) -> Sequence[SetRun]:
        """Return each runtime's variants for the device, each runtime's default before its others."""
        del network
        installed = [name for name in RUNTIMES if name in context.device.runtimes]
        return [
            SetRun.of([stage])
            for name in installed
            for stage in get_runtime(name).variants(context.device, context.threads)
        ]

    def from_json(self, settings: Mapping[str, Any]) -> SetRun:
        return SetRun.from_json(settings)


KIND = RuntimeKind()
