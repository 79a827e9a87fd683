from __future__ import annotations

import flatbuffers
import numpy as np
import pytest

from taut.graph.flatbuffer import Flatbuffer, Table


def _content() -> bytes:
    """A table of a number, a name, numbers, and two inner tables with a number each."""
    builder = flatbuffers.Builder(256)
    name, numbers = builder.CreateString("näme"), builder.CreateNumpyVector(np.array([3, -4], np.int32))
    inner = []
    for number in (7, 8):
        builder.StartObject(1)
        builder.PrependInt32Slot(0, number, 0)
        inner.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for table in reversed(inner):
        builder.PrependUOffsetTRelative(table)
    tables = builder.EndVector()
    builder.StartObject(6)
    builder.PrependFloat32Slot(0, 1.5, 0)
    for slot, offset in ((1, name), (2, numbers), (3, tables), (4, inner[0])):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def test_fields_are_read_as_the_builder_wrote_them() -> None:
    root = Flatbuffer(_content()).root()
    assert root.number(0, "f") == 1.5 and root.text(1) == "näme"
    assert root.vector(2, "<i4").tolist() == [3, -4]
    assert [table.number(0, "i") for table in root.tables(3)] == [7, 8]
    single = root.table(4)
    assert single is not None and single.number(0, "i") == 7


@pytest.mark.parametrize("slot", [5, 99])
def test_absent_fields_have_their_defaults(slot: int) -> None:
    root = Flatbuffer(_content()).root()
    assert root.number(slot, "i", 4) == 4 and root.text(slot) == "" and root.table(slot) is None
    assert root.tables(slot) == [] and root.vector(slot, "<i4").size == root.data(slot).size == 0


@pytest.mark.parametrize("end", range(0, 22, 3))
def test_a_file_that_ends_early_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match="outside the file"):
        Flatbuffer(_content()[:end]).root()


def test_offsets_before_the_file_are_refused() -> None:
    """The distance to the list of fields is signed, so it may lead before the first byte."""
    content = (4).to_bytes(4, "little") + (100).to_bytes(4, "little")
    with pytest.raises(ValueError, match="byte -96, outside the file"):
        Flatbuffer(content).root()


def test_reading_overlapping_parts_ends() -> None:
    root = Flatbuffer(_content()).root()

    def read_on(table: Table) -> None:
        for _ in range(10_000):
            table.vector(2, "<i4")

    with pytest.raises(ValueError, match="overlap without end"):
        read_on(root)
