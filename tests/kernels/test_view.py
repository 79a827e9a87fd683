"""Arithmetic on views is numpy's on the arrays they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.kernels.view import Buffer, Storage, View, affine_steps, row_major


def numbered(shape: tuple[int, ...]) -> tuple[View, np.ndarray]:
    """A view of a whole buffer, and what lies in it: each element's place."""
    count = int(np.prod(shape))
    return View.whole(Buffer(Storage.ARENA, "float32", count), shape), np.arange(count).reshape(shape)


def read(view: View) -> np.ndarray:
    """The places that a view addresses."""
    places = np.full(view.shape, view.offset)
    for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        places += stride * np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(view.shape))])
    return places


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), st.data())
def test_changes_of_a_view_are_those_of_an_array(shape: tuple[int, ...], data: st.DataObject) -> None:
    view, array = numbered(shape)
    for _ in range(3):
        change = data.draw(st.sampled_from(["transpose", "slice", "reshape", "at"]))
        if change == "transpose":
            axes = data.draw(st.permutations(range(array.ndim)))
            view, array = view.transpose(axes), array.transpose(axes)
        elif change == "slice":
            cut = [data.draw(st.slices(size)) for size in array.shape]
            if array[tuple(cut)].size:
                view, array = view.slice(cut), array[tuple(cut)]
        elif change == "reshape":
            merged = (array.shape[0], -1) if array.ndim else ()
            moved = view.reshape(array.reshape(merged).shape)
            # None means that numpy would copy too, which a view of an array shows by its base.
            if moved is not None:
                view, array = moved, array.reshape(merged)
        elif array.ndim > 1:
            axis = data.draw(st.integers(0, array.ndim - 1))
            view, array = view.at(axis, 0), np.take(array, 0, axis)
    np.testing.assert_array_equal(read(view), array)


def test_reshape_of_what_would_have_to_be_copied_is_none() -> None:
    view, _ = numbered((2, 3))
    assert view.transpose((1, 0)).reshape((6,)) is None
    assert view.reshape((6,)) == View.whole(view.buffer, (6,))


@given(st.integers(0, 5), st.integers(-3, 3), st.integers(-3, 3))
def test_affine_numbers_are_strides(first: int, step: int, other: int) -> None:
    indices = first + step * np.arange(3)[:, None] + other * np.arange(4)
    assert affine_steps(indices) == (step, other)


def test_numbers_that_follow_no_stride_have_none() -> None:
    assert affine_steps(np.array([0, 1, 3])) is None
    assert affine_steps(np.array([[0, 1], [1, 3]])) is None


def test_sliding_windows_are_views() -> None:
    view, array = numbered((2, 6))
    indices = np.arange(4)[:, None] + np.arange(3)
    taken = view.take(1, indices)
    assert taken is not None
    np.testing.assert_array_equal(read(taken), array[:, indices])
    windows = view.windows(1, places=2, size=3, stride=2, dilation=-1, first=2)
    np.testing.assert_array_equal(read(windows), array[:, [[2, 1, 0], [4, 3, 2]]])


@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (2, 3, 4)])
def test_row_major_strides_are_numpys(shape: tuple[int, ...]) -> None:
    wanted = tuple(stride // 4 for stride in np.empty([max(1, size) for size in shape], np.float32).strides)
    if 0 not in shape:
        assert row_major(shape) == wanted
    assert len(row_major(shape)) == len(shape)


def test_order_of_axes_is_that_of_memory() -> None:
    view, _ = numbered((2, 3, 4))
    assert view.transpose((2, 0, 1)).order == (1, 2, 0)
    assert view.slice([slice(0, 1), slice(None), slice(None)]).order == (0, 1, 2)


def test_a_slice_of_a_view_without_axes_is_itself() -> None:
    view, _ = numbered(())
    assert view.slice([]) == view
