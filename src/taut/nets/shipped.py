"""Weights that ship with the package: fp16 safetensors.

A file that would exceed 1 MB is deflated without loss after its bytes are sorted into two planes, the first
and the second of each pair: the plane of exponents then shrinks by a third (``.planes`` behind its name).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor, nn

MAX_BYTES = 1_000_000
_PLANES = ".planes"


def shipped_file(name: str) -> Path:
    """Return the path of a file of weights in this package."""
    return Path(__file__).parent / "weights" / name


def write_weights(module: nn.Module, folder: Path, name: str) -> Path:
    """Write the module's floating-point state as fp16, in planes where it must be, and return the file."""
    state = {key: value for key, value in module.state_dict().items() if value.is_floating_point()}
    content = save({key: value.half().contiguous() for key, value in state.items()})
    file = folder / f"{name}.safetensors"
    if len(content) > MAX_BYTES:
        file, content = file.with_name(file.name + _PLANES), zlib.compress(content[0::2] + content[1::2], 9)
    file.write_bytes(content)
    return file


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return what ``write_weights`` wrote, as float32."""
    content = file.read_bytes()
    if file.suffix == _PLANES:
        content = _interleaved(zlib.decompress(content))
    return {name: value.float() for name, value in load(content).items()}


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load the state into the module, in place; only integer state (counts of batches) may be missing."""
    counters = {name: value for name, value in module.state_dict().items() if not value.is_floating_point()}
    module.load_state_dict({**counters, **state})
    return module.eval()


def _interleaved(planes: bytes) -> bytes:
    content = bytearray(len(planes))
    half = (len(planes) + 1) // 2
    content[0::2], content[1::2] = planes[:half], planes[half:]
    return bytes(content)
