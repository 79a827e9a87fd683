"""Between numpy arrays and torch tensors, ml_dtypes' bfloat16 included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_TYPES: dict[str, torch.dtype] = {
    "bool": torch.bool,
    **{name: getattr(torch, name) for name in (*_INTEGERS, "float16", "bfloat16", "float32", "float64")},
}


def to_tensor(array: np.ndarray) -> Tensor:
    """Return a tensor that owns its memory. Raises TypeError for a type that torch does not have."""
    if array.dtype == _BFLOAT16:
        return torch.from_numpy(np.array(array.view(np.uint16), order="C")).view(torch.bfloat16)
    return torch.from_numpy(np.array(array, order="C"))


def to_array(tensor: Tensor) -> np.ndarray:
    """Return an array that owns its memory."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint16).numpy().view(_BFLOAT16).copy()
    return tensor.numpy().copy()


def is_float(array: np.ndarray) -> bool:
    """Tell whether torch can train it: half, single, double or bfloat16."""
    return array.dtype == _BFLOAT16 or array.dtype in (np.float16, np.float32, np.float64)


def is_tensor_type(dtype: str) -> bool:
    """Tell whether torch computes with numpy's type; text, 4-bit integers and 8-bit floats stay in numpy."""
    return dtype in _TYPES


def torch_dtype(dtype: str) -> torch.dtype:
    """Return torch's type for numpy's name."""
    return _TYPES[dtype]
