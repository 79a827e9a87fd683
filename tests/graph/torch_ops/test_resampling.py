from __future__ import annotations

import numpy as np
import pytest
from operator_oracle import check, normal

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
SCALES = [(2.0, 2.0), (0.6, 1.7), (0.5, 3.0), (1.0, 2.5)]


def numbers(*items: float) -> np.ndarray:
    return np.array(items, np.float32)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", SCALES)
def test_resize_by_scales_agrees_with_onnxruntime(coordinates, mode, scales):
    settings = {"mode": mode, "coordinate_transformation_mode": coordinates}
    check("Resize", normal(1, 2, 5, 6), None, numbers(1, 1, *scales), opset=19, **settings)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize_to_sizes_agrees_with_onnxruntime(coordinates, mode):
    sizes, settings = np.array([2, 3, 9, 4], np.int64), {"coordinate_transformation_mode": coordinates}
    check("Resize", normal(2, 3, 5, 6), None, None, sizes, mode=mode, opset=13, **settings)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scale", [2.0, 0.5, 1.5])
def test_resize_rounds_to_the_nearest_as_told(rounding, scale):
    scales = numbers(1, 1, scale, scale)
    settings = {"mode": "nearest", "nearest_mode": rounding, "coordinate_transformation_mode": "asymmetric"}
    check("Resize", normal(1, 2, 6, 8), None, scales, opset=13, **settings)


def test_resize_takes_axes():
    check("Resize", normal(1, 2, 5, 6), None, numbers(2, 3), axes=[2, 3], mode="nearest", opset=19)


def test_resize_takes_another_cubic_kernel():
    check("Resize", normal(1, 1, 5, 6), None, numbers(1, 1, 2, 2), mode="cubic", cubic_coeff_a=-0.5, opset=13)


@pytest.mark.parametrize("space", [(6,), (3, 4, 5)])
def test_resize_takes_one_and_three_dimensions(space):
    scales = numbers(1, 1, *[2] * len(space))
    check("Resize", normal(1, 2, *space), None, scales, mode="linear", opset=13)


def test_resize_of_channels_agrees_with_onnxruntime():
    check("Resize", normal(1, 2, 4, 4), None, numbers(1, 2, 1, 1), mode="nearest", opset=13)


def test_resize_at_opset_10_agrees_with_onnxruntime():
    check("Resize", normal(1, 2, 5, 6), numbers(1, 1, 2, 1.5), mode="nearest", opset=10)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample_agrees_with_onnxruntime(mode):
    check("Upsample", normal(1, 2, 5, 6), numbers(1, 1, 2, 3), mode=mode, opset=9)


def test_antialiased_resize_stays_whole():
    check(
        "Resize",
        normal(1, 2, 6, 6),
        None,
        numbers(1, 1, 0.5, 0.5),
        mode="linear",
        antialias=1,
        is_opaque=True,
    )


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [0, 1])
def test_grid_sample_agrees_with_onnxruntime(mode, padding_mode, align_corners):
    grid = np.random.default_rng(1).uniform(-1.2, 1.2, (1, 3, 4, 2)).astype(np.float32)
    settings = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    check("GridSample", normal(1, 2, 5, 6), grid, flowing=(0, 1), **settings)
