"""Tables of a flatbuffer, read with every offset checked to lie inside the file.

The format (https://flatbuffers.dev/internals): a table begins with the signed distance back to its vtable,
which lists where the fields of each slot lie; a field is a scalar, or the unsigned distance ahead to a
vector, string or table. Absent slots have defaults, which only the schema knows.

Vectors may overlap, so a small file can describe more than memory holds; what is read of one file in all,
but for views of data, is bounded by a multiple of its size. Everything here raises ValueError for a file
that breaks the format.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_READ_BOUND = 16
"""How often the file's bytes may be read: writers share lists of fields, and little else"""


class Flatbuffer:
    """The bytes of one file, and how many more of them may be read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._left_bytes = _READ_BOUND * len(content)

    def root(self) -> Table:
        """Return the table that the file starts from."""
        return Table(self, self.ahead(0))

    def number(self, kind: str, position: int) -> Any:
        """Read a scalar; ``kind`` is its letter in ``struct``."""
        self._spend(self._within(position, struct.calcsize(f"<{kind}")))
        return struct.unpack_from(f"<{kind}", self.content, position)[0]

    def ahead(self, position: int) -> int:
        """Return where the offset at a position points."""
        return position + int(self.number("I", position))

    def vector(self, position: int, dtype: np.dtype) -> np.ndarray:
        """Return the vector at a position, a read-only view of shape (length,)."""
        view = self.view(position, dtype)
        self._spend(view.nbytes)
        return view

    def view(self, position: int, dtype: np.dtype) -> np.ndarray:
        """Return a vector that is not gone through, so that it does not count as read."""
        length = int(self.number("I", position))
        self._within(position + 4, length * dtype.itemsize)
        return np.frombuffer(self.content, dtype, length, position + 4)

    def _within(self, position: int, size_bytes: int) -> int:
        """Return the size of a range that lies within the file. Raises ValueError for any other."""
        if not 0 <= position <= len(self.content) - size_bytes:
            raise ValueError(f"an offset leads to byte {position}, outside the file")
        return size_bytes

    def _spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise ValueError("its parts overlap without end")


class Table:
    """One table; its fields are read by their slot in the schema."""

    def __init__(self, buffer: Flatbuffer, position: int) -> None:
        self._buffer, self._position = buffer, position
        vtable = position - int(buffer.number("i", position))
        size_bytes = int(buffer.number("H", vtable))
        if size_bytes < 4 or size_bytes % 2:
            raise ValueError(f"the table at byte {position} has a broken list of fields")
        # The first two entries are the sizes of vtable and table.
        count = (size_bytes - 4) // 2
        self._fields = [buffer.number("H", vtable + 4 + 2 * slot) for slot in range(count)]

    def number(self, slot: int, kind: str, default: int | float = 0) -> Any:
        """Read a scalar field; ``kind`` is its letter in ``struct``."""
        place = self._place(slot)
        return default if place is None else self._buffer.number(kind, place)

    def table(self, slot: int) -> Table | None:
        """Read a field that is a table; None where it is absent."""
        place = self._place(slot)
        return None if place is None else Table(self._buffer, self._buffer.ahead(place))

    def tables(self, slot: int) -> list[Table]:
        """Read a vector of tables."""
        place = self._place(slot)
        if place is None:
            return []
        first = self._buffer.ahead(place) + 4
        offsets = self.vector(slot, "<u4")
        return [
            Table(self._buffer, first + 4 * number + int(offset)) for number, offset in enumerate(offsets)
        ]

    def vector(self, slot: int, dtype: str) -> np.ndarray:
        """Read a vector of scalars, (length,); empty where it is absent."""
        place = self._place(slot)
        if place is None:
            return np.zeros(0, dtype)
        return self._buffer.vector(self._buffer.ahead(place), np.dtype(dtype))

    def data(self, slot: int) -> np.ndarray:
        """Return a view of a vector of bytes, (length,); empty where it is absent."""
        place = self._place(slot)
        return (
            np.zeros(0, "u1")
            if place is None
            else self._buffer.view(self._buffer.ahead(place), np.dtype("u1"))
        )

    def text(self, slot: int) -> str:
        """Read a string; bytes that are no UTF-8 are replaced, since names only need to be told apart."""
        return self.vector(slot, "u1").tobytes().decode(errors="replace")

    def _place(self, slot: int) -> int | None:
        """Where a field lies; None where the table does not have it."""
        offset = self._fields[slot] if slot < len(self._fields) else 0
        return self._position + offset if offset else None
