from __future__ import annotations

import numpy as np
import pytest
from operator_oracle import check, normal


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("target", [(6, 4), (-1, 2), (0, -1), (0, 0, 4), (1, 24), (24,), (2, 3, 2, 2)])
def test_reshape_agrees_with_onnxruntime(target):
    check("Reshape", normal(2, 3, 4), ints(*target))


def test_reshape_keeps_zero_sizes_when_told():
    check("Reshape", normal(0, 3), ints(3, 0), allowzero=1)


def test_reshape_of_a_scalar_agrees_with_onnxruntime():
    check("Reshape", normal(1), np.zeros(0, np.int64))


def test_reshape_reads_its_target_from_data():
    check("Reshape", normal(2, 3, 4), ints(4, -1), flowing=(0, 1))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten_agrees_with_onnxruntime(axis):
    check("Flatten", normal(2, 3, 4), axis=axis)


@pytest.mark.parametrize("axes", [(1,), (1, 3), (-1,), None])
def test_squeeze_takes_axes_as_input_or_attribute(axes):
    x = normal(2, 1, 3, 1)
    check("Squeeze", x, *([] if axes is None else [ints(*axes)]))
    check("Squeeze", x, opset=12, **({} if axes is None else {"axes": axes}))


@pytest.mark.parametrize("axes", [(0,), (1, 3), (-1,), (-1, 0), (3, 1)])
def test_unsqueeze_takes_axes_as_input_or_attribute(axes):
    check("Unsqueeze", normal(2, 3), ints(*axes))
    check("Unsqueeze", normal(2, 3), opset=12, axes=axes)


@pytest.mark.parametrize("attributes", [{}, {"perm": [1, 2, 0]}])
def test_transpose_agrees_with_onnxruntime(attributes):
    check("Transpose", normal(2, 3, 4), **attributes)


@pytest.mark.parametrize("target", [(2, 3, 4), (1, 4), (5, 1, 3, 1)])
@pytest.mark.parametrize("flowing", [(0,), (0, 1)])
def test_expand_broadcasts_both_ways(target, flowing):
    check("Expand", normal(3, 1), ints(*target), flowing=flowing)


def test_tile_agrees_with_onnxruntime():
    check("Tile", normal(2, 3), ints(2, 2))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_agrees_with_onnxruntime(axis):
    check("Concat", normal(2, 3), normal(2, 3, seed=1), flowing=(0, 1), axis=axis)


@pytest.mark.parametrize("axis", [1, -1])
def test_split_takes_sizes_as_input_or_attribute(axis):
    check("Split", normal(2, 7), ints(3, 4), outputs=2, axis=axis)
    check("Split", normal(2, 7), opset=11, outputs=2, axis=axis, split=[3, 4])


def test_split_into_equal_parts_makes_the_last_one_smaller():
    check("Split", normal(2, 7), outputs=3, axis=1, num_outputs=3)
    check("Split", normal(2, 6), opset=13, outputs=3, axis=1)


FAR = 2**63 - 1


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ((1,), (3,), (0,), (1,)),
        ((1, 0), (FAR, -1), (0, 2), (1, 1)),
        ((-3,), (-1,), (-1,), (1,)),
        ((0,), (FAR,), (1,), (2,)),
        ((-1,), (-FAR,), (1,), (-1,)),
        ((5, 3), (0, -FAR), (1, 0), (-2, -1)),
        ((3,), (1,), (1,), (1,)),
        ((0, 1, 2), (2, 3, 4), None, None),
    ],
)
@pytest.mark.parametrize("is_fed", [False, True])
def test_slice_agrees_with_onnxruntime(starts, ends, axes, steps, is_fed):
    given = [None if numbers is None else ints(*numbers) for numbers in (starts, ends, axes, steps)]
    places = [place for place, array in enumerate(given, start=1) if array is not None]
    check("Slice", normal(4, 6, 5), *given, flowing=(0, *places) if is_fed else (0,))


@pytest.mark.parametrize("axes", [{}, {"axes": [0, 2]}])
def test_slice_takes_attributes_before_opset_10(axes):
    check("Slice", normal(4, 6, 5), opset=9, starts=[1, 0], ends=[3, -2], **axes)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(0, 0, 2, 1, 0, 0, 1, 2), (0, 1, 0, 0, 0, 2, 3, 0)])
def test_pad_agrees_with_onnxruntime(mode, pads):
    check("Pad", normal(2, 3, 4, 5), ints(*pads), mode=mode)


def test_pad_cuts_when_negative():
    check("Pad", normal(3, 6), ints(0, -1, 0, -2))


def test_pad_takes_value_and_axes():
    check("Pad", normal(2, 3, 4), ints(1, 2), np.array(0.5, np.float32), ints(-1))


def test_pad_takes_attributes_before_opset_11():
    check("Pad", normal(2, 3), opset=10, pads=[0, 1, 2, 0], value=0.5)


@pytest.mark.parametrize("attributes", [{}, {"start": 1}, {"start": -2, "end": -1}])
def test_shape_is_known_beforehand(attributes):
    check("Shape", normal(2, 3, 4), **attributes)


def test_size_is_known_beforehand():
    check("Size", normal(2, 3, 4))


@pytest.mark.parametrize("value", [None, np.array([7], np.int64), np.array([0.5], np.float32)])
def test_constant_of_shape_agrees_with_onnxruntime(value):
    from onnx import numpy_helper

    attributes = {} if value is None else {"value": numpy_helper.from_array(value)}
    check("ConstantOfShape", ints(2, 3), **attributes)


def test_range_agrees_with_onnxruntime():
    check("Range", *[np.array(number, np.int64) for number in (1, 9, 3)], flowing=(0, 1, 2))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", [None, 1, -1])
def test_triangle_agrees_with_onnxruntime(upper, diagonal):
    check(
        "Trilu", normal(2, 4, 5), *([] if diagonal is None else [np.array(diagonal, np.int64)]), upper=upper
    )


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_agrees_with_onnxruntime(mode):
    check("DepthToSpace", normal(2, 12, 3, 4), blocksize=2, mode=mode)


def test_space_to_depth_agrees_with_onnxruntime():
    check("SpaceToDepth", normal(2, 3, 4, 6), blocksize=2)
