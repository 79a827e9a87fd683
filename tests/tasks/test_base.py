"""What data must fill: which inputs, in which shape per sample."""

from __future__ import annotations

import numpy as np
import pytest

from taut.core.errors import BadInput
from taut.graph.ir import Value
from taut.tasks.base import Interface


def test_interface_leaves_out_recurrent_state_and_keeps_the_order() -> None:
    inputs = [
        Value("mix", "float32", (1, 4)),
        Value("cache", "float32", (2, 1, 8)),
        Value("gain", "float32", ()),
    ]
    interface = Interface.of(inputs, {"cache_out": "cache"})
    assert interface.names == ("mix", "gain")
    assert interface.is_recurrent
    assert not Interface.of(inputs, {}).is_recurrent


def test_input_without_the_batch_axis_is_shared_by_all_samples() -> None:
    interface = Interface(
        (
            Value("image", "float32", (4, 3, 8, 8)),
            Value("rate", "int64", ()),
            Value("anchors", "float32", (2, 5)),
            Value("mask", "bool", ("batch", 6)),
        )
    )
    shared = {name: interface.is_shared(name) for name in interface.names}
    assert shared == {"image": False, "rate": True, "anchors": True, "mask": False}
    shapes = [interface.sample_shape(name) for name in interface.names]
    assert shapes == [(3, 8, 8), (), (2, 5), (6,)]
    assert [value.name for value in interface.sampled] == ["image", "mask"]


@pytest.mark.parametrize("shape", [(1, 3, "height", 8), (1, None), None])
def test_dynamic_input_is_refused_with_the_flag_that_fixes_it(shape: tuple | None) -> None:
    interface = Interface((Value("image", "float32", shape),))
    with pytest.raises(BadInput, match=r"--shape image=1x"):
        interface.sample_shape("image")


def test_types_are_numpys_including_bfloat16_and_text_is_refused() -> None:
    interface = Interface(
        (
            Value("a", "bfloat16", (1,)),
            Value("b", "int64", (1,)),
            Value("c", "object", (1,)),
        )
    )
    assert interface.dtype("a").itemsize == 2
    assert interface.dtype("b") == np.int64
    with pytest.raises(BadInput, match="input 'c': is text"):
        interface.dtype("c")
