"""Arrays on disk between the parent and a measured process: one npz without objects, never a pickle.

Arrays of one name that agree in type and shape over all rows are stored as one stacked array, so ten
thousand small samples are one zip member, not ten thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from taut.core.errors import BadInput
from taut.core.runner import Item
from taut.core.task import Arrays

_STACKED, _SINGLE, _ROWS, _STARTS = "stacked", "single", "rows", "starts"


def save_arrays(path: Path, rows: Sequence[Arrays]) -> None:
    """Write rows of named arrays; BadInput for arrays of Python objects."""
    _write(path, _pack(rows))


def load_arrays(path: Path) -> list[dict[str, np.ndarray]]:
    """Read what ``save_arrays`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return _unpack(stored)


def save_items(path: Path, items: Sequence[Item]) -> None:
    """Write items with their inputs and the starts of their sequences."""
    packed = _pack([item.inputs for item in items])
    packed[_STARTS] = np.array([item.starts_sequence for item in items], dtype=bool)
    _write(path, packed)


def load_items(path: Path) -> list[Item]:
    """Read what ``save_items`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        inputs, starts = _unpack(stored), stored[_STARTS]
    return [Item(row, bool(start)) for row, start in zip(inputs, starts, strict=True)]


def _write(path: Path, packed: Mapping[str, np.ndarray]) -> None:
    for key, array in packed.items():
        if array.dtype.hasobject:
            raise BadInput(
                f"array {key.rpartition('|')[2]!r}", "holds Python objects", "give numbers or text"
            )
    with path.open("wb") as file:
        np.savez(file, **packed)  # type: ignore[arg-type]  # no key of ours is its "allow_pickle"


def _pack(rows: Sequence[Arrays]) -> dict[str, np.ndarray]:
    packed = {_ROWS: np.array(len(rows))}
    for name in dict.fromkeys(name for row in rows for name in row):
        column = {index: np.asarray(row[name]) for index, row in enumerate(rows) if name in row}
        kinds = {(array.dtype, array.shape) for array in column.values()}
        if len(kinds) == 1 and len(column) == len(rows):
            packed[f"{_STACKED}||{name}"] = np.stack(list(column.values()))
        else:
            packed |= {f"{_SINGLE}|{index}|{name}": array for index, array in column.items()}
    return packed


def _unpack(stored: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    rows: list[dict[str, np.ndarray]] = [{} for _ in range(int(stored[_ROWS]))]
    for key in stored:
        form, _, rest = key.partition("|")
        index, _, name = rest.partition("|")
        if form == _SINGLE:
            rows[int(index)][name] = stored[key]
        elif form == _STACKED:
            for row, array in zip(rows, stored[key], strict=True):
                row[name] = np.asarray(array)
    return rows
