"""Lazy registries: a name maps to ``module:factory`` and is imported only when asked for.

``import taut`` thereby needs only the base dependencies; a missing optional package is reported with the
extra to install, an unknown name with the names that exist.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taut.core.errors import BadInput


@dataclass(frozen=True)
class Entry:
    """Where a registered thing lives."""

    target: str
    """``module:attribute``"""
    extra: str | None = None
    """Name of the optional extra that its module needs."""


@dataclass
class Registry:
    """Names of one family of interchangeable parts (runtimes, move kinds, strategies, ...)."""

    family: str
    entries: dict[str, Entry] = field(default_factory=dict)

    def register(self, name: str, target: str, extra: str | None = None) -> None:
        assert name not in self.entries, f"{self.family} {name!r} is registered twice"
        self.entries[name] = Entry(target, extra)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def load(self, name: str) -> Any:
        """Import and return the registered attribute.

        Raises BadInput for an unknown name, and for a module whose optional dependency is missing.
        """
        if name not in self.entries:
            raise BadInput(f"{self.family} {name!r}", "is not known", f"one of: {', '.join(self.entries)}")
        entry = self.entries[name]
        module_name, attribute = entry.target.split(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if entry.extra is None or (error.name or "").startswith("taut"):
                raise
            raise BadInput(
                f"{self.family} {name!r}",
                f"needs the package {error.name!r}, which is not installed",
                f"pip install 'taut[{entry.extra}]'",
            ) from error
        return getattr(module, attribute)

    def installed(self) -> list[str]:
        """Names whose modules can be imported here, in the order of registration."""
        return [name for name in self.entries if self._is_importable(name)]

    def _is_importable(self, name: str) -> bool:
        try:
            self.load(name)
        except BadInput:
            return False
        return True
