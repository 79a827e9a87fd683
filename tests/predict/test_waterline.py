"""The waterline against sums made by hand, and peaks that are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from programs import needs_compiler

from taut.fit.profile import NodeProfile, Profile
from taut.kernels.dense import Dense
from taut.kernels.expression import Load
from taut.kernels.map import Map
from taut.kernels.view import Buffer, Storage, View
from taut.measure.peaks import Peaks, measured_peaks
from taut.predict.waterline import Waterline, Work, works_of
from taut.runtimes.aot.program import Program, Step
from taut.runtimes.aot.traffic import memory_bytes, view_bytes

PEAKS = Peaks(1, {"float32": 1e9, "bfloat16": 2e9, "int8": 4e9}, ((1000, 1e9), (2**62, 1e8)))
"""A nanosecond for a multiply-add in float32 or a byte of the cache, ten for a byte of memory"""
CACHED = Work(500, 1000)
COMPUTED = Work(50_000, 2000)
STREAMED = Work(4000, 5000)
BYTES = Work(4000, 500, "int8")


def test_attainable_latency_is_the_longer_of_computing_and_moving() -> None:
    line = Waterline([CACHED, COMPUTED, STREAMED, BYTES], PEAKS)
    assert [round(1e9 * line.of(work)) for work in line.works] == [1000, 50_000, 50_000, 1000]
    assert line.attainable_s == pytest.approx(102_000e-9)
    assert line.ideal_s == pytest.approx(55_500e-9)
    assert line.most_efficiency == pytest.approx(555 / 1020)


def test_kernels_below_the_balance_of_their_level_are_under_water() -> None:
    line = Waterline([], PEAKS)
    assert [line.level(work) for work in (CACHED, COMPUTED, BYTES)] == pytest.approx([1, 10, 4])
    assert [line.is_under_water(work) for work in (CACHED, COMPUTED, STREAMED, BYTES)] == [
        True,
        False,
        True,
        False,
    ]


def _whole(storage: Storage, *shape: int) -> View:
    return View.whole(Buffer(storage, "float32", int(np.prod(shape))), shape)


def test_what_windows_see_several_times_is_moved_once() -> None:
    picture = _whole(Storage.INPUT, 10, 8, 4)
    assert view_bytes(picture.windows(0, 8, 3).windows(1, 6, 3)) == 10 * 8 * 4 * 4
    assert view_bytes(picture.at(0, 0).broadcast((5, 8, 4))) == 8 * 4 * 4


def test_bytes_beyond_a_cache_are_those_of_buffers_that_do_not_fit() -> None:
    x, between, y = _whole(Storage.INPUT, 100), _whole(Storage.ARENA, 1000), _whole(Storage.OUTPUT, 100)
    expand = Dense(x.split(0, (100, 1)), np.ones((1, 10), np.float32), between.split(0, (100, 10)), 0, 1)
    project = Dense(between.split(0, (100, 10)), np.ones((10, 1), np.float32), y.split(0, (100, 1)), 0, 1)
    program = Program((Step(expand), Step(project)), (x.buffer,), (y.buffer,))
    assert memory_bytes(program, cache_bytes=1000) == 2 * 4000 + 2 * 40
    assert memory_bytes(program, cache_bytes=100) == 2 * 4000 + 2 * 400 + 2 * 40
    assert works_of(program) == [Work(1000, 400 + 4000 + 40), Work(1000, 400 + 4000 + 40)]


def test_what_overwrites_itself_counts_once() -> None:
    x = _whole(Storage.ARENA, 1000)
    program = Program((Step(Map(x, Load(x))),), (), ())
    assert memory_bytes(program, 100) == 4000


def test_profile_says_what_share_of_the_peak_a_node_reaches() -> None:
    nodes = (
        NodeProfile("conv", "Conv", 1.0, "float32", macs=500_000, moved_bytes=10_000),
        NodeProfile("relu", "Relu", 1.0, "float32", macs=0, moved_bytes=50_000),
    )
    profile = Profile(nodes, PEAKS)
    made = profile.to_json()
    assert [node["peak_share"] for node in made["nodes"]] == pytest.approx([0.5, 0.0])
    assert (made["ideal_ms"], made["attainable_ms"]) == pytest.approx((0.5, 1.0))
    text = profile.describe(10)
    assert "50.0%" in text and "25.0%  of the peak reached, 50.0% attainable" in text
    assert "0.0~" in text and "50.0 " in text


def test_profile_without_peaks_has_times_all_the_same() -> None:
    profile = Profile((NodeProfile("conv", "Conv", 1.0, "float32", 10, 10),))
    assert profile.to_json()["nodes"][0]["peak_share"] is None
    assert "1.0000 ms in all" in profile.describe(1)


@needs_compiler
def test_peaks_are_measured_once_and_in_order() -> None:
    one = measured_peaks(1)
    assert measured_peaks(1) == one
    assert set(one.multiply_adds) == {"float32", "bfloat16", "int8"}
    held = [size for size, _ in one.bandwidths]
    assert held == sorted(held) and len(held) >= 2
    assert one.bandwidth(1) > one.bandwidth(2**40)
