"""The integer engine against the net that was trained for it, over the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from taut.moves.quantize.integer import IntegerProgram, compile_integer
from taut.moves.quantize.qat_net import QatNet

_SCANNED_SAMPLES = 8


@dataclass(frozen=True)
class Parity:
    """How the two agree. Shares are in points of 100."""

    floats: int
    """Arrays that are not integers, of all that the engine holds or makes after it quantized its input"""
    within_a_step: float
    """Output codes at most one apart"""
    agreement: float
    """Samples with the same largest output"""


def compare_with_engine(net: QatNet, inputs: np.ndarray) -> Parity:
    """Run both on inputs (samples, ...); the net has one input and one output (samples, classes)."""
    program = compile_integer(net.to_qdq())
    (name,) = program.inputs
    ((output, coded),) = program.outputs.items()
    codes = program.encode({name: inputs})
    integer = program.execute(codes)[output].astype(np.int32)
    with torch.no_grad():
        simulated = coded.parameters.quantize(net(torch.from_numpy(inputs))[0].numpy()).astype(np.int32)
    few = {name: array[:_SCANNED_SAMPLES] for name, array in codes.items()}
    return Parity(
        floats=sum(array.dtype.kind not in "iu" for array in _arrays(program, few)),
        within_a_step=100 * float(np.mean(np.abs(integer - simulated) <= 1)),
        agreement=100 * float(np.mean(integer.argmax(axis=1) == simulated.argmax(axis=1))),
    )


def _arrays(program: IntegerProgram, codes: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What every step makes, and every array that its kernel holds."""
    return [
        *program.trace(codes).values(),
        *(array for step in program.steps for array in _held(step.kernel)),
    ]


def _held(thing: Any) -> list[np.ndarray]:
    if isinstance(thing, np.ndarray):
        return [thing]
    inner: Sequence[Any] = (
        thing if isinstance(thing, tuple) else list(getattr(thing, "__dict__", {}).values())
    )
    return [array for item in inner for array in _held(item)]
