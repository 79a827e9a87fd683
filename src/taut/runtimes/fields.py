"""Reading JSON from strangers: every field is checked for presence, type and bounds before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.core.errors import BadInput

_WAY_OUT = "make the artifact again, or get an undamaged copy"
_LIST_BOUND = 100_000
"""Far above any real list, far below what fills the memory when a damaged file is walked"""


@dataclass(frozen=True)
class Fields:
    """A JSON object whose fields are asked for by name and type; BadInput names the first that is wrong."""

    data: Mapping[str, Any]
    given: str
    """What a person would call the object, such as ``best/manifest.json stage 1``"""

    def refuse(self, rule: str) -> BadInput:
        return BadInput(self.given, rule, _WAY_OUT)

    def _field(self, key: str, kind: type, words: str) -> Any:
        value = self.data.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.refuse(f"field {key!r} is missing or not {words}")
        return value

    def text(self, key: str) -> str:
        value: str = self._field(key, str, "a text")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        value: int = self._field(key, int, "a whole number")
        if not low <= value <= high:
            raise self.refuse(f"field {key!r} is {value}, outside {low}..{high}")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        value: dict[str, Any] = self._field(key, dict, "an object")
        return value

    def inner(self, key: str) -> Fields:
        return Fields(self.mapping(key), f"{self.given} {key}")

    def array(self, key: str) -> list[Any]:
        value: list[Any] = self._field(key, list, "a list")
        if len(value) > _LIST_BOUND:
            raise self.refuse(f"field {key!r} has {len(value)} entries")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.array(key)
        if not all(isinstance(value, str) for value in values):
            raise self.refuse(f"field {key!r} has an entry that is not a text")
        return tuple(values)

    def objects(self, key: str) -> list[Fields]:
        values = self.array(key)
        if not all(isinstance(value, dict) for value in values):
            raise self.refuse(f"field {key!r} has an entry that is not an object")
        return [Fields(value, f"{self.given} {key} {number}") for number, value in enumerate(values)]

    def text_map(self, key: str) -> dict[str, str]:
        values = self.mapping(key)
        if not all(isinstance(value, str) for value in values.values()):
            raise self.refuse(f"field {key!r} has an entry that is not a text")
        return values


def read_fields(path: Path, size_bound_bytes: int) -> Fields:
    """Read a JSON object from a file; BadInput where it is missing, too large or not one."""
    try:
        if path.stat().st_size > size_bound_bytes:
            raise BadInput(str(path), f"is larger than {size_bound_bytes} bytes", _WAY_OUT)
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(
            str(path), f"cannot be read ({error.strerror})", "give an artifact's folder"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(str(path), f"is not JSON ({error})", _WAY_OUT) from error
    if not isinstance(data, dict):
        raise BadInput(str(path), "is not a JSON object", _WAY_OUT)
    return Fields(data, str(path))
