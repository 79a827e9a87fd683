"""Sparse constants of TensorFlow Lite files, made dense.

A tensor is stored as a tree with one level per dimension, and one more per dimension that is cut into
blocks (the TACO format). A dense level has every place; a compressed one lists the places that each node of
the level above has. The stored numbers are the leaves, in order.
"""

from __future__ import annotations

import math

import numpy as np

from taut.graph.flatbuffer import Table

_COMPRESSED = 1
_INDEX_DTYPES = {1: "<i4", 2: "<u2", 3: "u1"}
"""SparseIndexVector: the kinds of an index vector"""
_FORMAT, _SIZE, _SEGMENTS, _INDICES = 0, 1, 2, 4
"""Slots of a level; those of vectors hold the kind, the next slot the vector"""


def densify(stored: np.ndarray, sparsity: Table, shape: tuple[int, ...], node_bound: int) -> np.ndarray:
    """Return the dense array of a shape from its stored numbers (count,).

    Raises ValueError for a tree that breaks the format or has a level of more nodes than the bound.
    """
    order = [int(entry) for entry in sparsity.vector(0, "<i4")]
    blocked = [int(entry) for entry in sparsity.vector(1, "<i4")]
    levels = sparsity.tables(2)
    if sorted(order) != list(range(len(shape) + len(blocked))) or len(levels) != len(order):
        raise ValueError("a sparse tensor's levels do not match its shape")
    if sorted(set(blocked)) != sorted(blocked) or not set(blocked) <= set(range(len(shape))):
        raise ValueError("a sparse tensor has blocks along dimensions that it has not")
    places = _leaf_places(levels, min(node_bound, math.prod(shape)))
    if places.shape[1] != stored.size:
        raise ValueError(f"a sparse tensor stores {stored.size} numbers at {places.shape[1]} places")
    of_level = dict(zip(order, range(len(order)), strict=True))
    index = [places[of_level[axis]] for axis in range(len(shape))]
    for number, axis in enumerate(blocked):
        level = of_level[len(shape) + number]
        index[axis] = index[axis] * levels[level].number(_SIZE, "i") + places[level]
    return _scatter(stored, index, shape)


def _scatter(stored: np.ndarray, index: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    for places, size in zip(index, shape, strict=True):
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < size:
            raise ValueError(f"a sparse tensor has numbers outside its shape {shape}")
    dense = np.zeros(math.prod(shape), stored.dtype)
    dense[np.ravel_multi_index(index, shape)] = stored
    return dense.reshape(shape)


def _leaf_places(levels: list[Table], node_bound: int) -> np.ndarray:
    """Places of the leaves at each level, (levels, leaves)."""
    places = np.zeros((0, 1), np.int64)
    for level in levels:
        parents = places.shape[1]
        if level.number(_FORMAT, "b") == _COMPRESSED:
            segments, own = _indices(level, _SEGMENTS), _indices(level, _INDICES)
            children = np.diff(segments)
            is_sound = segments.size == parents + 1 and segments[0] == 0 and segments[-1] == own.size
            if not is_sound or (children < 0).any():
                raise ValueError("a sparse tensor's segments do not fit its indices")
        else:
            size = level.number(_SIZE, "i")
            if not 0 <= size * parents <= node_bound:
                raise ValueError(f"a sparse tensor has a level of {size * parents} nodes")
            children = np.full(parents, size)
            own = np.tile(np.arange(size), parents)
        places = np.vstack([np.repeat(places, children, axis=1), own])
    return places


def _indices(level: Table, slot: int) -> np.ndarray:
    kind = level.number(slot, "B")
    vector = level.table(slot + 1)
    if kind not in _INDEX_DTYPES or vector is None:
        raise ValueError("a sparse tensor has no indices")
    return vector.vector(0, _INDEX_DTYPES[kind]).astype(np.int64)
