"""Between numpy arrays and torch tensors, ml_dtypes' bfloat16 included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


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


def is_tensor_type(array: np.ndarray) -> bool:
    """Tell whether torch has the array's type; text, 4-bit integers and 8-bit floats stay in numpy."""
    return array.dtype == _BFLOAT16 or (array.dtype.kind in "biuf" and array.dtype.isbuiltin == 1)


def torch_dtype(numpy_name: str) -> torch.dtype | None:
    """Return torch's type for numpy's name; None where it has none."""
    found = getattr(torch, numpy_name, None)
    return found if isinstance(found, torch.dtype) else None
