"""The one move of this family: run the network another way, its graph left as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved
from taut.core.network import Network, Run, Stage

Option = str | int | float | bool
StageSettings = tuple[str, str, tuple[tuple[str, Option], ...], tuple[str, ...]]
"""Runtime, precision, options by name, values it ends at"""


@dataclass(frozen=True)
class SetRun:
    """Sets the stages of a network's run, as plain values.

    SetRun.of([Stage("openvino", "float32", until=("conv3_out",)), Stage("openvino", "bfloat16")])
    """

    stages: tuple[StageSettings, ...]

    kind = "runtime"
    form = Form.RUN

    @staticmethod
    def of(stages: Iterable[Stage]) -> SetRun:
        """Return the move to these stages; the order of options does not count."""
        return SetRun(
            tuple(
                (stage.runtime, stage.precision, tuple(sorted(stage.options.items())), tuple(stage.until))
                for stage in stages
            )
        )

    @staticmethod
    def from_json(settings: Mapping[str, Any]) -> SetRun:
        """Rebuild the move from its settings as JSON gives them back, lists in place of tuples."""
        return SetRun.of(
            Stage(runtime, precision, dict(options), tuple(until))
            for runtime, precision, options, until in settings["stages"]
        )

    @property
    def run(self) -> Run:
        return Run(
            tuple(
                Stage(runtime, precision, dict(options), until)
                for runtime, precision, options, until in self.stages
            )
        )

    @property
    def label(self) -> str:
        """How a person would call it: ``openvino float32 to conv3_out, then openvino bfloat16``."""
        return ", then ".join(_label(stage) for stage in self.run.stages)

    def apply(self, network: Network, context: Context) -> Moved:
        """Return the network with another run; BadInput where a stage ends at a value that is not there."""
        del context
        known = {value for node in network.graph for value in node.outputs}
        for stage in self.run.stages:
            for value in stage.until:
                if value not in known:
                    raise BadInput(f"run cut at {value!r}", "the graph has no such value", "cut elsewhere")
        return Moved(network.with_run(self.run))


def _label(stage: Stage) -> str:
    options = "".join(f" {key.removeprefix('session.')}={value}" for key, value in stage.options.items())
    until = f" to {', '.join(stage.until)}" if stage.until else ""
    return f"{stage.runtime} {stage.precision}{options}{until}"
