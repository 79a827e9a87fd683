"""The input contract of a network: names, types and shapes, checked once, made up on demand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Arrays
from taut.graph.ir import Value


def filled(values: Sequence[Value], number: int) -> dict[str, np.ndarray]:
    """Return an array full of the number for every value; BadInput where a shape is not fixed."""
    for value in values:
        if not value.is_static:
            way_out = f"give --shape {value.name}=SIZES"
            raise BadInput(f"input {value.name!r}", f"has no fixed shape: {value.shape}", way_out)
    return {value.name: np.full(value.static_shape, number, np.dtype(value.dtype)) for value in values}


def check_inputs(values: Sequence[Value], arrays: Arrays) -> None:
    """Raise BadInput unless the arrays are exactly the values, in name, type and shape."""
    expected = {value.name: value for value in values}
    missing, unknown = sorted(expected.keys() - arrays.keys()), sorted(arrays.keys() - expected.keys())
    if missing or unknown:
        rule = "; ".join(
            f"{word} {', '.join(names)}" for word, names in (("lack", missing), ("add", unknown)) if names
        )
        raise BadInput("the inputs", rule, f"give exactly: {', '.join(expected)}")
    for name, array in arrays.items():
        _check_array(expected[name], array)


def _check_array(value: Value, array: np.ndarray) -> None:
    if str(array.dtype) != value.dtype:
        raise BadInput(f"input {value.name!r}", f"has type {array.dtype}", f"give it as {value.dtype}")
    if value.shape is None:
        return
    is_right = len(array.shape) == len(value.shape) and all(
        not isinstance(size, int) or size == given
        for size, given in zip(value.shape, array.shape, strict=True)
    )
    if not is_right:
        raise BadInput(f"input {value.name!r}", f"has shape {array.shape}", f"give it as {value.shape}")
