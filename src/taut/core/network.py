"""A Network: named parts with one entry, and how they run.

The graph is the single source of truth of a part: a torch module is made from it when weights have to
train (``graph/to_torch``) and written back. What has no weights is a part whose kind supplies its loader
and Runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

MAIN = "main"


@dataclass(frozen=True)
class Stage:
    """A stretch of the graph that one runtime compiles: from the previous stage's cut to this one's.

    ``options`` are that runtime's own settings by its own names, plain JSON values. ``until`` names the
    values after which the graph is cut; empty for the last stage.
    """

    runtime: str = "onnxruntime"
    precision: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)
    until: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """How a network runs: its stages in order. The default is the original's way."""

    stages: tuple[Stage, ...] = (Stage(),)

    def __post_init__(self) -> None:
        if not self.stages or self.stages[-1].until:
            raise ValueError("a run needs stages, and the last one has no cut")
        if any(not stage.until for stage in self.stages[:-1]):
            raise ValueError("every stage but the last names the values it ends at")


@dataclass(frozen=True)
class Part:
    """One part of a network. ``source_file`` is the file it came from, as long as nothing changed it."""

    graph: Any
    kind: str = "net"
    source_file: Path | None = None


@dataclass(frozen=True)
class Network:
    """Parts by name, the entry, how it runs, and which outputs are fed back as inputs.

    Moves copy a network, they never change it:

        smaller = network.with_graph(pruned)            # the same run, another main graph
        faster = network.with_run(Run((Stage("openvino", "bfloat16"),)))
    """

    name: str
    parts: Mapping[str, Part]
    entry: str = MAIN
    run: Run = field(default_factory=Run)
    feedback: Mapping[str, str] = field(default_factory=dict)
    """Recurrent state: output name -> input name that receives it at the next step of a sequence"""

    def __post_init__(self) -> None:
        if self.entry not in self.parts:
            raise ValueError(f"entry {self.entry!r} is not among the parts {sorted(self.parts)}")

    @property
    def graph(self) -> Any:
        """The graph of the entry part."""
        return self.parts[self.entry].graph

    def with_graph(self, graph: Any) -> Network:
        """Return a copy whose entry part has another graph."""
        part = Part(graph, self.parts[self.entry].kind)
        return replace(self, parts={**self.parts, self.entry: part})

    def with_run(self, run: Run) -> Network:
        """Return a copy that runs another way."""
        return replace(self, run=run)
