from __future__ import annotations

import flatbuffers
import numpy as np
import pytest

from taut.graph.flatbuffer import Flatbuffer, Table
from taut.graph.tflite_sparsity import densify

_Level = int | tuple[list[int], list[int]]
"""Size of a dense level, or segments and indices of a compressed one"""


def _sparsity(order: list[int], blocked: list[int], levels: list[_Level]) -> Table:
    builder = flatbuffers.Builder(256)
    tables = [_level(builder, level) for level in levels]
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    vector = builder.EndVector()
    numbers = [builder.CreateNumpyVector(np.array(entries, np.int32)) for entries in (order, blocked)]
    builder.StartObject(3)
    for slot, offset in enumerate((*numbers, vector)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject())
    return Flatbuffer(bytes(builder.Output())).root()


def _level(builder: flatbuffers.Builder, level: _Level) -> int:
    if isinstance(level, int):
        builder.StartObject(2)
        builder.PrependInt32Slot(1, level, 0)
        return int(builder.EndObject())
    vectors = []
    for entries in level:
        entry_vector = builder.CreateNumpyVector(np.array(entries, np.uint8))
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, entry_vector, 0)
        vectors.append(builder.EndObject())
    builder.StartObject(6)
    builder.PrependInt8Slot(0, 1, 0)
    for slot, offset in zip((2, 4), vectors, strict=True):
        builder.PrependUint8Slot(slot, 3, 0)
        builder.PrependUOffsetTRelativeSlot(slot + 1, offset, 0)
    return int(builder.EndObject())


def _stored(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.float32)


def test_compressed_rows_become_dense() -> None:
    sparsity = _sparsity([0, 1], [], [3, ([0, 2, 2, 3], [0, 3, 1])])
    expected = [[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]]
    np.testing.assert_array_equal(densify(_stored(3), sparsity, (3, 4), 100), expected)


def test_columns_may_come_first() -> None:
    sparsity = _sparsity([1, 0], [], [2, ([0, 1, 3], [2, 0, 1])])
    np.testing.assert_array_equal(densify(_stored(3), sparsity, (3, 2), 100), [[0, 2], [0, 3], [1, 0]])


def test_blocks_become_dense() -> None:
    """Rows of 1x2 blocks: the first row has its second block, the second row its first."""
    sparsity = _sparsity([0, 1, 2], [1], [2, ([0, 1, 2], [1, 0]), 2])
    np.testing.assert_array_equal(densify(_stored(4), sparsity, (2, 4), 100), [[0, 0, 1, 2], [3, 4, 0, 0]])


_BROKEN: dict[str, tuple[list[int], list[int], list[_Level], str]] = {
    "levels": ([0, 1], [], [3], "levels do not match"),
    "order": ([0, 0], [], [3, 4], "levels do not match"),
    "blocks": ([0, 1, 2], [5], [3, 4, 1], "blocks along dimensions"),
    "segments": ([0, 1], [], [3, ([0, 2, 1, 3], [0, 3, 1])], "segments do not fit"),
    "indices": ([0, 1], [], [3, ([0, 1, 2, 3], [0, 9, 1])], "outside its shape"),
    "nodes": ([0, 1], [], [2**30, 4], "a level of 1073741824 nodes"),
    "count": ([0, 1], [], [3, 4], "stores 3 numbers at 12 places"),
}


@pytest.mark.parametrize(("order", "blocked", "levels", "rule"), _BROKEN.values(), ids=_BROKEN.keys())
def test_broken_trees_are_refused(
    order: list[int], blocked: list[int], levels: list[_Level], rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        densify(_stored(3), _sparsity(order, blocked, levels), (3, 4), 100)
