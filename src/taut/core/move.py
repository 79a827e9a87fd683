"""Moves: what can be done to a network, and plans made of them.

A Move is a frozen dataclass instance of plain values; its ``apply`` copies and never mutates. A MoveKind
says where moves of its sort make sense. Settings address nodes by their name in the original; the
NameMap that each move returns is the only source for what became of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from taut.core.device import Device
from taut.core.network import Network
from taut.core.task import Task


class Form(IntEnum):
    """What a move works on; a plan applies them in this order."""

    MODULE = 0
    """Needs weights that can be trained or cut."""
    GRAPH = 1
    """Rewrites the deployable graph."""
    RUN = 2
    """Changes settings only."""


@dataclass(frozen=True)
class NameMap:
    """What became of the original's nodes: old name -> new names; an empty tuple means removed.

    A node that is not listed kept its name. Two old names with a new one in common were merged.

        NameMap({"conv1": ("conv1",), "bn1": ("conv1",), "relu1": ()})
    """

    renamed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def new_names(self, old: str) -> tuple[str, ...]:
        return self.renamed.get(old, (old,))

    def then(self, later: NameMap) -> NameMap:
        """Compose: first this map, then the later one."""
        names = {old: _follow(new, later) for old, new in self.renamed.items()}
        return NameMap({**later.renamed, **names})


def _follow(names: tuple[str, ...], later: NameMap) -> tuple[str, ...]:
    followed = [new for name in names for new in later.new_names(name)]
    return tuple(dict.fromkeys(followed))


LONGEST_WORD = 40
"""Of a setting that is shown in a label; lists of nodes are longer"""

Progress = Callable[[str, float], None]
"""(what is being done, share done 0..1)"""


def no_progress(_what: str, _share: float) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Context:
    """What a move may use besides the network."""

    task: Task
    device: Device
    work_folder: Path
    threads: int = 1
    batch: int = 1
    seed: int = 0
    progress: Progress = no_progress
    original: Network | None = None
    """The unchanged network: teacher of every recovery"""


@dataclass(frozen=True)
class Moved:
    """What ``apply`` returns: the new network and what became of the old one's nodes."""

    network: Network
    names: NameMap = field(default_factory=NameMap)


class Move(Protocol):
    """A change to a network, given by plain values only, so that it can be hashed and replayed."""

    kind: str
    """Name of its MoveKind in the registry"""
    form: Form

    def apply(self, network: Network, context: Context) -> Moved:
        """Return a changed copy; the given network is left as it is."""
        ...


class MoveKind(Protocol):
    """A sort of move: what it offers for a network, and how its moves are rebuilt from JSON."""

    name: str
    form: Form

    def offers(self, network: Network, context: Context) -> Sequence[Move]:
        """Return moves worth trying as they stand, strongest default first; empty where it cannot help."""
        ...

    def from_json(self, settings: Mapping[str, Any]) -> Move: ...


def move_to_json(move: Any) -> dict[str, Any]:
    """Return ``{"move": kind, "settings": {...}}`` of a dataclass move."""
    return {"move": move.kind, "settings": _plain(dataclasses.asdict(move))}


def describe_move(move: Any) -> str:
    """Call a move by its own label, else by its kind and the plain settings that are not the default."""
    if label := getattr(move, "label", None):
        return str(label)
    changed = [
        (field.name, getattr(move, field.name))
        for field in dataclasses.fields(move)
        if getattr(move, field.name) != field.default
    ]
    words = [value if isinstance(value, str) else f"{name}={value}" for name, value in changed]
    return " ".join([move.kind, *(word for word in words if len(word) <= LONGEST_WORD)])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Plan:
    """Moves in the order MODULE, GRAPH, RUN (kept by ``of``); the empty plan is the original."""

    moves: tuple[Any, ...] = ()
    label: str = field(default="", compare=False)
    """How a person would call it; not part of its identity"""

    @staticmethod
    def of(moves: Iterable[Any], label: str = "") -> Plan:
        """Sort the moves by form, keeping the given order within a form."""
        return Plan(tuple(sorted(moves, key=lambda move: move.form)), label)

    def with_move(self, move: Any, label: str | None = None) -> Plan:
        """Return the plan with one more move."""
        return Plan.of((*self.moves, move), self.label if label is None else label)

    def to_json(self) -> list[dict[str, Any]]:
        return [move_to_json(move) for move in self.moves]

    def digest(self) -> str:
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
