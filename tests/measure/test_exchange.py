from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from taut.core.errors import BadInput
from taut.core.runner import Item
from taut.measure.exchange import load_arrays, load_items, save_arrays, save_items

ARRAYS = st.one_of(
    hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    for dtype in (np.float32, np.int64, np.bool_, np.dtype("U4"))
)
NAMES = st.sampled_from(["x", "file", "a/b:0", "one|two", "rows"])
ROWS = st.lists(st.dictionaries(NAMES, ARRAYS, max_size=3), max_size=4)


@given(rows=ROWS)
def test_arrays_come_back_as_they_were_saved(
    rows: list[dict[str, np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    save_arrays(path, rows)
    loaded = load_arrays(path)
    assert [set(row) for row in loaded] == [set(row) for row in rows]
    for row, back in zip(rows, loaded, strict=True):
        for name, array in row.items():
            assert isinstance(back[name], np.ndarray) and back[name].shape == array.shape
            np.testing.assert_array_equal(back[name], array)


def test_equal_shapes_are_stacked_into_one_member(tmp_path: Path) -> None:
    save_arrays(tmp_path / "rows.npz", [{"x": np.full(2, index)} for index in range(50)])
    with np.load(tmp_path / "rows.npz") as stored:
        assert len(stored.files) == 2


def test_items_keep_the_starts_of_their_sequences(tmp_path: Path) -> None:
    items = [Item({"x": np.ones(index)}, starts_sequence=index == 1) for index in range(3)]
    save_items(tmp_path / "items.npz", items)
    loaded = load_items(tmp_path / "items.npz")
    assert [item.starts_sequence for item in loaded] == [False, True, False]
    assert [item.inputs["x"].shape for item in loaded] == [(0,), (1,), (2,)]


def test_python_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'x'.*Python objects"):
        save_arrays(tmp_path / "rows.npz", [{"x": np.array([{}])}])
    assert not (tmp_path / "rows.npz").exists()
